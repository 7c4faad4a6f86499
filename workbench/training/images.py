"""Broken images of a configuration's data: all of them named before anything starts, or left out if that is wanted."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.config import instantiate, load_yaml, resolve
from workbench.data.soundness import Flaw, find_flaws
from workbench.files import BrokenImages, as_file_name, write_atomically
from workbench.metrics.cache import cache_folder

SHOWN = 20  # names that are printed; the rest stands in a file
MOST = 5_000  # names that a configuration holds; with more of them a data set is not damaged here and there


class ImageCheck:
    """Looks at the images of configurations, at each set of them once.

    quarantine: leave broken images out instead of raising. lists: folder for the whole list where it is too long to be
    printed. say: called with a line that a person should see.
    """

    def __init__(
        self, quarantine: bool, lists: Path, say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
    ) -> None:
        self._quarantine, self._lists, self._say = quarantine, lists, say
        self._known: dict[tuple[str, ...], list[Flaw]] = {}

    def __call__(self, resolved: dict[str, Any]) -> dict[str, Any]:
        """The configuration, with the images that are left out named in data.quarantine.

        Raises:
            BrokenImages: some cannot be read, and may not or cannot be left out.
        """
        source = instantiate(resolved).data
        files = source.image_files()
        key = tuple(str(file) for file in files.values())
        if key not in self._known:
            self._known[key] = find_flaws(files, cache_folder(), self._say)
            self._report(self._known[key], len(files), _name(resolved))
        flaws = self._known[key]
        if not flaws:
            return resolved
        names = sorted({*getattr(source, "quarantine", ()), *(flaw.name for flaw in flaws)})
        return resolve(resolved, {"data.quarantine": names}, resolved["plugins"])

    def _report(self, flaws: Sequence[Flaw], count: int, folder: str) -> None:
        """Raise, or say what is left out."""
        if not flaws:
            if self._quarantine and count:
                self._say(f"--quarantine found nothing: each of the {count:,} images of {folder} can be read.")
            return
        what = f"{folder}: {len(flaws):,} of {count:,} images cannot be read"
        if not self._quarantine:
            remedy = "Remove or replace them, or leave them out with --quarantine: the other images keep their indices."
            raise BrokenImages(f"{what}. {remedy}\n{self._listed(flaws, folder)}")
        if lost := [flaw for flaw in flaws if flaw.lost or not flaw.name.isprintable()]:
            raise BrokenImages(
                f"{folder}: {len(lost):,} files could not be opened, or have a name that cannot be written down, and "
                f"--quarantine is for those that are broken. See to them first.\n{self._listed(lost, folder)}"
            )
        if len(flaws) > MOST or len(flaws) == count:
            raise BrokenImages(f"{what}: more than --quarantine leaves out.\n{self._listed(flaws, folder)}")
        self._say(f"{what}, and are left out (data.quarantine):\n{self._listed(flaws, folder)}")

    def _listed(self, flaws: Sequence[Flaw], folder: str) -> str:
        lines = [f"  {_shown(flaw.name)}: {_shown(flaw.reason)}" for flaw in flaws]
        if len(lines) <= SHOWN:
            return "\n".join(lines)
        digest = hashlib.sha256("\n".join([folder, *lines]).encode()).hexdigest()[:8]
        file = self._lists / f"broken-images-{as_file_name(Path(folder).name)}-{digest}.txt"
        text = "".join(f"{line[2:]}\n" for line in lines)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))
            rest = f"all of them are listed in {file}"
        except OSError as error:
            rest = f"{file} could not be written ({error.strerror})"
        return "\n".join([*lines[:SHOWN], f"  and {len(lines) - SHOWN:,} more; {rest}."])


def left_out_before(run_dir: Path) -> list[str]:
    """What the run in this folder leaves out, if there is one: it goes on without, whatever was mended since."""
    try:
        names = load_yaml(run_dir / "config.yaml")["data"]["init_args"]["quarantine"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return list(names) if isinstance(names, list) else []


def _name(resolved: dict[str, Any]) -> str:
    return _shown(str((resolved["data"].get("init_args") or {}).get("path", resolved["data"].get("class_path"))))


def _shown(text: str) -> str:
    """Somebody else's name, as a terminal may see it."""
    return text if text.isprintable() else ascii(text)
