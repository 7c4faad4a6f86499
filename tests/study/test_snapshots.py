"""What a plan keeps of snapshots, selections and conditional evaluations, and which hashes it leaves alone."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import BASE, EVALUATE, REFERENCES, plan_of, resolve, sweep, write
from workbench.study.errors import SweepError
from workbench.study.plan import Plan, load, save
from workbench.study.plan_view import scoring_of
from workbench.study.planning import make_plan
from workbench.study.sweep_file import read_sweep

STEPS = EVALUATE["steps"]


def planned(folder: Path, raw: dict[str, Any], train: dict[str, Any], evaluation: dict[str, Any]) -> Plan:
    """The plan over the tests' base with these keys changed; None takes a key away."""
    base: dict[str, Any] = deepcopy(BASE)
    base["train"] = {key: value for key, value in {**base["train"], **train}.items() if value is not None}
    base["evaluation"] |= evaluation
    path = write(folder, raw)
    path.with_name("base.yaml").write_text(json.dumps(base))
    return make_plan(read_sweep(path), resolve)


def test_a_conditional_evaluation_exists_under_its_parents_level_alone(tmp_path: Path) -> None:
    evaluate: dict[str, Any] = {
        "steps": STEPS,
        "inference": {
            "under": {"steps": "3"},
            "on": {"evaluation.noise_correction": True},
            "off": {"evaluation.noise_correction": False},
        },
    }
    plan = plan_of(tmp_path, sweep(evaluate=evaluate))
    wanted = [{"steps": "3", "inference": "on"}, {"steps": "3", "inference": "off"}, {"steps": "1"}]
    assert list(plan.evaluations) == wanted
    assert all(len(cell.tasks) == 3 for cell in plan.cells)
    evaluate["inference"]["same"] = {"evaluation.noise_correction": True}
    with pytest.raises(SweepError, match="changes nothing"):
        plan_of(
            tmp_path,
            sweep(
                evaluate={
                    **evaluate,
                    "inference": {**evaluate["inference"], "same": {"evaluation.noise_correction": True}},
                }
            ),
        )


def test_settings_that_came_later_leave_old_hashes_alone(tmp_path: Path) -> None:
    def keys(train: dict[str, Any], evaluation: dict[str, Any]) -> tuple[set[str | None], set[str]]:
        plan = planned(tmp_path, sweep(), train, evaluation)
        return {cell.training for cell in plan.cells}, {task.key for cell in plan.cells for task in cell.tasks}

    before = keys({"snapshots": None}, {})
    for evaluation in ({}, {"snapshot": None}, {"snapshot": 1}, {"snapshot": 1.0}):
        assert keys({"snapshots": []}, evaluation) == before
    training, tasks = keys({"snapshots": []}, {"snapshot": 0.5})
    assert training == before[0] and not tasks & before[1]
    assert not keys({"snapshots": [0.5]}, {})[0] & before[0]


SELECT: dict[str, Any] = {"snapshots": [0.5, 1], "on": "FD[judge]", "num_images": 64}


def test_a_selection_keeps_what_it_chooses_from_and_is_part_of_the_evaluation(tmp_path: Path) -> None:
    evaluate = {"at": {"chosen": {}, "half": {"evaluation.snapshot": 0.5}}}
    raw = sweep(evaluate=evaluate, select=SELECT, set={"train.snapshots": [0.25]}, references=REFERENCES)
    plan = planned(tmp_path, raw, {}, {"snapshot": None})
    rule = {"snapshots": [0.5, 1.0], "on": "FD[judge]", "direction": "min", "num_images": 64}
    for cell in plan.cells:
        if cell.training:
            assert cell.config["train"]["snapshots"] == [0.25, 0.5]
        assert [task.select for task in cell.tasks] == ([rule, None] if cell.training else [None] * len(cell.tasks))
    trained = next(cell for cell in plan.cells if cell.training)
    images, several = 8 + 16 * 8, 2 * 64  # the report's, and those of two snapshots on the tune half
    assert scoring_of(trained) == 3 * (2 * images + several), "three steps an image; one task chooses, one does not"
    save(plan, tmp_path)
    assert load(tmp_path) == plan
    other = planned(tmp_path, {**raw, "select": {**SELECT, "num_images": 65}}, {}, {"snapshot": None})
    assert {c.training for c in other.cells} == {c.training for c in plan.cells}
    ours, theirs = ({t.key for c in p.cells for t in c.tasks if t.select} for p in (plan, other))
    assert len(ours) == len(theirs) == 6 and not ours & theirs


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (["0.5"], "must be a mapping"),
        ({**SELECT, "snapshot": 1}, 'Did you mean "snapshots"?'),
        ({**SELECT, "snapshots": [1]}, "at least two"),
        ({**SELECT, "snapshots": [0.5, 1.5]}, "up to 1"),
        ({**SELECT, "snapshots": [0.5, 0.5]}, "different"),
        ({**SELECT, "on": "recall[judge]"}, "must be a metric of this file"),
        ({**SELECT, "num_images": 8}, "from 64"),
    ],
)
def test_a_selection_that_cannot_choose_is_refused(tmp_path: Path, select: Any, message: str) -> None:
    with pytest.raises(SweepError) as caught:
        plan_of(tmp_path, sweep(select=select))
    assert message in str(caught.value)
