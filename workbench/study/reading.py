"""A sweep file's YAML, its mistakes as a sweep's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench import safe_yaml
from workbench.files import ReadingError
from workbench.study.errors import SweepError


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping, as `workbench.safe_yaml.read_yaml` reads it. SweepError for its errors and for no mapping."""
    try:
        return _mapping(safe_yaml.read_yaml(path), str(path))
    except OSError as error:
        raise SweepError(f"{path}: cannot be read ({error.strerror}).") from error
    except ReadingError as error:
        raise SweepError(str(error)) from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """As `read_yaml`, for a text; `where` begins every message."""
    try:
        return _mapping(safe_yaml.parse_yaml(text, where), where)
    except ReadingError as error:
        raise SweepError(str(error)) from error


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        raise SweepError(f"{where}: the file is empty.")
    if not isinstance(value, dict):
        raise SweepError(f"{where}: must be a mapping (key: value), but is a {type(value).__name__}.")
    return value


def as_name(value: Any) -> str:
    """A level's name, wherever YAML saw a value: 3 -> '3', True -> 'true', None -> 'null'."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
