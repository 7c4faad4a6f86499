"""Keeper: what happens between two ticks: checkpoints, sample grids, the exposure gap, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.distill.checkpoint import save_checkpoint
from workbench.distill.diagnostics import Diagnostics
from workbench.distill.module import Distillation
from workbench.distill.state import Keyed
from workbench.training.progress import Progress
from workbench.training.samples import sample_grid, write_png
from workbench.training.weights import write_student


class Keeper:
    """Called by Distillation after every tick, on every rank; only the first writes files.

    Args:
        module: the training.
        folder: the run folder; None on other ranks than 0.
        identity: goes into every checkpoint beside the state, to recognise the run by; `teacher` is the teacher's hash.
        checkpoint_seconds: between two checkpoints; 0 = after every tick.
        sample_every, probe_every: student updates between two sample grids, two measurements of the gap; 0 = never.
        sample_cond: (n, L, D), the captions of the grids; sample_random their draws; sample_grids a column each.
        diagnostics, probe_latents: for the exposure gap; None without real images.
        snapshots: student update -> file that the averaged student of that moment goes to.
        on_save: called after every checkpoint that this process writes.
        stop: asked after every tick; True saves and ends the training.
        progress: what the user sees.
        on_update: called after every update of the student, on every rank.
        final_checkpoint: write one after the last tick too, for a run that goes on with more updates.
    """

    def __init__(
        self,
        module: Distillation,
        folder: Path | None,
        identity: dict[str, Any],
        checkpoint_seconds: float,
        sample_every: int,
        sample_cond: Tensor,
        sample_random: Keyed,
        sample_grids: Sequence[Sequence[int]],
        probe_every: int,
        diagnostics: Diagnostics | None,
        probe_latents: Tensor | None,
        snapshots: Mapping[int, Path],
        on_save: Callable[[], None],
        stop: Callable[[], bool] | None,
        progress: Progress,
        on_update: Callable[[Distillation], None] | None = None,
        final_checkpoint: bool = True,
    ) -> None:
        self._module = module
        self._folder = folder
        self._identity = identity
        self._checkpoint_seconds = checkpoint_seconds
        self._sample_every = sample_every
        self._sample_cond = sample_cond
        self._sample_random = sample_random
        self._sample_grids = sample_grids
        self._probe_every = probe_every
        self._diagnostics = diagnostics
        self._probe_latents = probe_latents
        self._snapshots = dict(snapshots)
        self._on_save = on_save
        self._stop = stop
        self._progress = progress
        self._on_update = on_update
        self._final_checkpoint = final_checkpoint
        self._saved_at = time.monotonic()
        self.stopped = False
        module.wants = self.wants
        module.after_tick = self.after_tick

    def wants(self) -> tuple[bool, bool]:
        """(stop, save) as this process sees it."""
        stop = self._stop is not None and self._stop()
        due = self._folder is not None and time.monotonic() - self._saved_at >= self._checkpoint_seconds
        return stop, due

    def begin(self) -> None:
        """Before the first tick of a run that starts: the untrained student's grid and gap."""
        self._look(0)

    def after_tick(self, stop: bool, save: bool) -> bool:
        """What is due; False ends the training."""
        module = self._module
        is_over = module.tick == module.total_ticks
        if module.tick > module.warmup_ticks:
            self._look(module.update, is_over)
            # Before the checkpoint: a run that goes on from it never comes back to this update.
            if self._folder is not None and module.update in self._snapshots:
                write_student(module, self._snapshots[module.update], self._identity["teacher"])
            if self._on_update is not None and not is_over:
                self._on_update(module)
        self._progress.show(module.update, _note(module))
        if stop or save or is_over:
            module.recorder.flush()
            if self._folder is not None:
                metrics_bytes = module.recorder.sync()
                if stop or not is_over or self._final_checkpoint:
                    state = {"metrics_bytes": metrics_bytes, **module.training_state()}
                    save_checkpoint(self._folder, {**self._identity, **state})
                    self._on_save()
            self._saved_at = time.monotonic()
        self.stopped = stop and not is_over
        return not stop

    def _look(self, update: int, is_over: bool = False) -> None:
        every = self._sample_every
        if every and self._folder is not None and (update % every == 0 or is_over):
            module = self._module
            with module.ema.swap():
                image = sample_grid(
                    module.teacher,
                    module.student,
                    self._sample_grids,
                    module.sampler,
                    self._sample_cond,
                    self._sample_random,
                )
            (self._folder / "samples").mkdir(exist_ok=True)
            write_png(self._folder / "samples" / f"{update:06}.png", image)
            module.recorder.image("samples", image, update)
        if self._probe_every and (update % self._probe_every == 0 or is_over):
            self._probe(update)

    def _probe(self, update: int) -> None:
        module = self._module
        if self._diagnostics is None or self._probe_latents is None:
            return
        gaps = self._diagnostics.exposure_gap(module.losses, self._probe_latents)
        for t, by_name in gaps.items():
            where = {"update": update, "tick": max(0, module.tick - 1), "t": t}
            module.recorder.add(where, {f"exposure_gap/{name}": gap for name, gap in by_name.items()})


def _note(module: Distillation) -> str:
    if module.update == 0 and module.warmup_ticks:
        return f"critics warm up, {module.tick}/{module.warmup_ticks}"
    found = {name: v for name, v in module.recorder.last.items() if name.startswith("distance/") and v is not None}
    at = f" at t = {module.recorder.last['t']}" if found else ""
    return "  ".join(f"{name.split('/')[1]} {value:.4g}" for name, value in found.items()) + at
