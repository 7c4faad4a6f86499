"""Overrides: dotted keys of the configuration, applied in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def overlap(a: str, b: str) -> bool:
    """Whether one key is the other or lies under it: model.trajectory and model.trajectory.states."""
    return a == b or a.startswith(b + ".") or b.startswith(a + ".")


def writes(overrides: Mapping[str, Any], wanted: str) -> bool:
    """Whether they set the key, by itself or within a group: train: {student_updates: 5}."""

    def sets(key: str, value: Any) -> bool:
        return key == wanted or (isinstance(value, Mapping) and any(sets(f"{key}.{k}", v) for k, v in value.items()))

    return any(sets(key, value) for key, value in overrides.items())


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """The layers in order, later ones winning; the order of the keys is the order to apply them in.

    A later `model.trajectory: Forward` replaces the part and drops an earlier `model.trajectory.states`, which belonged
    to the old one. A mapping without class_path, `model.ema: {decay: .9}`, sets arguments and replaces nothing.
    """
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and "class_path" not in value:
                earlier = result.get(key)
                together = isinstance(earlier, Mapping) and "class_path" not in earlier
                result[key] = {**earlier, **value} if together and isinstance(earlier, Mapping) else value
                continue
            for old in [old for old in result if old == key or old.startswith(key + ".")]:
                del result[old]
            result[key] = value
    return result
