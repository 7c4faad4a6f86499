"""A configuration's YAML, its mistakes as a configuration's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench import safe_yaml
from workbench.config.errors import ConfigError, say
from workbench.files import ReadingError


def load_yaml(source: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file (or, given a str, in a YAML text), as `workbench.safe_yaml.read_yaml` reads it.

    Raises:
        ConfigError: where and what, for a file that cannot be read, is no YAML, leaves the bounds, or is no mapping.
    """
    value = parse_yaml(source)
    if value is None:
        return {}
    if not isinstance(value, dict):
        name = f"{source}: " if isinstance(source, Path) else ""
        raise ConfigError(f"{name}a configuration must be a mapping of names to values, but this is {say(value)}.")
    return value


def parse_yaml(source: Path | str, where: str = "") -> Any:
    """Any YAML value, as :func:`load_yaml` reads it; for the command line. where: what a text is called."""
    try:
        return safe_yaml.read_yaml(source) if isinstance(source, Path) else safe_yaml.parse_yaml(source, where)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read ({error.strerror}).") from error
    except ReadingError as error:
        raise ConfigError(str(error)) from error
