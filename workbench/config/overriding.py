"""Overrides: a value put at a dotted key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from workbench.config.classes import (
    constructor_parameters,
    find_class,
    group_hints,
    is_group,
    is_plugin,
    known,
    type_options,
)
from workbench.config.errors import ConfigError, say, unknown_name
from workbench.config.filling import fill_plugin


def put(node: Any, hint: Any, parts: Sequence[str], value: Any, where: str) -> Any:
    """`node`, of type `hint`, with `value` put at the place that `parts` names below it. A filled-in node stays filled
    in."""
    options, _ = type_options(hint)
    plugin = next((option for option in options if is_plugin(option)), None)
    if parts and parts[0] == "init_args" and plugin is not None:
        parts = parts[1:]  # model.trajectory.init_args.states and model.trajectory.states are the same place
        if not parts and not isinstance(value, Mapping):
            raise ConfigError(f"{where}.init_args: arguments by name are wanted, but got {say(value)}.")
    if not parts:
        if not isinstance(value, Mapping) or "class_path" in value or not isinstance(node, dict):
            return value
        for name, item in value.items():  # a mapping changes what is there, name by name
            node = put(node, hint, str(name).split("."), item, where)
        return node
    if node is None:
        raise ConfigError(f"{where} is switched off. Switch it on first, for example `{where}: {_example(plugin)}`.")
    head, rest, below = parts[0], parts[1:], f"{where}.{parts[0]}".lstrip(".")
    if plugin is not None:
        if head == "class_path":
            return {"class_path": value}
        if isinstance(node, str) or head not in node.get("init_args", {}):  # an earlier override put a new plug-in here
            node = fill_plugin(node, plugin, where)
        parameters = constructor_parameters(find_class(node["class_path"], plugin, where))
        if head not in parameters:
            raise unknown_name(below, head, parameters, f"argument of {node['class_path']}")
        arguments = node["init_args"]
        return {
            **node,
            "init_args": {**arguments, head: put(arguments[head], parameters[head][0], rest, value, below)},
        }
    if is_group(options[0]):
        hints = group_hints(options[0])
        if head not in hints:
            raise unknown_name(below, head, hints, "setting")
        return {**node, head: put(node[head], hints[head], rest, value, below)}
    if get_origin(options[0]) is dict:
        entry = put(node.get(head), get_args(options[0])[1], rest, value, below)
        return {k: v for k, v in {**node, head: entry}.items() if v is not None}
    raise ConfigError(f"{below}: {where} is {say(node)}, which has no parts.")


def _example(plugin: type | None) -> str:
    return next(iter(known(plugin)), "...") if plugin is not None else "..."
