"""Which run this is: the part of a configuration that decides about the result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from workbench.config import training_part

# What may differ between the parts of one run: where it computes, not what.
_WHERE = ("devices", "num_nodes", "accelerator", "threads", "checkpoint_minutes")


def what_decides(resolved: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides about the result."""
    part = training_part(resolved)
    # an older run's file does not name what came later
    train = {"snapshots": [], **(part.get("train") or {})}
    data = part.get("data")
    if isinstance(data, dict) and isinstance(data.get("init_args"), dict):
        data = {**data, "init_args": {k: v for k, v in data["init_args"].items() if k != "quarantine" or v}}
    return {**part, "data": data, "train": {k: v for k, v in train.items() if k not in _WHERE}}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}.{key}".lstrip(".")).items()}
    return {prefix: value}


def config_hash(resolved: dict[str, Any]) -> int:
    """63 bits of what decides about the result."""
    text = json.dumps(what_decides(resolved), sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
