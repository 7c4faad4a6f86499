"""Progress: one line that says how far a training is and when it will be done."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """`43/150 updates  29 %  0.84 s each  eta 1:30  distance 0.412` on a terminal, rewritten in place; a line every
    tenth of the way elsewhere.

    Args:
        total: student updates.
        done: of them, before this process began (a resumed run).
        stream: where to; None says nothing.
    """

    def __init__(self, total: int, done: int, stream: TextIO | None = sys.stderr) -> None:
        self._total = total
        self._done_before = done
        self._stream = stream
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._shown_tenth = -1

    def show(self, update: int, note: str = "") -> None:
        """Say that `update` student updates are done."""
        if self._stream is None:
            return
        now = time.monotonic()
        if update == 0:  # the warm-up of a critic is not the pace of the student
            self._began = now
        on_terminal = self._stream.isatty()
        tenth = 10 * update // self._total
        if update < self._total and (now - self._shown_at < 0.5 if on_terminal else tenth == self._shown_tenth):
            return
        self._shown_at, self._shown_tenth = now, tenth
        here = update - self._done_before
        pace = (now - self._began) / here if here > 0 else None
        timing = "" if pace is None else f"  {pace:.2f} s each  eta {duration(pace * (self._total - update))}"
        line = f"{update}/{self._total} updates  {100 * update // self._total} %{timing}  {note}".rstrip()
        self._stream.write(f"\r\x1b[K{line}" if on_terminal else f"{line}\n")
        if on_terminal and update == self._total:
            self._stream.write("\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
