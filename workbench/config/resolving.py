"""From a file and overrides to a complete configuration, and from that to objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from workbench.config.checking import check_rules, validated
from workbench.config.classes import (
    allow_plugins,
    check_plugins,
    constructor_parameters,
    find_class,
    group_hints,
    is_group,
    is_plugin,
    plain,
    type_options,
)
from workbench.config.errors import ConfigError
from workbench.config.filling import fill
from workbench.config.layers import read_layers
from workbench.config.overriding import put
from workbench.config.tree import Config
from workbench.safe_yaml import dump_yaml


def resolve(
    base: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """The complete configuration as plain data: defaults filled in, overrides applied in order, everything checked.

    A fixed point: resolve(resolve(x)) == resolve(x). Losses that are null are left out.

    Args:
        base: a YAML file, complete or built on another one (`base` and `set`); or what a complete one holds.
        overrides: dotted key -> value, see the module's docstring.
        plugins: modules outside workbench whose classes may be named; they are imported. The file's own `plugins` are
            not enough: naming a module is running it.

    Raises:
        ConfigError: one line that says where, what, and what to do.
    """
    if isinstance(base, (str, Path)):
        name, (given, layers) = f"{base}: ", read_layers(Path(base))
    else:
        name, given, layers = "", dict(base), []
    try:
        allow_plugins(plugins)
        check_plugins(given.get("plugins") or [])
        resolved = fill(given, Config, "")
        resolved["plugins"] = sorted({*resolved["plugins"], *plugins})
        # in their order: a later one meets what an earlier one made
        for key, value in (item for layer in [*layers, overrides or {}] for item in layer.items()):
            resolved = put(resolved, Config, key.split("."), value, "")
        resolved = plain(validated(fill(resolved, Config, "")))
        check_rules(instantiate(resolved))
    except ConfigError as error:
        raise ConfigError(f"{name}{error}") from None
    return resolved


def instantiate(resolved: Mapping[str, Any]) -> Config:
    """The objects of a resolved configuration. Losses have no networks yet (`Loss.prepare` makes them).

    Raises:
        ConfigError: an argument out of its range, with the place; or a plug-in module that nobody allowed.
    """
    check_plugins(resolved.get("plugins") or [])
    config = build(fill(resolved, Config, ""), Config, "")
    assert isinstance(config, Config)
    return config


def to_yaml(resolved: Mapping[str, Any]) -> str:
    """A resolved configuration as YAML text."""
    return dump_yaml(dict(resolved))


def dump(resolved: Mapping[str, Any], path: str | Path) -> None:
    """Write a resolved configuration as YAML, by rename, so that nobody reads half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(to_yaml(resolved), encoding="utf-8")
    temporary.replace(path)


def training_part(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What training depends on: all but `evaluation`."""
    return {key: value for key, value in resolved.items() if key != "evaluation"}


def build(node: Any, hint: Any, where: str) -> Any:
    """The object of a filled-in node."""
    options, _ = type_options(hint)
    for option in options:
        if isinstance(node, dict) and is_plugin(option):
            cls = find_class(node["class_path"], option, where)
            parameters = constructor_parameters(cls)
            arguments = {k: build(v, parameters[k][0], f"{where}.{k}") for k, v in node["init_args"].items()}
            try:
                return cls(**arguments)
            except ConfigError:
                raise
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{where}: {error}") from error
        if isinstance(node, dict) and is_group(option):
            hints = group_hints(option)

            return option(**{k: build(v, hints[k], f"{where}.{k}".lstrip(".")) for k, v in node.items()})
        if isinstance(node, dict) and get_origin(option) is dict:
            return {k: build(v, get_args(option)[1], f"{where}.{k}") for k, v in node.items()}
        if isinstance(node, list) and get_origin(option) is tuple:
            return tuple(node)
    return node
