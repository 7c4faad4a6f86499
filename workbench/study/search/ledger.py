"""Which trial is next, who has it, and how it went: what the ledger is for cells, for points that are not known yet."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study import lease
from workbench.study import plan as plans
from workbench.study.files import write_json, write_text
from workbench.study.ledger import Claim, lock_of, open_storage
from workbench.study.locks import DatabaseLock, FileLock
from workbench.study.results import COMPLETE, DIVERGED, FAILED, PRUNED
from workbench.study.search.optunas import make_pruner
from workbench.study.search.parameters import Value
from workbench.study.search.planning import trial_name
from workbench.study.search.proposing import Proposal, propose
from workbench.study.search.resolver import Refused
from workbench.study.search.spec import Search
from workbench.study.search.trials import FINISHED, OPEN, Standing, Trial, Trials, standing, write_trial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Resolve = Callable[[int, Mapping[str, Any]], str]  # trial, values -> its plan as text; raises Refused


class SearchLedger:
    """Exactly `search.trials` trials, whatever the number of workers, kills and restarts.

    Every decision is made under one lock, of a file or of the database. A trial enters Optuna's record in one write,
    running and with its values, so that none is half asked; it stays running, under its number, until its files say how
    it ended, whoever works on it: a dead worker's trial is taken over with its checkpoint, and is never a second one.
    """

    def __init__(
        self,
        search: Search,
        key: str,
        root: Path,
        storage: str | None = None,
        lease_seconds: float = lease.LEASE_SECONDS,
        resolve: Resolve | None = None,
        retries: int = 2,
    ):
        self._search, self._key, self._root = search, key, root
        self._seconds, self._resolve, self._retries = lease_seconds, resolve, retries
        root.mkdir(parents=True, exist_ok=True)
        self._lock: FileLock | DatabaseLock = FileLock(root / "claim.lock")
        self._clock = root / ".clock"
        self._files = Trials(root)
        self._open(storage)

    def _open(self, storage: str | None) -> None:
        import optuna
        from optuna.study import StudyDirection

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        ways = self._search.objectives.values()
        directions = [StudyDirection.MINIMIZE if way == "min" else StudyDirection.MAXIMIZE for way in ways]
        with self._lock:
            self._storage = open_storage(storage, self._root)
            self.study: optuna.Study = optuna.create_study(
                storage=self._storage,
                study_name=f"{self._search.study}-{self._key[:6]}",
                directions=directions,
                pruner=make_pruner(self._search.pruner),
                load_if_exists=True,
            )
            if not self.study.metric_names:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
                    self.study.set_metric_names(list(self._search.objectives))  # the dashboard's axes
        self._lock = lock_of(self._storage, self.study.study_name) or self._lock

    # ---- the record --------------------------------------------------------------------------------------------------

    def _records(self) -> dict[int, FrozenTrial]:
        """Number of a trial -> its latest record. A trial that failed for good and is tried again has two."""
        found = {}
        for record in self.study.get_trials(deepcopy=False):
            if isinstance(number := record.user_attrs.get("trial"), int):
                found[number] = record
        return dict(sorted(found.items()))

    def _add(self, trial: int, values: Mapping[str, Value], system: Mapping[str, Any] | None = None) -> None:
        from optuna.trial import TrialState, create_trial

        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(values),
                distributions={p.name: p.distribution() for p in self._search.space.parameters if p.name in values},
                user_attrs={"trial": trial, "attempt": 0, "token": ""},
                system_attrs=dict(system or {}),
            )
        )

    def _set(self, record: FrozenTrial, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(record._trial_id, name, value)

    def restock(self) -> None:
        """Bring the record in step with the files: add what it lacks, run again what has no result and had failed."""
        with self._lock:
            records = self._records()
            known = {trial.number: trial for trial in self._files.read()}
            for trial in known.values():
                state = standing(trial, self._root)
                record = records.get(trial.number)
                if state.state == FAILED:  # whoever starts the search once more wants it tried once more
                    (self._root / trial.cell.folder / "failure.json").unlink(missing_ok=True)
                over = record is not None and record.state.is_finished()
                if record is None or (over and state.state not in FINISHED):
                    self._add(trial.number, trial.values)
            for number, record in records.items():
                if number not in known and record.state.is_finished():  # its folder was deleted: run it again
                    self._add(number, record.params)
            self._settle()

    def _settle(self) -> None:
        """Tell Optuna how the trials ended that nobody holds any more."""
        known = {trial.number: trial for trial in self._files.read()}
        for number, record in self._records().items():
            if record.state.is_finished() or number not in known or self._held(record, known[number]):
                continue
            found = standing(known[number], self._root)
            if found.state != OPEN:
                self._tell(record, found)

    def _tell(self, record: FrozenTrial, found: Standing) -> None:
        """How a trial ended, in Optuna's words, with every metric that was measured."""
        from optuna.trial import TrialState

        if record.state.is_finished():
            return  # somebody took us for dead and told it before
        self._set(record, "outcome", found.note or found.state)
        for name, value in found.scores.items():
            if name not in self._search.objectives:
                self._set(record, name, value)
        known = set(record.intermediate_values)
        for percent, value in found.looks:
            if percent not in known and len(self._search.objectives) == 1:
                self._storage.set_trial_intermediate_value(record._trial_id, percent, value)
        values = found.values_of(self._search.objectives)
        if found.state == COMPLETE and values is not None:
            self.study.tell(record.number, list(values))
        elif found.state in (PRUNED, DIVERGED):
            # A sampler learns nothing from a failure; as pruned, a place where trainings diverge is one to avoid.
            self.study.tell(record.number, state=TrialState.PRUNED)
        else:
            self.study.tell(record.number, state=TrialState.FAIL)

    def _held(self, record: FrozenTrial, trial: Trial) -> bool:
        token = str(record.user_attrs.get("token", ""))
        if not token or trial.plan is None:
            return False
        return lease.is_held(self._root / trial.cell.folder, token, self._clock, self._seconds)

    # ---- what a worker asks ------------------------------------------------------------------------------------------

    def claim(self) -> Claim | None:
        """A trial to work on: one that nobody holds, else a new one; None if all are asked (others may still run)."""
        with self._lock:
            self._settle()
            known = {trial.number: trial for trial in self._files.read()}
            records = self._records()
            for number, record in records.items():
                if record.state.is_finished():
                    continue
                trial = known.get(number) or self._write(number, record.params)
                if trial.plan is None:
                    self._tell(record, standing(trial, self._root))
                elif not self._held(record, trial):
                    return self._take(record, trial)
            while len(records) < self._search.trials:
                number = next(n for n in range(self._search.trials) if n not in records)
                trial = self._new(number, list(records.values()), [t.values for t in known.values()])
                known[number] = trial
                records = self._records()
                if trial.plan is not None:
                    return self._take(records[number], trial)
                self._tell(records[number], standing(trial, self._root))
        return None

    def _new(self, number: int, history: list[FrozenTrial], taken: list[Mapping[str, Value]]) -> Trial:
        search = self._search
        directions = list(search.objectives.values())
        proposal = propose(search.space, search.sampler, directions, search.seed, number, history, taken, search.start)
        if proposal is None:  # the parser refused points, so that fewer are left than the file promises
            proposal = Proposal(taken[0])
            self._add(number, proposal.values)
            return self._note(Trial(number, dict(proposal.values), None, "every point of the space is taken"))
        self._add(number, proposal.values, proposal.system)
        return self._write(number, proposal.values)

    def _write(self, number: int, values: Mapping[str, Value]) -> Trial:
        """The trial's folder, from its values."""
        assert self._resolve is not None, "only a worker claims"
        folder = self._root / trial_name(number)
        try:
            text = self._resolve(number, values)
        except Refused as error:
            return self._note(Trial(number, dict(values), None, str(error)))
        write_text(folder / "plan.json", text)
        trial = Trial(number, dict(values), plans.load(folder))
        others = [t for t in self._files.read() if t.plan is not None and t.number != number]
        twin = next((t for t in others if t.cell.key == trial.cell.key), None)
        if twin is not None:  # other values, the same experiment: a parameter without effect there
            (folder / "plan.json").unlink()
            trial = Trial(number, dict(values), None, f"the same experiment as {twin.name}")
        return self._note(trial)

    def _note(self, trial: Trial) -> Trial:
        write_trial(self._root, self._key, trial)
        return trial

    def _take(self, record: FrozenTrial, trial: Trial) -> Claim:
        token = secrets.token_hex(8)
        lease.take(self._root / trial.cell.folder, token)
        self._set(record, "folder", trial.cell.folder)
        self._set(record, "token", token)
        return Claim(trial.cell, record.number, token, int(record.user_attrs.get("attempt", 0)))

    def _mine(self, claim: Claim) -> tuple[FrozenTrial, Trial]:
        record = next(r for r in self.study.get_trials(deepcopy=False) if r.number == claim.number)
        return record, next(t for t in self._files.read() if t.plan is not None and t.cell.key == claim.cell.key)

    def finish(self, claim: Claim) -> None:
        """The trial's result.json is there."""
        with self._lock:
            record, trial = self._mine(claim)
            found = standing(trial, self._root)
            if found.state == COMPLETE and found.values_of(self._search.objectives) is None:
                self._without_value(trial, found)
                found = standing(trial, self._root)
            self._tell(record, found)

    def _without_value(self, trial: Trial, found: Standing) -> None:
        """A result without the objective is no result: set aside, and said why."""
        folder = self._root / trial.cell.folder
        missing = [name for name in self._search.objectives if name not in found.scores]
        known = ", ".join(sorted(found.scores)) or "nothing"
        message = f"no finite {missing[0]} was measured, but {known}"
        (folder / "result.json").rename(folder / "result-without-value.json")
        failure = {"key": trial.cell.key, "kind": "no value", "message": message, "attempts": 1, "log": ""}
        write_json(folder / "failure.json", failure)

    def prune(self, claim: Claim, percent: int, value: float) -> None:
        """The trial was stopped for its value at `percent` of its updates. Its files stay; it counts."""
        with self._lock:
            record, trial = self._mine(claim)
            if record.user_attrs.get("token") != claim.token:
                return  # somebody took us for dead, and decides now
            result = {
                "key": claim.cell.key, "training": claim.cell.training, "status": PRUNED, "step": f"{percent} %",
                "percent": percent, "value": value,
            }  # fmt: skip
            write_json(self._root / claim.cell.folder / "result.json", result)
            self._tell(record, standing(trial, self._root))

    def fail(self, claim: Claim, kind: str, counted: bool) -> bool:
        """The trial has no result. Let it be taken again, as often as run.retries allows; returns whether it may be.

        counted: whether the trial is to blame. A lost worker or a stop is nobody's failure and costs no attempt.
        """
        with self._lock:
            record, trial = self._mine(claim)
            if record.state.is_finished() or record.user_attrs.get("token") != claim.token:
                return True  # somebody took us for dead
            if counted and claim.attempt >= self._retries:
                self._tell(record, standing(trial, self._root))
                return False
            self._set(record, "attempt", claim.attempt + counted)
            self._set(record, "token", "")
            self._set(record, "outcome", kind)
            return True

    def is_idle(self) -> bool:
        """Whether all trials were asked and none is open."""
        with self._lock:
            self._settle()
            records = self._records()
            return len(records) >= self._search.trials and all(r.state.is_finished() for r in records.values())
