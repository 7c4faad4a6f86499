"""Recorder: what is measured goes to metrics.jsonl; TensorBoard is a view of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.distill.ranks import mean_over_ranks
from workbench.files import ReadingError, write_atomically
from workbench.safe_json import parse_json

METRICS = "metrics.jsonl"
_KEYS = ("update", "tick", "t", "num_steps")  # where and when; the rest of a row is measured


class Recorder:
    """Rows of scalars, kept on the device until :meth:`flush` brings them to the host in one copy and one collective.

    A row is {"update": int, "tick": int, "t": int, "num_steps": int, name: float, ...}; metrics.jsonl has one a line, a
    number that is not finite as null. It holds nothing that a repetition would not give again (no times). On other
    ranks than 0 nothing is written, but flush must be called there too.

    Args:
        folder: the run folder; None writes nothing (other ranks, tests).
        resume_tick: rows of later ticks are dropped: they will be made again.
    """

    def __init__(self, folder: Path | None, resume_tick: int = 0) -> None:
        self._folder = folder
        self._buffer: list[tuple[dict[str, Any], dict[str, Tensor]]] = []
        self._writer: Any = None
        self.last: dict[str, Any] = {}  # the last row of an update
        self.latest: dict[str, float] = {}  # TensorBoard tag -> last value
        if folder is not None:
            _truncate(folder / METRICS, resume_tick)
            from torch.utils.tensorboard import SummaryWriter  # seconds of import, rank 0 only

            self._writer = SummaryWriter(str(folder / "tb"), purge_step=resume_tick or None)

    def add(self, where: Mapping[str, int], scalars: Mapping[str, Tensor | float]) -> None:
        """One row; tensors stay where they are. The same names on every rank."""
        plain = {name: value for name, value in scalars.items() if not isinstance(value, Tensor)}
        tensors = {name: value.detach() for name, value in scalars.items() if isinstance(value, Tensor)}
        self._buffer.append(({**where, **plain}, tensors))

    def flush(self) -> list[dict[str, Any]]:
        """Write what was added since the last flush; tensors become their means over the ranks."""
        if not self._buffer:
            return []
        values = [value.float().reshape(()) for _, tensors in self._buffer for value in tensors.values()]
        host = iter(mean_over_ranks(torch.stack(values)).tolist() if values else [])
        rows = [_finished({**row, **{name: next(host) for name in tensors}}) for row, tensors in self._buffer]
        self._buffer.clear()
        self.last = next((row for row in reversed(rows) if "learning_rate" in row), rows[-1])
        for row in rows:
            self.latest |= _tagged(row)
        if self._folder is not None:
            with (self._folder / METRICS).open("a", encoding="utf-8") as stream:
                stream.write("".join(json.dumps(row) + "\n" for row in rows))
            for row in rows:
                self._show(row)
            self._writer.flush()
        return rows

    def sync(self) -> int:
        """Bring what was flushed to the disk; returns the size of metrics.jsonl, in bytes.

        Before a checkpoint: after a power cut the record must not end before the checkpoint does.
        """
        if self._folder is None or not (self._folder / METRICS).exists():
            return 0
        with (self._folder / METRICS).open("ab") as stream:
            os.fsync(stream.fileno())
            return stream.tell()

    def image(self, name: str, image: Tensor, update: int) -> None:
        """A picture for TensorBoard, uint8 (3, H, W)."""
        if self._writer is not None:
            self._writer.add_image(name, image, update)

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """The HPARAMS entry of the run, once, at its end."""
        if self._writer is None:
            return
        from torch.utils.tensorboard.summary import hparams

        allowed = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in settings.items()}
        # add_hparams would open a second run folder of its own; the three summaries belong to this one.
        for summary in hparams(allowed, dict(results)):
            self._writer.file_writer.add_summary(summary)
        for name, value in results.items():
            self._writer.add_scalar(name, value)

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        if self._writer is not None:
            self._writer.close()

    def _show(self, row: Mapping[str, Any]) -> None:
        for tag, value in _tagged(row).items():
            self._writer.add_scalar(tag, value, row["update"])


_PER_T = {"loss", "distance", "target_std", "std_ratio", "exposure_gap", "gradient_at_x0"}


def _tagged(row: Mapping[str, Any]) -> dict[str, float]:
    """TensorBoard tag -> value. Losses of different t have different sizes: a curve each. The rest is one curve."""
    at = f"/t={row['t']}" if "t" in row else ""
    return {
        f"{name}{at}" if name.split("/")[0] in _PER_T else name: value
        for name, value in row.items()
        if name not in _KEYS and value is not None
    }


def _finished(row: dict[str, Any]) -> dict[str, Any]:
    """Moments become standard deviations, and what is not finite null."""
    for name in [name for name in row if name.startswith("_moments/")]:
        first, second = row.pop(name), row.pop(name.replace("_moments/", "_squares/"))
        loss = name.removeprefix("_moments/")
        std = math.sqrt(max(second - first**2, 0)) if math.isfinite(second) else math.nan
        row[f"target_std/{loss}"] = std
        reference = row.pop(f"_reference/{loss}", None)
        if reference:
            row[f"std_ratio/{loss}"] = std / reference
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _truncate(path: Path, resume_tick: int) -> None:
    """Keep the whole lines of ticks before `resume_tick`; what a kill tore off, or will be repeated, goes."""
    if not path.exists():
        return
    kept = []
    # A power cut can leave anything behind the last line that was synced.
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            row = parse_json(line, METRICS)
        except ReadingError:
            break
        tick = row.get("tick", 0) if isinstance(row, dict) else None
        if not line.endswith("\n") or not isinstance(tick, int) or tick >= resume_tick:
            break
        kept.append(line)
    write_atomically(path, lambda temporary: _write(temporary, kept))


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8")
