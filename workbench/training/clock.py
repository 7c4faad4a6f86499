"""How long a run has trained, over all its starts."""

from __future__ import annotations

import json
from pathlib import Path

CLOCK = "clock.json"  # {"seconds": ...} at the last checkpoint


def read_clock(folder: Path) -> float:
    """Seconds of the starts before this one, 0 for a run that starts or whose clock cannot be read."""
    if not (folder / "last.ckpt").exists():
        return 0.0
    try:
        return float(json.loads((folder / CLOCK).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
