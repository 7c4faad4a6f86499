"""Which files a configuration reads, and their hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).resolve().parents[1] / "assets"
MANY_FILES = 2_000  # from here on a folder is known by its files' names and sizes: a data set, not weights


def training_assets(config: Mapping[str, Any]) -> dict[str, str]:
    """Name -> hash of the files that a training reads: the teacher, the data, and whatever else is named by a path."""
    named = {}
    teacher = str((config.get("teacher") or {}).get("path", ""))
    if teacher and (ASSETS / "teachers" / teacher).is_dir():
        named["teacher"] = ASSETS / "teachers" / teacher
    if str((config.get("data") or {}).get("class_path", "")).endswith("Wardrobe"):
        named["garments"] = ASSETS / "garments"
    parts = {key: value for key, value in config.items() if key != "evaluation"}
    return {name: file_hash(path) for name, path in {**named, **_paths(parts)}.items() if path.exists()}


def evaluation_assets(settings: Mapping[str, Any]) -> dict[str, str]:
    """Name -> hash of the files that an evaluation reads beside the student: the judge, and whatever a path names."""
    named = {"judge": ASSETS / "judge", **_paths(settings)}
    return {name: file_hash(path) for name, path in named.items() if path.exists()}


PATH_KEYS = ("path", "prompts", "clip")  # settings that take a path, also one without a slash
WORDS = ("report", "tune")  # of evaluation.prompts


def _path(text: str, key: str = "") -> Path | None:
    """A text that is meant as a path and leads somewhere. Elsewhere than under a path's key a bare word is a name."""
    if ("/" not in text and key not in PATH_KEYS) or text in WORDS or len(text) > 1_000 or "\n" in text:
        return None
    if key == "path" and "/" not in text and (ASSETS / "teachers" / text).is_dir():
        return None  # a shipped teacher's name comes before a folder's
    path = Path(os.path.expanduser(text))  # Path.expanduser raises for a user that does not exist
    try:
        return path if path.exists() else None
    except (OSError, ValueError):
        return None


def _paths(value: Any, where: str = "") -> dict[str, Path]:
    found: dict[str, Path] = {}
    if isinstance(value, Mapping):
        for key, child in value.items():
            found.update(_paths(child, f"{where}.{key}" if where else str(key)))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            found.update(_paths(child, f"{where}.{index}"))
    elif isinstance(value, str):
        # inception:FILE names a file as well
        key = where.rpartition(".")[2]
        for text in (value, value.partition(":")[2]):
            if text and (path := _path(text, key)):
                found[where] = path
                break
    return found


def file_hash(path: Path) -> str:
    """16 digits over the contents of a file, or over the relative names and contents of a folder's files.

    A folder of more than 2,000 files is taken by names and sizes: reading a data set would take longer than a cell.
    """
    if path.is_file():
        return _content(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
    files = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    total = hashlib.sha256()
    for file in files:
        status = file.stat()
        known = (
            str(status.st_size) if len(files) > MANY_FILES else _content(str(file), status.st_size, status.st_mtime_ns)
        )
        total.update(f"{file.relative_to(path).as_posix()}\0{known}\n".encode())
    return total.hexdigest()[:16]


@lru_cache(maxsize=100_000)
def _content(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
