"""`file: methods/lcm.yaml` among overrides: those of a configuration file that builds on another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.study.errors import SweepError
from workbench.study.overrides import merged
from workbench.study.reading import read_yaml

KEY = "file"
MAX_FILES = 10  # that build on each other


def with_files(overrides: Mapping[str, Any], where: str, folder: Path) -> Mapping[str, Any]:
    """The overrides with what their `file` says put before them, so that their own keys win.

    The file is one that `workbench.train --config` takes, `base: FILE` and `set: {dotted key: value}`. Of files that
    build on each other all that stands under `set` counts; the complete one at the bottom does not: the sweep has its
    own base. SweepError for a file without `base`, or one that cannot be read.
    """
    if KEY not in overrides:
        return overrides
    given = overrides[KEY]
    if not isinstance(given, str) or not given.strip():
        raise SweepError(f"{where}.{KEY}: must name a configuration file, but is {given!r}.")
    own = {key: value for key, value in overrides.items() if key != KEY}
    return merged(*_layers(_beside(given, folder), where), own)


def _layers(file: Path, where: str) -> list[Mapping[str, Any]]:
    layers: list[Mapping[str, Any]] = []
    for _ in range(MAX_FILES):
        raw = read_yaml(file)
        if "base" not in raw:
            if not layers:
                raise SweepError(
                    f"{where}.{KEY}: {file} is a complete configuration, no list of overrides. Give it as the base of "
                    "the sweep, or write a file with base: and set:."
                )
            return layers
        given = raw.get("set") or {}
        if not isinstance(given, Mapping) or not isinstance(raw["base"], str):
            raise SweepError(f"{where}.{KEY}: {file} must hold base: FILE and set: a mapping of dotted keys.")
        layers.insert(0, given)
        file = _beside(raw["base"], file.parent)
    raise SweepError(f"{where}.{KEY}: more than {MAX_FILES} files build on each other.")


def _beside(name: str, folder: Path) -> Path:
    path = Path(name).expanduser()
    return path if path.is_absolute() else folder / path
