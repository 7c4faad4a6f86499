"""Looks at a student while it is trained, for a search that may stop the training: intermediate.jsonl in its folder.

The training stays what it is: a look draws from streams of its own and leaves the weights as they were.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from workbench.distill.module import Distillation
from workbench.evaluation.run import evaluate_run
from workbench.files import ReadingError, read_bytes, write_atomically
from workbench.models import trainable_state
from workbench.safe_json import parse_json
from workbench.study.files import read_json
from workbench.study.heartbeat import beat

FILE = "intermediate.jsonl"
MAX_BYTES = 1_000_000  # of it; a look has 100
LOOK_LIMIT = 900.0  # seconds that a look may be silent: the first one measures the real images


class Looks:
    """Called after every update; scores the averaged student when a share of the training is reached.

    The score is the ordinary evaluation of the student as it would be written now, under the settings that are given
    (fewer images), on all ranks together. A line of intermediate.jsonl is {"percent": of the updates, "update": ...,
    "value": of the metric, or null where it is not finite, "n": images}; a look that was made before a restart is not
    made again.

    Args:
        folder: of the cell.
        config: resolved; its `evaluation` is replaced.
        wanted: {"at": percents of the updates, "metric": name, "evaluation": settings}.
        share: of the cell's progress that the training is.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], wanted: Mapping[str, Any], share: float) -> None:
        self._folder, self._config, self._share = folder, {**config, "evaluation": wanted["evaluation"]}, share
        self._metric = str(wanted["metric"])
        self._updates = int(config["train"]["student_updates"])
        self._at = {math.ceil(percent * self._updates / 100): int(percent) for percent in wanted["at"]}
        self._main = not any(int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))

    def __call__(self, module: Distillation) -> None:
        """Look, if it is time."""
        percent = self._at.get(module.update)
        if percent is None or percent in self._known():
            return
        out = self._folder / "looks" / f"{percent:02d}"
        if self._main:
            beat(self._folder, "training", self._share * module.update / self._updates, LOOK_LIMIT)
            out.mkdir(parents=True, exist_ok=True)
            with module.ema.swap():
                weights = trainable_state(module.student)
            write_atomically(out / "student.safetensors", lambda path: save_file(weights, path))
        if dist.is_available() and dist.is_initialized():
            dist.barrier()  # the others read what the first has written
        with torch.random.fork_rng(devices=[]):  # a student's first weights are drawn before they are replaced
            values = evaluate_run(self._config, out, out, quiet=True)
        if self._main:
            self._note(percent, module.update, values.get(self._metric))
            (out / "student.safetensors").unlink()

    def _note(self, percent: int, update: int, value: float | None) -> None:
        if value is None:
            raise ValueError(f"intermediate: no evaluation gives {self._metric}, by which the search would prune.")
        found = read_json(self._folder / "looks" / f"{percent:02d}" / "evaluation.json") or {}
        row = {
            "percent": percent, "update": update, "metric": self._metric,
            "value": value if math.isfinite(value) else None, "n": found.get("n"),
        }  # fmt: skip
        lines = [*self._known().values(), json.dumps(row) + "\n"]
        write_atomically(self._folder / FILE, lambda path: _write(path, lines))  # a torn last line goes

    def _known(self) -> dict[int, str]:
        """Percent -> line, of the whole lines that are there. One that cannot be read is a look to make again."""
        try:
            text = read_bytes(self._folder / FILE, MAX_BYTES).decode(errors="replace")
        except (FileNotFoundError, ReadingError):
            return {}
        found = {}
        for line in text.splitlines(keepends=True):
            try:
                row = parse_json(line, FILE)
                if line.endswith("\n") and isinstance(row["value"], int | float | None):
                    found[int(row["percent"])] = line
            except (ValueError, LookupError, TypeError):
                continue
        return found


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8")
