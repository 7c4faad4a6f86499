"""Filling in: names become class paths, what is left out becomes its default."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from workbench.config.classes import (
    constructor_parameters,
    default_of,
    find_class,
    group_hints,
    is_group,
    is_plugin,
    known,
    plain,
    short_name,
    type_options,
)
from workbench.config.errors import ConfigError, say, unknown_name


def fill(value: Any, hint: Any, where: str) -> Any:
    """`value` in the full form that `hint` asks for; names are checked here, types of numbers and strings by
    jsonargparse."""
    options, may_be_null = type_options(hint)
    if value is None and may_be_null:
        return None
    for option in options:
        if is_plugin(option):
            return fill_plugin(value, option, where)
        if is_group(option):
            return _fill_group(value, option, where)
    origin = get_origin(options[0])
    if origin is dict:
        return _fill_dict(value, get_args(options[0])[1], where)
    if options == [bool] and isinstance(value, str) and value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if options == [str] and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if options[0] is float and len(options) == 1 and isinstance(value, bool):
        raise ConfigError(f"{where}: a number is wanted, but got {say(value)}.")
    if origin is list and len(options) == 1 and not isinstance(value, (list, tuple)):
        return [value]  # one value where several may stand
    return list(value) if isinstance(value, tuple) else value


_WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def _fill_group(value: Any, group: Any, where: str) -> dict[str, Any]:
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: a group of settings is wanted, but got {say(value)}.")
    hints = group_hints(group)
    for key in value:
        if key not in hints:
            raise unknown_name(f"{where}.{key}".lstrip("."), key, hints, "setting")
    filled = {}
    for item in dataclasses.fields(group):
        given = value[item.name] if item.name in value else plain(default_of(item))
        filled[item.name] = fill(given, hints[item.name], f"{where}.{item.name}".lstrip("."))
    return filled


def _fill_dict(value: Any, hint: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: a mapping of names is wanted, but got {say(value)}.")
    # null removes an entry: a level of a sweep can take a loss away. By name, since the order of a file means nothing.
    return {str(k): fill(value[k], hint, f"{where}.{k}") for k in sorted(value, key=str) if value[k] is not None}


def fill_plugin(value: Any, base: type, where: str) -> dict[str, Any]:
    """{class_path, init_args} of a plug-in with all arguments, from its name, an object, or a part of them."""
    if isinstance(value, str):
        value = {"class_path": value}
    if isinstance(value, base):
        value = plain(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("class_path"), str):
        raise ConfigError(
            f"{where}: a {base.__name__} is wanted, by name or as {{class_path: ..., init_args: {{...}}}}, but got "
            f"{say(value)}. Known: {', '.join(known(base))}."
        )
    cls = find_class(value["class_path"], base, where)
    given = {k: v for k, v in value.items() if k not in ("class_path", "init_args")}
    init_args = value.get("init_args") or {}
    if not isinstance(init_args, Mapping):
        raise ConfigError(f"{where}.init_args: arguments by name are wanted, but got {say(init_args)}.")
    given = {**init_args, **given}
    parameters = constructor_parameters(cls)
    for key in given:
        if key not in parameters:
            raise unknown_name(f"{where}.{key}", key, parameters, f"argument of {cls.__name__}")
    filled = {}
    for key, (hint, default) in parameters.items():
        if key not in given and default is inspect.Parameter.empty:
            raise ConfigError(f"{where}: {cls.__name__} needs the argument {key!r}.")
        filled[key] = fill(given[key] if key in given else plain(default), hint, f"{where}.{key}")
    return {"class_path": short_name(cls, base), "init_args": filled}
