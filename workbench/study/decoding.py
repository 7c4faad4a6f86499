"""From JSON to dataclasses: what does not fit is one line, whoever wrote the file."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from workbench.study.errors import SweepError


def decode(cls: Any, raw: Any, where: str) -> Any:
    """An object of the dataclass `cls`; its fields' types decide what `raw` may hold. SweepError names the field.

    Known are dataclasses, str, int, float, bool, Any, Literal, X | None, tuple[X, ...] and Mapping[str, X].
    """
    if not isinstance(raw, dict):
        raise SweepError(f"{where}: must be an object, but is {_say(raw)}.")
    hints = _hints(cls)
    for key in raw:
        if key not in hints:
            raise SweepError(f"{where}: {key[:60]!r} is no part of a {cls.__name__.lower()}.")
    values = {}
    for item in dataclasses.fields(cls):
        if item.name in raw:
            values[item.name] = _value(hints[item.name], raw[item.name], f"{where}.{item.name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise SweepError(f"{where}: {item.name} is missing.")
    return cls(**values)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, raw: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return raw
    if origin in (Union, types.UnionType):
        if raw is None and type(None) in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _value(hint, raw, where)
    if dataclasses.is_dataclass(hint):
        return decode(hint, raw, where)
    if origin is tuple and isinstance(raw, list):
        return tuple(_value(arguments[0], child, f"{where}[{index}]") for index, child in enumerate(raw))
    if origin in (Mapping, dict) and isinstance(raw, dict):
        return {key: _value(arguments[1], child, f"{where}.{key[:60]}") for key, child in raw.items()}
    if origin is Literal and raw in arguments:
        return raw
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return raw
    if hint in (str, bool) and isinstance(raw, hint):
        return raw
    if hint is int and isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise SweepError(f"{where}: must be {_name(hint)}, but is {_say(raw)}.")


def _name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}.get(
        hint, "a list" if get_origin(hint) is tuple else "an object"
    )


def _say(value: Any) -> str:
    return f"{value!r}"[:60]
