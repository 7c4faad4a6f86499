"""Hashes that decide whether something has to be computed again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Raise these when a change of the code changes what a training or an evaluation gives for the same configuration.
TRAINING_VERSION = 1
EVALUATION_VERSION = 1


def digest(value: Any) -> str:
    """16 hexadecimal digits of SHA-256 over canonical JSON: key order does not matter, 1 and 1.0 differ."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
