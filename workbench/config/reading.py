"""YAML as a person means it, read safely and within bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from workbench.config.errors import ConfigError, say

MAX_BYTES = 1_000_000  # of a YAML file; a configuration has a few thousand


MAX_BRACKETS = 100  # of a YAML file, open at once; the scanner's time grows with their square


MAX_ALIASES = 100  # of a YAML file; nested aliases can unfold without bound


class _Loader(yaml.SafeLoader):
    """safe_load with YAML 1.2's scalars: only true and false are booleans, 1e-4 is a number; a key stands once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"line {node.start_mark.line + 1}: the key {key!r} stands twice. Keep one of them.")
        return super().construct_mapping(node, deep)


_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def load_yaml(source: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file (or, given a str, in a YAML text), read safely.

    Raises:
        ConfigError: no such file, too large, not YAML, a key twice, or not a mapping.
    """
    value = parse_yaml(source)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"a configuration must be a mapping of names to values, but this is {say(value)}.")
    return value


def parse_yaml(source: Path | str) -> Any:
    """Any YAML value, as :func:`load_yaml` reads it; for the values of the command line."""
    if isinstance(source, Path):
        try:
            size, text = source.stat().st_size, ""
            if size <= MAX_BYTES:
                text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: cannot be read ({error}).") from error
    else:
        size, text = len(source), source
    if size > MAX_BYTES:
        raise ConfigError(f"{size} bytes are too many for a configuration (at most {MAX_BYTES}).")
    depth = 0
    for bracket in re.findall(r"[\[{}\]]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_BRACKETS:
            raise ConfigError(f"more than {MAX_BRACKETS} YAML brackets are open at once, too many for a configuration.")
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader))
        if aliases > MAX_ALIASES:
            raise ConfigError(f"{aliases} YAML aliases are too many (at most {MAX_ALIASES}).")
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError("YAML nested too deeply for a configuration.") from None
