"""What a child says about itself while it works: phase, progress, and how long a silence would be odd."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.safe_json import read_json

LEAST_LIMIT = 30.0  # seconds; a step limit below would call a busy machine hung
STEP_FACTOR = 20.0  # times the median step


@dataclass(frozen=True)
class Beat:
    """A sign of life. progress: 0 to 1 of the whole cell; limit: seconds after which silence means hung."""

    phase: str
    progress: float
    limit: float


def beat(folder: Path, phase: str, progress: float, limit: float) -> None:
    """Write the beat. No fsync: a beat that a crash loses says nothing anyway."""
    temporary = folder / f".tmp-beat-{os.getpid()}"
    try:
        temporary.write_text(json.dumps({"phase": phase, "progress": progress, "limit": limit, "time": time.time()}))
        os.replace(temporary, folder / "heartbeat")
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def last_beat(folder: Path) -> tuple[Beat, float] | None:
    """The last beat and its age in seconds, or None before the first one."""
    path = folder / "heartbeat"
    try:
        raw: Any = read_json(path, limit=10_000)
        # The child's own clock, which is the worker's too; a file server's may differ.
        age = time.time() - float(raw["time"])
        return Beat(str(raw["phase"]), float(raw["progress"]), float(raw["limit"])), age
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Steps:
    """Beats once a step, at most once a second, with a limit of 20 median steps and at least 30 s."""

    def __init__(self, folder: Path, phase: str, least_limit: float = LEAST_LIMIT) -> None:
        self._folder, self._phase, self._least = folder, phase, least_limit
        self._durations: deque[float] = deque(maxlen=101)
        self._last_step = self._last_beat = 0.0

    def __call__(self, progress: float) -> None:
        """A step is done."""
        now = time.monotonic()
        if self._last_step:
            self._durations.append(now - self._last_step)
        self._last_step = now
        if now - self._last_beat >= 1.0:
            self._last_beat = now
            # The first steps compile and allocate: no deadline can be told from them.
            known = statistics.median(self._durations) if len(self._durations) >= 5 else 30.0
            beat(self._folder, self._phase, progress, max(self._least, STEP_FACTOR * known))
