"""Points of the space: reproducible, never twice, and better than chance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tests.study.search.fakes import search_of
from workbench.study.search.confirming import _crowding, choose, dominates, pareto
from workbench.study.search.importance import importances
from workbench.study.search.proposing import propose
from workbench.study.search.spec import Search
from workbench.study.search.trials import Standing, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


def loss(values: Any) -> float:
    return 4 * (math.log10(values["train.learning_rate"]) + 3.5) ** 2 + (values["model.decay"] - 0.8) ** 2


def searched(search: Search, count: int, seed: int) -> list[Standing]:
    """A search in memory: every proposal is answered at once."""
    history: list[Any] = []
    found: list[Standing] = []
    for number in range(count):
        taken = [s.trial.values for s in found]
        proposal = propose(search.space, search.sampler, ["min"], seed, number, history, taken)
        assert proposal is not None
        value = loss(proposal.values)
        distributions = {p.name: p.distribution() for p in search.space.parameters if p.name in proposal.values}
        history.append(
            create_trial(
                state=TrialState.COMPLETE, value=value, params=dict(proposal.values), distributions=distributions
            )
        )
        found.append(Standing(Trial(number, proposal.values, None), "complete", {"FD[judge]": value}))
    return found


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler"])
def test_a_seed_gives_the_same_points_and_another_seed_others(tmp_path: Path, sampler: str) -> None:
    search = search_of(tmp_path, sampler=sampler)
    a, b, c = (searched(search, 14, seed) for seed in (0, 0, 1))
    points = [[dict(s.trial.values) for s in run] for run in (a, b, c)]
    assert points[0] == points[1] != points[2]
    assert all(("factor" in point) == (point["shift"] == "scale") for point in points[0])


def test_the_first_trials_take_the_points_of_the_file(tmp_path: Path) -> None:
    start: list[dict[str, Any]] = [{"train.learning_rate": 1e-3, "model.decay": 0.8, "shift": "none"},
             {"train.learning_rate": 1e-4, "model.decay": 0.9, "shift": "scale", "factor": 0.5}]  # fmt: skip
    search = search_of(tmp_path, start=start)
    first = [propose(search.space, search.sampler, ["min"], 0, n, [], start[:n], search.start) for n in range(3)]
    assert [dict(p.values) for p in first[:2] if p] == start
    drawn = propose(search.space, search.sampler, ["min"], 0, 2, [], start[:2])
    assert first[2] == drawn and drawn is not None and dict(drawn.values) not in start


def test_tpe_finds_more_than_chance(tmp_path: Path) -> None:
    """Over five seeds of 40 trials, the mean of the last ten is far below that of random points."""
    means = {}
    for sampler in ("TPESampler", "RandomSampler"):
        search = search_of(tmp_path, sampler=sampler)
        last = [s.scores["FD[judge]"] for seed in range(5) for s in searched(search, 40, seed)[-10:]]
        means[sampler] = sum(last) / len(last)
    assert means["TPESampler"] < 0.5 * means["RandomSampler"], means


def test_a_finite_space_is_used_up_without_repetition(tmp_path: Path) -> None:
    space = {"train.updates": {"low": 1, "high": 3}, "shift": {"choices": {"a": {"model.shift": "none"},
             "b": {"model.shift": "scale"}}}}  # fmt: skip
    search = search_of(tmp_path, space=space, trials=6)
    taken: list[Any] = []
    for number in range(6):
        proposal = propose(search.space, search.sampler, ["min"], 0, number, [], taken)
        assert proposal is not None and dict(proposal.values) not in taken
        taken.append(dict(proposal.values))
    assert propose(search.space, search.sampler, ["min"], 0, 6, [], taken) is None


def test_importance_finds_the_parameter_that_matters(tmp_path: Path) -> None:
    search = search_of(tmp_path, sampler="RandomSampler", confirm="none")
    found = searched(search, 40, 0)
    shares = importances(search, found)
    assert set(shares) == {"train.learning_rate", "model.decay", "shift"}, "conditional ones are left out"
    assert max(shares, key=lambda name: shares[name]) == "train.learning_rate" and sum(shares.values()) > 0.99
    assert importances(search, found[:9]) == {}


def complete(number: int, fd: float, clip: float) -> Standing:
    return Standing(Trial(number, {}, None), "complete", {"FD[judge]": fd, "CLIP[wardrobe]": clip})


def test_the_front_holds_what_nothing_dominates(tmp_path: Path) -> None:
    objectives = {"FD[judge]": "min", "CLIP[wardrobe]": "max"}
    points = [(5, 10), (4, 9), (6, 10), (3, 5), (4, 8), (7, 12)]
    found = [complete(n, *point) for n, point in enumerate(points)]
    assert [s.trial.number for s in pareto(found, objectives)] == [3, 1, 0, 5]
    assert dominates((1, 2), (1, 3), ["min", "min"]) and not dominates((1, 2), (1, 2), ["min", "min"])
    search = search_of(tmp_path, maximise="CLIP[wardrobe]", metrics=None, confirm={"seeds": 2, "most": 2})
    assert [s.trial.number for s in choose(search, found)] == [3, 5], "the ends of the front stay"


def test_crowding_is_the_sum_of_normalised_gaps() -> None:
    assert _crowding([(0.0, 3.0), (1.0, 1.0), (3.0, 0.0)]) == [math.inf, 2.0, math.inf]


def test_of_equals_the_earlier_is_best(tmp_path: Path) -> None:
    search = search_of(tmp_path, confirm={"seeds": 1, "most": 2})
    assert [s.trial.number for s in choose(search, [complete(n, v, 0) for n, v in ((0, 2), (1, 1), (2, 1))])] == [1, 2]
