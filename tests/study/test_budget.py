"""Equal budgets: the updates of an arm follow from what an update of it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.fakes import SHIFTS, plan_of, sweep
from tests.study.test_cost import config
from workbench.study.budget import updates_within, within_budget
from workbench.study.cost import training_passes
from workbench.study.errors import SweepError
from workbench.study.facts import trained_passes
from workbench.study.plan import load, save

adversarial = st.builds(
    lambda updates, warmup: {
        "class_path": "Adversarial",
        "init_args": {"critic_updates": updates, "critic_warmup": warmup},
    },
    st.integers(1, 5),
    st.integers(0, 30),
)
configs = st.builds(
    lambda steps, teacher, forward, critic, batch: {
        **config(
            num_steps=steps,
            target={"steps": teacher},
            trajectory="Forward" if forward else "Backward",
            adversarial=critic,
        ),
        "train": {"student_updates": 1, "batch_size": batch},
    },
    st.integers(1, 4),
    st.integers(1, 25),
    st.booleans(),
    st.none() | adversarial,
    st.integers(1, 32),
)


def cost(raw: dict[str, Any], updates: int) -> float:
    return training_passes({**raw, "train": {**raw["train"], "student_updates": updates}})


@given(configs, st.floats(0, 1e6))
def test_the_budget_is_spent_and_never_exceeded(raw: dict[str, Any], passes: float) -> None:
    if cost(raw, 1) > passes:
        with pytest.raises(ValueError, match="more than the budget"):
            updates_within(raw, passes)
        return
    updates = updates_within(raw, passes)
    assert cost(raw, updates) <= passes < cost(raw, updates + 1)
    trained = within_budget(raw, passes)
    assert trained["train"]["student_updates"] == updates and raw["train"]["student_updates"] == 1
    assert trained_passes(trained) == cost(raw, updates)


@given(configs, st.integers(4, 500), st.floats(0.01, 1))
def test_a_snapshot_has_cost_its_share(raw: dict[str, Any], updates: int, share: float) -> None:
    trained = {**raw, "train": {**raw["train"], "student_updates": updates}}
    at = max(1, int(share * updates + 1e-9))
    assert trained_passes(trained, share) == cost(raw, at) <= trained_passes(trained) == cost(raw, updates)


def test_a_dear_arm_trains_shorter_for_the_same_passes(tmp_path: Path) -> None:
    # the little language of the tests knows no losses: what differs is the rollout, which noised images do not need
    plan = plan_of(tmp_path, sweep(budget={"passes": 1000}))
    updates = {cell.arm: cell.config["train"]["student_updates"] for cell in plan.cells}
    assert 1 < updates["baseline"] < updates["trajectory-forward"]
    for trained in {cell.arm: cell.config for cell in plan.cells}.values():
        more = {**trained, "train": {**trained["train"], "student_updates": trained["train"]["student_updates"] + 1}}
        assert training_passes(trained) <= 1000 < training_passes(more)
    save(plan, tmp_path)
    assert load(tmp_path) == plan and plan.budget == 1000


def test_other_budgets_are_other_trainings(tmp_path: Path) -> None:
    keys = [
        {c.training for c in plan_of(tmp_path, sweep(budget=b)).cells} for b in (None, {"passes": 1e3}, {"passes": 1e4})
    ]
    assert not keys[0] & keys[1] and not keys[1] & keys[2]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"budget": 1000}, "must be {passes: N}"),
    ({"budget": {"pases": 1}}, 'Did you mean "passes"?'),
    ({"budget": {"passes": 0}}, "above 0"),
    ({"budget": {"passes": True}}, "above 0"),
    ({"budget": {"passes": 50}}, "arm baseline: one update costs"),
    ({"budget": {"passes": 1e4}, "set": {"train.student_updates": 5}}, "set: writes train.student_updates"),
    (
        {"budget": {"passes": 1e4}, "arms": {"a": {"train": {"student_updates": 5}}}},
        "arms.a: writes train.student_updates",
    ),
    (
        {
            "budget": {"passes": 1e4},
            "factors": {"n": {"x": {}, "y": {"train.student_updates": 9}}},
            "baseline": {"n": "x"},
        },
        "factors.n.y: writes train.student_updates",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_budget_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError) as caught:
        plan_of(tmp_path, sweep(**changes))
    assert message in str(caught.value)


def test_a_condition_of_the_factor_is_no_level(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"factors": SHIFTS, "baseline": {"trajectory": "backward", "shift": "none"}}
    assert plan_of(tmp_path, sweep(budget={"passes": 1e4}, **changes)).budget == 1e4


def test_a_methods_own_length_gives_way_to_the_budget(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("base: base.yaml\nset: {train.student_updates: 10000}\n")
    factors = {"method": {"ours": {}, "long": {"file": "long.yaml", "model.trajectory": "Forward"}}}
    plan = plan_of(tmp_path, sweep(factors=factors, baseline={"method": "ours"}, budget={"passes": 1000}))
    assert all(cell.config["train"]["student_updates"] <= 10 for cell in plan.cells)
