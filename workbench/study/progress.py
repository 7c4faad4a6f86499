"""What a person sees while a sweep runs: a live view on a terminal, a line for every change elsewhere."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from workbench.study.errors import printable
from workbench.study.plan import Plan
from workbench.study.results import collect
from workbench.study.state import Running, State
from workbench.study.tables import build_table, terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

TABLE_SECONDS = 2.0
LINE_SECONDS = 60.0  # without a terminal, at least one line a minute


def console_of_width(least: int = 140) -> Console:
    """The terminal as wide as it is; a file or a pipe as wide as a table needs."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=max(least, console.width))


class Eta:
    """Remaining time from the work done in the last minutes; the first estimate needs a little work."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=600)  # (time, work done)

    def __call__(self, state: State) -> float | None:
        """Seconds left, None while nothing can be told."""
        if not self._points or state.work_done != self._points[-1][1]:
            self._points.append((state.read_at, state.work_done))
        (start, first), (_, last) = self._points[0], self._points[-1]
        seconds = state.read_at - start
        if last <= first or seconds < 2:
            return None
        return (state.work_total - state.work_done) * seconds / (last - first)


class Progress:
    """Shows states; a context manager, so that the terminal is left as it was."""

    def __init__(self, plan: Plan, root: Path, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._plan, self._root = plan, root
        self.console = console or Console()
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        )
        self._eta = Eta()
        self._table: RenderableType = ""
        self._table_at = self._line_at = 0.0
        self._line = ""

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, state: State) -> None:
        """The state: counts, ETA, what runs, and the table so far."""
        from rich.console import Group
        from rich.text import Text

        summary = self._summary(state)
        if self._live is None:
            counts = f"{state.done} {state.failed}"
            now = time.monotonic()
            if counts != self._line or now - self._line_at > LINE_SECONDS:
                self._line, self._line_at = counts, now
                self.say(summary)
            return
        if time.monotonic() - self._table_at > TABLE_SECONDS:
            self._table_at = time.monotonic()
            self._table = self._so_far()
        rows = [Text(_running(running), style="dim") for running in state.running]
        # What a low terminal cuts off is the end of the table.
        self._live.update(Group(Text(summary, style="bold"), *rows, self._table), refresh=True)

    def _so_far(self) -> RenderableType:
        return terminal(build_table(self._plan, collect(self._plan, self._root)), blocks=1)

    def _summary(self, state: State) -> str:
        left = self._eta(state)
        parts = [f"{state.done}/{state.total} cells done", f"{len(state.running)} running"]
        if state.diverged:
            parts.append(f"{state.diverged} diverged")
        if state.failed:
            parts.append(f"{state.failed} failed")
        if state.open:
            parts.append(f"about {duration(left)} left" if left is not None else "ETA follows")
        return ", ".join(parts)


def _running(running: Running) -> str:
    seed = "" if running.cell.seed is None else f", seed {running.cell.seed}"
    filled = round(20 * running.progress)
    bar = "━" * filled + "╌" * (20 - filled)
    return f"  {bar} {running.cell.arm}{seed}: {running.phase} {100 * running.progress:.0f} %"


def duration(seconds: float) -> str:
    """'45 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
