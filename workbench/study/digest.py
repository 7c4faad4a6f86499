"""Hashes that decide whether something has to be computed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Raise these when a change of the code changes what a training or an evaluation gives for the same configuration.
TRAINING_VERSION = 1
EVALUATION_VERSION = 1


def digest(value: Any) -> str:
    """16 hexadecimal digits of SHA-256 over canonical JSON: key order does not matter, 1 and 1.0 differ."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# Settings that came after the first results, with the values that mean the same as their absence.
_LATER: dict[str, dict[str, tuple[Any, ...]]] = {
    "train": {"snapshots": ([],)},
    "evaluation": {"snapshot": (None, 1)},
    "data": {"quarantine": ([],)},
}


def without_later(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A group of the configuration without later settings that stand at their defaults: older hashes stay valid."""
    later = _LATER.get(group, {})
    return {key: value for key, value in settings.items() if key not in later or value not in later[key]}


def data_without_later(data: Any) -> Any:
    """The `data` of a configuration, whose settings stand under init_args, in the same way."""
    arguments = data.get("init_args") if isinstance(data, Mapping) else None
    return {**data, "init_args": without_later("data", arguments)} if isinstance(arguments, Mapping) else data
