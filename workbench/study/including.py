"""`include`: a level, an arm or `set` takes its overrides from a file, such as a method's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.study.errors import SweepError
from workbench.study.overrides import merged
from workbench.study.reading import read_yaml

BASE = "base"  # a method's file may name the configuration that it starts from; the sweep's own base holds here


def with_includes(raw: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The sweep file's mapping with every `include: FILE` replaced by the overrides of that file.

    FILE is relative to the sweep file. Keys beside `include` are applied after the file's. Groups may be written as
    groups (`model: {trajectory: Forward}`) or with dots. SweepError for a file that cannot be read or includes again.
    """
    result = dict(raw)
    if "set" in raw:
        result["set"] = _included(raw["set"], path, f"{path}, set")
    for key in ("factors", "evaluate"):
        if isinstance(raw.get(key), dict):
            result[key] = {name: _entries(levels, path, f"{path}, {key}.{name}") for name, levels in raw[key].items()}
    for key in ("arms", "references"):
        if key in raw:
            result[key] = _entries(raw[key], path, f"{path}, {key}")
    return result


def _entries(value: Any, path: Path, where: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _included(child, path, f"{where}.{name}") for name, child in value.items()}


def _included(value: Any, path: Path, where: str) -> Any:
    if not isinstance(value, dict) or "include" not in value:
        return value
    own = {key: child for key, child in value.items() if key != "include"}
    names = value["include"] if isinstance(value["include"], list) else [value["include"]]
    return merged(*(_read(name, path, where) for name in names), own)


def _read(name: Any, path: Path, where: str) -> dict[str, Any]:
    if not isinstance(name, str) or not name.strip():
        raise SweepError(f"{where}.include: must be a file's name, but is {name!r}.")
    file = path.parent / Path(name).expanduser()
    if not file.is_file():
        raise SweepError(f"{where}.include: there is no file {file}.")
    found = read_yaml(file)
    if "include" in found:
        raise SweepError(f"{where}.include: {file} includes another file. One level is enough: name both, in a list.")
    found.pop(BASE, None)
    return flat(found)


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Groups as dotted keys, down to values, lists and classes (a mapping with class_path)."""
    result: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value and "class_path" not in value:
            result |= flat(value, name)
        else:
            result[name] = value
    return result
