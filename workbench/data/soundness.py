"""Whether every image of a data source can be read: asked before anything starts, so that all are named at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import PIL

from workbench.data.image_file import BrokenImage, read_image
from workbench.files import write_atomically
from workbench.safe_json import read_json

THREADS = 4  # Pillow decodes outside of Python's lock; an image may take half a gigabyte
MANY = 5_000  # files from which on it is worth saying that they are read


@dataclass(frozen=True)
class Flaw:
    """An image that cannot be read. lost: it could not even be opened, which may be otherwise tomorrow."""

    name: str
    reason: str
    lost: bool


def find_flaws(
    files: Mapping[str, Path], cache: Path | None = None, say: Callable[[str], None] = lambda line: None
) -> list[Flaw]:
    """Decode every file once and return those that are no whole image, by name.

    files: name -> file, as `DataSource.image_files` gives them. cache: a folder that remembers the sound ones by path,
    size and time of change, so that they are read once and not at every start; None for no memory. say: called with a
    line where that will take a while.
    """
    if not files:
        return []
    memory = None if cache is None else cache / f"sound-images-{_folder_hash(files)}.json"
    known = set() if memory is None else _read(memory)

    def look(item: tuple[str, Path]) -> tuple[str, Flaw | None]:
        name, file = item
        mark = ""
        try:
            status = file.stat()
            mark = _hash(f"{file}\0{status.st_size}\0{status.st_mtime_ns}")
            if mark not in known:
                read_image(file)
        except BrokenImage as error:
            return mark, Flaw(name, error.reason, error.lost)
        except OSError as error:
            return mark, Flaw(name, str(error.strerror), lost=True)
        return mark, None

    if len(files) - len(known) > MANY:
        say(f"Reading {len(files):,} images once, to find those that are broken.")
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        found = list(pool.map(look, files.items()))
    sound = {mark for mark, flaw in found if flaw is None}
    if memory is not None and sound != known:
        _write(memory, sound)
    return sorted((flaw for _, flaw in found if flaw is not None), key=lambda flaw: flaw.name)


def _folder_hash(files: Mapping[str, Path]) -> str:
    """Of the folder that holds them all, and of the reader: another one may be of another opinion."""
    return _hash(f"{os.path.commonpath([str(file.absolute()) for file in files.values()])}\0{PIL.__version__}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def _read(memory: Path) -> set[str]:
    try:
        found = read_json(memory)
    except (OSError, ValueError):
        return set()
    return {mark for mark in found if isinstance(mark, str)} if isinstance(found, list) else set()


def _write(memory: Path, marks: set[str]) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, lambda path: path.write_text(json.dumps(sorted(marks)), encoding="utf-8"))
    except OSError:
        pass  # it saves time, and decides nothing
