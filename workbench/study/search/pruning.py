"""Reads what a running trial writes about itself, reports it, and decides whether to go on. Through files alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.study.search.trials import INTERMEDIATE, read_looks

if TYPE_CHECKING:
    import optuna


class Watcher:
    """Asked while the child runs; True once the pruner has had enough, and from then on.

    The training does not know Optuna and the worker no torch: any storage will do, and ranks need not agree, since the
    worker alone decides and writes STOP.
    """

    def __init__(self, study: optuna.Study, number: int, folder: Path) -> None:
        import optuna

        record = next(t for t in study.get_trials(deepcopy=False) if t.number == number)
        self._reported = dict(record.intermediate_values)  # by whoever had the trial before
        self._trial = optuna.trial.Trial(study, record._trial_id)
        self._file = folder / INTERMEDIATE
        self._size = -1
        self.decision: tuple[int, float] | None = None  # percent of the updates, value

    def __call__(self) -> bool:
        """Whether the trial is to be stopped."""
        if self.decision is None and self._grown():
            for percent, value in read_looks(self._file.parent):
                if not math.isfinite(value):
                    continue
                if percent not in self._reported:
                    self._trial.report(value, percent)
                    self._reported[percent] = value
                if percent == max(self._reported) and self._trial.should_prune():
                    self.decision = (percent, value)
        return self.decision is not None

    def _grown(self) -> bool:
        try:
            size = self._file.stat().st_size
        except OSError:
            return False
        if size == self._size:
            return False
        self._size = size
        return True
