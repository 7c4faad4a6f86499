"""How far an evaluation is, for a person and for a watching process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[str, int], None]  # (what is being done, how many images were just done)


@contextmanager
def progress_bar(total: int, quiet: bool, on_progress: Callable[[float], None] | None = None) -> Iterator[Advance]:
    """A bar with the time left on stderr, unless quiet. total: images to come; on_progress hears the share done, 0
    to 1.
    """
    done = 0

    def report(n: int) -> None:
        nonlocal done
        done += n
        if on_progress is not None:
            on_progress(min(1.0, done / max(1, total)))

    if quiet:
        yield lambda what, n: report(n)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("evaluating", total=total)

        def advance(what: str, n: int) -> None:
            bar.update(task, description=what, advance=n)
            report(n)

        yield advance
