"""Equal budgets: the updates of an arm follow from what an update of it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.fakes import SHIFTS, plan_of, sweep
from tests.study.test_cost import config
from workbench.snapshots import snapshot_file, snapshot_update
from workbench.study.budget import share_of_updates, updates_within, within_budget
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


staged = st.builds(
    lambda stages, raw: {**raw, "model": {**raw["model"], "trajectory": _staged(stages)}},
    st.sampled_from([[16, 8, 4], [4, 2, 1], [5], [3, 7]]),
    configs,
)


def _staged(stages: list[int]) -> dict[str, Any]:
    return {"class_path": "Staged", "init_args": {"stages": stages}}


mixed = configs.map(lambda raw: {**raw, "model": {**raw["model"], "trajectory": "Mixture"}})


@given(configs | staged | mixed, st.integers(4, 400), st.integers(1, 400))
def test_the_first_updates_cost_what_they_cost(raw: dict[str, Any], updates: int, at: int) -> None:
    """Each update adds its own passes, so that a part costs less than the whole and the last part ends at it."""
    trained = {**raw, "train": {**raw["train"], "student_updates": updates}}
    whole = training_passes(trained)
    at = min(at, updates)
    until, before = training_passes(trained, at), training_passes(trained, at - 1) if at > 1 else 0.0
    assert before < until <= whole * (1 + 1e-12)
    assert training_passes(trained, updates) == whole == training_passes(trained, updates + 9)


def test_a_part_of_a_staged_training_costs_its_own_stages() -> None:
    """16 -> 8 -> 4 steps by hand: a guided teacher of two moves first (3 + 4 passes), then an unguided one (3 + 2)."""
    target = {"class_path": "ProgressiveTarget", "init_args": {"steps": 2}}
    losses = {"reconstruction": {"class_path": "Reconstruction", "init_args": {"target": target}}}
    model = {"num_steps": 4, "trajectory": _staged([16, 8, 4]), "losses": losses}
    raw = {"model": model, "train": {"student_updates": 30, "batch_size": 1}}
    assert [training_passes(raw, n) for n in (1, 10, 11, 30)] == pytest.approx([7, 70, 75, 170])


def test_a_part_of_nested_trajectories_costs_what_its_updates_cost() -> None:
    """Update by update: where it stands in the stages, and how likely each of the two is there."""
    inner = {"class_path": "Staged", "init_args": {"stages": [16, 8, 4], "trajectory": "Backward"}}
    mixture = {
        "class_path": "Mixture",
        "init_args": {"first": inner, "share_start": 1.0, "share_end": 0.0, "until": 1.0},
    }
    outer = {"class_path": "Staged", "init_args": {"stages": [8, 4], "trajectory": "Mixture"}}
    for trajectory in (mixture, outer):
        raw = {**config(), "train": {"student_updates": 30, "batch_size": 1}}
        raw["model"] = {**raw["model"], "trajectory": trajectory, "num_steps": 4}
        spent = [training_passes(raw, at) for at in range(1, 31)]
        assert all(a < b for a, b in zip(spent, spent[1:], strict=False)) and spent[-1] == training_passes(raw)
    # The student 3, a guided step of the teacher 2; rollouts of 7.5, 3.5 and 1.5 steps, and 1.5 of the second part.
    raw["model"]["trajectory"] = mixture
    per = [3 + 2 + (1 - u / 30) * [7.5, 3.5, 1.5][u // 10] + u / 30 * 1.5 for u in range(30)]
    assert [training_passes(raw, at) for at in (1, 11, 30)] == pytest.approx([sum(per[:at]) for at in (1, 11, 30)])


def test_a_warm_up_that_covers_the_snapshots_is_said_in_the_words_of_the_file(tmp_path: Path) -> None:
    critic = {"class_path": "Adversarial", "init_args": {"critic_updates": 1, "critic_warmup": 400}}
    raw = {**config(adversarial=critic), "train": {"student_updates": 1, "batch_size": 1, "snapshots": [0.25, 0.5]}}
    with pytest.raises(ValueError, match=r"snapshots at \[0.25, 0.5\] of 3,000 passes.*warm-up"):
        within_budget(raw, 3000)


@given(configs | staged | mixed, st.integers(4, 400), st.floats(0.01, 0.99))
def test_a_share_of_the_passes_is_a_share_of_the_updates(raw: dict[str, Any], updates: int, share: float) -> None:
    trained = {**raw, "train": {**raw["train"], "student_updates": updates}}
    found = share_of_updates(trained, share)
    at = snapshot_update(found, updates)
    most = share * training_passes(trained) * (1 + 1e-9)
    assert at == 1 or training_passes(trained, at) <= most
    assert at == updates or training_passes(trained, at + 1) > most
    if found != share:  # a file's name has six digits of it
        assert snapshot_file(found) == f"student-{found}.safetensors"


def test_with_a_budget_snapshots_stand_at_shares_of_the_passes(tmp_path: Path) -> None:
    """Warm-up is no update: half of the passes are fewer updates than half."""
    critic = {"class_path": "Adversarial", "init_args": {"critic_updates": 2, "critic_warmup": 40}}
    raw = {**config(adversarial=critic), "train": {"student_updates": 1, "batch_size": 1, "snapshots": [0.25, 0.5]}}
    trained = within_budget(raw, 2000)
    updates, shares = trained["train"]["student_updates"], trained["train"]["snapshots"]
    for share, wanted in zip(shares, (0.25, 0.5), strict=True):
        assert share < wanted
        assert trained_passes(trained, share) == pytest.approx(wanted * 2000, abs=40)
        assert snapshot_update(share, updates) < snapshot_update(wanted, updates)
    plain = {**raw, "model": config()["model"]}
    assert within_budget(plain, 2000)["train"]["snapshots"] == [0.25, 0.5]


def test_an_evaluation_and_a_choice_take_the_snapshots_of_their_arm(tmp_path: Path) -> None:
    made = plan_of(
        tmp_path,
        sweep(
            budget={"passes": 50_000},
            set={"train.snapshots": [0.3, 0.6], "model.trajectory": "Mixture"},  # whose first updates are cheaper
            evaluate={"part": {"all": {}, "some": {"evaluation.snapshot": 0.3}}},
            select={"snapshots": [0.6, 1], "on": "FD[judge]", "num_images": 64},
        ),
    )
    for cell in made.cells:
        kept = cell.config["train"]["snapshots"]
        chosen, some = (task for task in cell.tasks)
        assert (kept[0] > 0.3 and kept[1] > 0.6) if cell.arm == "baseline" else kept == [0.3, 0.6]
        assert some.select is None and some.settings["snapshot"] == kept[0]
        assert chosen.select is not None and chosen.select["snapshots"] == [kept[1], 1.0]


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
