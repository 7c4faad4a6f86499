"""A run has as many processes as its configuration says, whatever the environment that it inherits."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.config import resolve
from workbench.training.run import Run, _Launched


def test_another_number_of_processes_is_refused_before_the_first_step() -> None:
    """SLURM_NTASKS and its like, inherited from an interactive job, make Lightning start one rank of the two."""
    module: Any = SimpleNamespace()
    with pytest.raises(RuntimeError, match=r"2 processes were asked for .* but there are 1.*SLURM"):
        _Launched(2, None, 0).on_fit_start(SimpleNamespace(), module)


def test_a_training_of_two_processes_is_guarded_and_has_two_whatever_it_inherits(
    tiny_teacher_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is a part of the real trainer, and Lightning's own view of the world is not that of a leaked job."""
    leaked = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x", "SLURM_PROCID": "0", "SLURM_NODEID": "0"}
    for name, value in leaked.items():
        monkeypatch.setenv(name, value)
    settings = {"teacher.path": str(tiny_teacher_path), "train.accelerator": "cpu", "train.devices": 2}
    trainer = Run(resolve({}, settings), tmp_path / "run")._trainer()
    (guard,) = [callback for callback in trainer.callbacks if isinstance(callback, _Launched)]
    assert guard._processes == trainer.world_size == 2
