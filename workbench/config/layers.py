"""A configuration file that builds on another: `base: FILE` and `set: {dotted key: value}`, as in a sweep file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.config.errors import ConfigError, say, unknown_name
from workbench.config.reading import load_yaml

MAX_LAYERS = 10  # files that build on each other
_KEYS = ("base", "set")


def read_layers(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The configuration at the bottom, and the overrides upon it, the lowest first.

    A file without `base` is the bottom itself. `base` is relative to the file that names it.

    Raises:
        ConfigError: a file that cannot be read, something else than base and set, or files that build on themselves.
    """
    layers: list[dict[str, Any]] = []
    seen = [file]
    raw = load_yaml(file)
    while "base" in raw:
        for key in raw:
            if key not in _KEYS:
                raise unknown_name(f"{file}: {key}", key, _KEYS, "key beside base (settings stand under set)")
        base, given = raw["base"], raw.get("set") or {}
        if not isinstance(base, str) or not base.strip():
            raise ConfigError(f"{file}: base: a file is wanted, but got {say(base)}.")
        if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
            raise ConfigError(f"{file}: set: dotted keys with their values are wanted, but got {say(given)}.")
        layers.insert(0, given)
        below = Path(base).expanduser()
        file = below if below.is_absolute() else file.parent / below
        if len(seen) >= MAX_LAYERS:
            raise ConfigError(f"base: {' -> '.join(map(str, seen))} build on each other without an end.")
        seen.append(file)
        if not file.is_file():
            raise ConfigError(f"{seen[-2]}: base: there is no file {file}.")
        raw = load_yaml(file)
    return raw, layers
