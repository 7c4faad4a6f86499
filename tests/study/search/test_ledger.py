"""The record of trials: what a dead, a frozen or a late worker leaves behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import resolve
from tests.study.search.fakes import search_of
from workbench.study import plan as plans
from workbench.study.files import write_json
from workbench.study.ledger import Claim
from workbench.study.search.ledger import SearchLedger
from workbench.study.search.planning import TrialPlanner
from workbench.study.search.pruning import Watcher
from workbench.study.search.resolver import Refused
from workbench.study.search.trials import Trials


def ledger(folder: Path, lease: float = 30.0, refuse: tuple[int, ...] = (), **changes: Any) -> SearchLedger:
    """A ledger whose parser answers in this process, and refuses these trials."""
    search = search_of(folder, **{"trials": 3, **changes})
    planner = TrialPlanner(search, resolve)

    def answer(number: int, values: Any) -> str:
        if number in refuse:
            raise Refused("not these")
        return plans.as_text(planner.trial(number, values))

    return SearchLedger(search, "0123456789abcdef", folder / "results", None, lease, answer, retries=1)


def finish(root: Path, claim: Claim, **metrics: float) -> None:
    evaluations = {task.key: {"metrics": metrics} for task in claim.cell.tasks}
    result = {"status": "complete", "training": claim.cell.training, "evaluations": evaluations}
    write_json(root / claim.cell.folder / "result.json", result)


def names(found: SearchLedger) -> list[tuple[int, str]]:
    return [(t.user_attrs["trial"], t.state.name) for t in found.study.trials]


def test_a_frozen_owner_loses_the_trial_and_its_late_words_change_nothing(tmp_path: Path) -> None:
    first, second = ledger(tmp_path, lease=0.3), ledger(tmp_path, lease=0.3)
    claim = first.claim()
    assert claim is not None
    time.sleep(0.5)
    taken = second.claim()
    assert taken is not None and (taken.number, taken.cell) == (claim.number, claim.cell), "the same trial, not another"
    assert first.fail(claim, "stopped", counted=False)
    first.prune(claim, 50, 9.0)
    assert not (tmp_path / "results" / claim.cell.folder / "result.json").exists()
    finish(tmp_path / "results", taken, **{"FD[judge]": 2.0})
    second.finish(taken)
    first.finish(claim)
    assert names(first) == [(0, "COMPLETE")]


def test_a_trial_that_fails_is_tried_again_under_its_number_and_then_fails(tmp_path: Path) -> None:
    found = ledger(tmp_path)
    claim = found.claim()
    assert claim is not None and found.fail(claim, "error", counted=True)
    again = found.claim()
    assert again is not None and (again.number, again.attempt) == (claim.number, 1)
    assert found.fail(again, "stopped", counted=False), "a stop costs no attempt"
    again = found.claim()
    assert again is not None and (again.number, again.attempt) == (claim.number, 1)
    failure = {"key": again.cell.key, "kind": "error", "message": "fell over", "attempts": 2, "log": ""}
    write_json(tmp_path / "results" / again.cell.folder / "failure.json", failure)
    assert not found.fail(again, "error", counted=True)
    assert names(found) == [(0, "FAIL")]
    found.restock()  # whoever starts it once more wants it tried once more
    once_more = found.claim()
    assert once_more is not None and once_more.cell == claim.cell and once_more.attempt == 0


def test_what_the_parser_refuses_counts_and_says_why(tmp_path: Path) -> None:
    found = ledger(tmp_path, refuse=(0, 2))
    claim = found.claim()
    assert claim is not None and claim.cell.arm == "trial-001"
    finish(tmp_path / "results", claim, **{"FD[judge]": 1.0})
    found.finish(claim)
    assert found.claim() is None and found.is_idle()
    assert names(found) == [(0, "FAIL"), (1, "COMPLETE"), (2, "FAIL")]
    standings = Trials(tmp_path / "results").standings()
    assert [s.state for s in standings] == ["refused", "complete", "refused"] and standings[0].note == "not these"


def test_other_values_of_the_same_experiment_are_not_run_twice(tmp_path: Path) -> None:
    same = {"a": {"model.shift": "none"}, "b": {"model.shift": {"kind": "none", "factor": None}}}
    found = ledger(tmp_path, trials=2, space={"shift": {"choices": same}})
    claim = found.claim()
    assert claim is not None
    assert found.claim() is None and not found.is_idle()
    standings = Trials(tmp_path / "results").standings()
    assert [s.state for s in standings] == ["open", "refused"] and standings[
        1
    ].note == "the same experiment as trial-000"


def test_a_result_without_the_objective_is_a_failure(tmp_path: Path) -> None:
    found = ledger(tmp_path)
    claim = found.claim()
    assert claim is not None
    finish(tmp_path / "results", claim, **{"CLIP[wardrobe]": 1.0})
    found.finish(claim)
    (standing,) = Trials(tmp_path / "results").standings()
    assert standing.state == "failed" and "no finite FD[judge] was measured, but CLIP[wardrobe]" in standing.note


def test_a_watcher_reports_whole_lines_once_and_goes_on_where_another_ended(tmp_path: Path) -> None:
    found = ledger(tmp_path, pruner={"class_path": "ThresholdPruner", "upper": 5.0}, intermediate={"at": [0.3, 0.6]})
    claim = found.claim()
    assert claim is not None
    folder = tmp_path / "results" / claim.cell.folder
    file = folder / "intermediate.jsonl"
    watcher = Watcher(found.study, claim.number, folder)
    assert not watcher()
    file.write_text('{"percent": 30, "value": 4.0}\n{"percent": 60, "val')
    assert not watcher() and found.study.trials[0].intermediate_values == {30: 4.0}
    other = Watcher(found.study, claim.number, folder)
    assert not other()
    file.write_text('{"percent": 30, "value": 4.0}\n{"percent": 60, "value": 6.0}\n')
    assert other() and other.decision == (60, 6.0)
    found.prune(claim, *other.decision)
    assert found.study.trials[0].value == 6.0 and names(found) == [(0, "PRUNED")]
    (standing,) = Trials(tmp_path / "results").standings()
    assert (standing.state, standing.looks) == ("pruned", ((30, 4.0), (60, 6.0)))


@pytest.mark.parametrize("lost", ["trial.json", "plan.json"])
def test_a_claim_that_died_while_it_wrote_its_folder_is_taken_up(tmp_path: Path, lost: str) -> None:
    found = ledger(tmp_path)
    claim = found.claim()
    assert claim is not None
    (tmp_path / "results" / "trial-000" / lost).unlink()
    (tmp_path / "results" / claim.cell.folder / "alive").unlink()  # it had not come so far
    again = ledger(tmp_path).claim()
    assert again is not None and again.cell == claim.cell and names(found) == [(0, "RUNNING")]
