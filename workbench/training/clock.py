"""How long a run has trained, over all its starts."""

from __future__ import annotations

import math
from pathlib import Path

from workbench.safe_json import read_json

CLOCK = "clock.json"  # {"seconds": ...} at the last checkpoint
MAX_BYTES = 10_000


def read_clock(folder: Path) -> float:
    """Seconds of the starts before this one, 0 for a run that starts or whose clock cannot be read."""
    if not (folder / "last.ckpt").exists():
        return 0.0
    try:
        seconds = float(read_json(folder / CLOCK, MAX_BYTES)["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds >= 0 else 0.0  # "nan" is a text, but float takes it
