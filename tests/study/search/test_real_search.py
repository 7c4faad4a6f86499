"""A search with the real configuration, training and evaluation, on the tiny teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.evaluate.conftest import tiny_clip_path  # noqa: F401
from tests.study.test_real_sweep import run, write
from workbench.config import load_yaml, resolve
from workbench.study import plan as plans
from workbench.study.results import cell_result
from workbench.study.search.trials import Standing, Trials
from workbench.training.run import Run

SEARCH = """
question: Does a search fit together?
base: base.yaml
search:
  trials: 2
  minimise: FD[judge]
  sampler: RandomSampler
  intermediate: {at: [0.5], num_images: 6}
  confirm: {seeds: 1}
  space:
    train.learning_rate: {low: 1e-5, high: 1e-3, log: true}
    shift:
      choices:
        none: {model.losses.reconstruction.target.shift: IdentityShift}
        scale: {model.losses.reconstruction.target.shift: ScaleShift}
    gamma: {under: {shift: scale}, key: model.losses.reconstruction.target.shift.factor, low: 0.5, high: 0.9}
set: {train.threads: 1, evaluation.num_reference: 40, evaluation.diversity_prompts: 0, evaluation.teacher_steps: 0}
run: {retries: 0}
"""


def test_a_look_leaves_the_training_as_it_is_and_the_best_is_confirmed(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,  # noqa: F811
) -> None:
    path = write(tmp_path, tiny_teacher_path, SEARCH)
    run(path, tiny_clip_path)
    root = tmp_path / "results" / "tiny"
    found = Trials(root).standings()
    assert [s.state for s in found] == ["complete"] * 2
    assert all(len(s.looks) == 1 and s.looks[0][0] == 50 for s in found)
    folder = root / found[0].trial.cell.folder
    wanted = yaml.safe_load((folder / "evaluations.yaml").read_text())
    assert wanted["intermediate"]["evaluation"]["num_images"] == 6
    assert not list(folder.glob("looks/*/student.safetensors")), "the weights of a look are not kept"
    # The same configuration by hand, as many threads, but no look on the way: the same student, byte for byte.
    again = tmp_path / "again"
    Run(load_yaml(folder / "config.yaml"), again, quiet=True).train()
    assert (again / "student.safetensors").read_bytes() == (folder / "student.safetensors").read_bytes()
    assert (again / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()
    best = load_yaml(root / "best.yaml")
    assert resolve(best) == best, "complete, and what workbench.train --config takes"
    below = root / "tiny-confirm"
    plan = plans.load(below)
    assert plan.seeds == (1,) and len(plan.cells) == 2
    for cell in plan.cells:
        result = cell_result(plan, cell, below)
        assert result is not None and all("FD[judge]" in e["metrics"] for e in result["evaluations"].values())


ABOVE_ALL = {"class_path": "ThresholdPruner", "upper": 1e-9}


def two_ranks(folder: Path, teacher: Path, clip: Path, trials: int, pruner: dict[str, Any]) -> list[Standing]:
    """A search whose every trial is a training of two gloo processes, which the pruner may stop at half of it."""
    raw = yaml.safe_load(SEARCH)
    raw["search"] |= {"trials": trials, "confirm": "none", "pruner": pruner}
    raw["run"] |= {"devices": 2}
    raw["search"]["intermediate"]["at"] = [0.1]  # the worker judges while the training goes on
    raw["set"] |= {"train.student_updates": 100}
    path = write(folder, teacher, yaml.safe_dump(raw, sort_keys=False))
    run(path, clip)
    return Trials(folder / "results" / "tiny").standings()


@pytest.mark.slow
def test_two_ranks_look_together(tmp_path: Path, tiny_teacher_path: Path, tiny_clip_path: Path) -> None:  # noqa: F811
    """Two gloo processes evaluate on the way, and the pruner stops both; no process is left behind."""
    (found,) = two_ranks(tmp_path, tiny_teacher_path, tiny_clip_path, 1, ABOVE_ALL)
    assert found.state == "pruned" and len(found.looks) == 1
    folder = tmp_path / "results" / "tiny" / found.trial.cell.folder
    assert not (folder / "student.safetensors").exists() and (folder / "last.ckpt").exists()
