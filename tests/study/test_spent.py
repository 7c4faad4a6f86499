"""Which checkpoints go when a cell is finished, and which stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import plan_of, sweep
from workbench.study.errors import SweepError
from workbench.study.files import write_json
from workbench.study.plan import Plan, load, save
from workbench.study.spent import drop_checkpoints

CHECKPOINTS = {"last.ckpt", "last.ckpt.sha256", "previous.ckpt", "previous.ckpt.sha256", "damaged.ckpt"}
KEPT = {"student.safetensors", "student-0.5.safetensors", "metrics.jsonl", "result.json"}


def left(plan: Plan, root: Path, tasks: int | None = None, student: bool = True, **result: Any) -> set[str]:
    """What stands in the folder of the first cell after a finished one has been tidied up."""
    cell = plan.cells[0]
    folder = root / cell.folder
    folder.mkdir(parents=True)
    for name in {*CHECKPOINTS, *KEPT} - ({"student.safetensors"} if not student else set()):
        (folder / name).write_text(name)
    evaluations: dict[str, Any] = {task.key: {"metrics": {}} for task in cell.tasks[:tasks]}
    write_json(
        folder / "result.json",
        {"key": cell.key, "training": cell.training, "status": "complete", "evaluations": evaluations, **result},
    )
    drop_checkpoints(plan, cell, root)
    return {file.name for file in folder.iterdir()}


def test_a_complete_cell_keeps_its_weights_and_no_checkpoint(tmp_path: Path) -> None:
    assert left(plan_of(tmp_path, sweep()), tmp_path / "root") == KEPT


@pytest.mark.parametrize(
    "case",
    [
        {"tasks": 0},
        {"status": "diverged", "step": 3},
        {"status": "pruned", "step": 3},
        {"training": "0123456789abcdef"},
    ],
    ids=["an evaluation is missing", "diverged", "pruned", "another training"],
)
def test_what_may_still_be_needed_stays(tmp_path: Path, case: dict[str, Any]) -> None:
    assert left(plan_of(tmp_path, sweep()), tmp_path / "root", **case) == KEPT | CHECKPOINTS


def test_without_the_students_weights_the_checkpoint_is_all_there_is(tmp_path: Path) -> None:
    found = left(plan_of(tmp_path, sweep()), tmp_path / "root", student=False)
    assert found == (KEPT | CHECKPOINTS) - {"student.safetensors"}


@pytest.mark.parametrize(("value", "keeps"), [(True, True), ("on", True), (False, False), ("off", False)])
def test_a_sweep_may_keep_them(tmp_path: Path, value: Any, keeps: bool) -> None:
    plan = plan_of(tmp_path, sweep(run={"keep_checkpoints": value}))
    save(plan, tmp_path)
    assert load(tmp_path) == plan, "workers read it from there"
    assert left(plan, tmp_path / "root") == (KEPT | CHECKPOINTS if keeps else KEPT)
    with pytest.raises(SweepError, match=r"run\.keep_checkpoints: must be on or off"):
        plan_of(tmp_path, sweep(run={"keep_checkpoints": 3}))


def test_the_key_changes_no_hash(tmp_path: Path) -> None:
    plans = [plan_of(tmp_path, sweep(run={"keep_checkpoints": keep})) for keep in (True, False)]
    assert plans[0].cells == plans[1].cells
