"""Which cell is next, who has it, and how it went: Optuna's record under our own lock."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study import lease
from workbench.study.digest import digest
from workbench.study.errors import SweepError
from workbench.study.locks import DatabaseLock, FileLock, JournalLock
from workbench.study.plan import Cell, Plan
from workbench.study.results import COMPLETE, cell_failure, cell_result

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Claim:
    """A cell that this worker has, until it is told how it went. attempt counts failures before this one."""

    cell: Cell
    number: int  # of Optuna's trial
    token: str
    attempt: int


class Ledger:
    """The queue of a study's cells. Every method is safe against any number of other workers, at any moment of death.

    The results folder is the truth and the ledger a cache: `restock` rebuilds it from there.
    storage: None for a journal in the results folder, or an SQLAlchemy URL. SQLite is for one worker (`is_shared`).
    """

    def __init__(self, plan: Plan, root: Path, storage: str | None = None, lease_seconds: float = lease.LEASE_SECONDS):
        self._plan = plan
        self._root = root
        self._seconds = lease_seconds
        self._cells = {cell.key: cell for cell in plan.cells}
        self._order = {cell.key: index for index, cell in enumerate(plan.cells)}
        root.mkdir(parents=True, exist_ok=True)
        self._lock: FileLock | DatabaseLock = FileLock(root / "claim.lock")
        self._clock = root / ".clock"
        self._open(storage)

    def _open(self, storage: str | None) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        levels = digest({name: list(levels) for name, levels in self._plan.factors.items()})
        minimise = self._plan.metrics[self._plan.objective] == "min"
        with self._lock:  # two workers that create the study at once would both think that they did
            self._storage = open_storage(storage, self._root)
            # Optuna fixes the levels of a parameter once and for all: other levels are another study of the same file.
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=f"{self._plan.study}-{levels[:6]}",
                direction="minimize" if minimise else "maximize",
                load_if_exists=True,
            )
        engine = getattr(self._storage, "engine", None)
        if engine is not None and engine.dialect.name == "postgresql":
            self._lock = DatabaseLock(engine, self._study.study_name)

    def _trials(self, *states: str) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        wanted = tuple(TrialState[state] for state in states) or None
        trials = self._study.get_trials(deepcopy=False, states=wanted)
        return [trial for trial in trials if trial.user_attrs.get("cell") in self._cells]

    def restock(self) -> None:
        """Queue every cell that has no result and is neither waiting nor running; record every result that is missing.

        A cell that failed for good is queued again: whoever starts the sweep once more wants it tried once more.
        """
        with self._lock:
            self._free_the_dead()
            trials = self._trials()
            live = {t.user_attrs["cell"] for t in trials if t.state.name in ("WAITING", "RUNNING")}
            recorded = {t.user_attrs["cell"] for t in trials if t.user_attrs.get("outcome") in (COMPLETE, "diverged")}
            for cell in self._plan.cells:
                result = cell_result(self._plan, cell, self._root)
                if result is not None and cell.key not in recorded | live:
                    self._record(cell, result)
                elif result is None and cell.key not in live:
                    if cell_failure(cell, self._root):
                        (self._root / cell.folder / "failure.json").unlink(missing_ok=True)
                    self._enqueue(cell, 0)

    def _enqueue(self, cell: Cell, attempt: int) -> None:
        attrs = {"cell": cell.key, "arm": cell.arm, "seed": cell.seed, "folder": cell.folder, "attempt": attempt}
        self._study.enqueue_trial(dict(cell.levels), user_attrs=attrs)

    def _record(self, cell: Cell, result: dict[str, Any]) -> None:
        """Rebuild the record of a cell that was finished under a ledger that is no more."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import TrialState, create_trial

        value = objective_value(self._plan, cell, result)
        levels = {name: level for name, level in cell.levels.items() if name in self._plan.factors}
        self._study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                value=value,
                params=dict(levels),
                distributions={name: CategoricalDistribution(self._plan.factors[name]) for name in levels},
                user_attrs={
                    "cell": cell.key,
                    "arm": cell.arm,
                    "seed": cell.seed,
                    "folder": cell.folder,
                    "outcome": result.get("status"),
                },
            )
        )

    def claim(self) -> Claim | None:
        """Take the first waiting cell, None if none waits (others may still be running)."""
        with self._lock:
            self._free_the_dead()
            running = {trial.user_attrs["cell"] for trial in self._trials("RUNNING")}
            waiting = self._trials("WAITING")
            for trial in sorted(waiting, key=lambda t: (self._order[t.user_attrs["cell"]], t.number)):
                cell = self._cells[trial.user_attrs["cell"]]
                if cell.key in running:
                    continue
                result = cell_result(self._plan, cell, self._root)
                if not self._take(trial):
                    continue
                if result is not None:  # finished by a worker whose ledger was lost
                    self._tell(trial.number, cell, result)
                    continue
                token = secrets.token_hex(8)
                lease.take(self._root / cell.folder, token)
                self._storage.set_trial_user_attr(trial._trial_id, "token", token)
                return Claim(cell, trial.number, token, int(trial.user_attrs.get("attempt", 0)))
        return None

    def _take(self, waiting: FrozenTrial) -> bool:
        """What Optuna's `ask` does for the first waiting trial, for the one that comes first in the plan."""
        import optuna

        try:
            if not self._storage.set_trial_state_values(waiting._trial_id, state=optuna.trial.TrialState.RUNNING):
                return False
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        trial = optuna.trial.Trial(self._study, waiting._trial_id)
        for name in self._cells[waiting.user_attrs["cell"]].levels:
            if name in self._plan.factors:
                trial.suggest_categorical(name, self._plan.factors[name])
        return True

    def finish(self, claim: Claim) -> None:
        """The cell's result.json is there. A result that comes after the lease was lost is kept all the same."""
        result = cell_result(self._plan, claim.cell, self._root)
        assert result is not None, claim.cell.folder
        with self._lock:
            self._tell(claim.number, claim.cell, result)

    def _tell(self, number: int, cell: Cell, result: dict[str, Any]) -> None:
        import optuna

        trial = next((t for t in self._trials() if t.number == number), None)
        if trial is None or trial.state.is_finished():
            return  # somebody took us for dead and told it before
        self._storage.set_trial_user_attr(trial._trial_id, "outcome", str(result.get("status")))
        value = objective_value(self._plan, cell, result)
        if value is None:  # diverged: Optuna knows no result without a value
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def fail(self, claim: Claim, kind: str, counted: bool) -> bool:
        """The cell has no result. Queue it again, as often as run.retries allows; returns whether it was queued.

        counted: whether the cell is to blame. A lost worker or a stop is nobody's failure and costs no attempt.
        """
        from optuna.trial import TrialState

        with self._lock:
            trial = next((t for t in self._trials() if t.number == claim.number), None)
            if trial is None or trial.state.is_finished():
                return True
            self._storage.set_trial_user_attr(trial._trial_id, "outcome", kind)
            self._study.tell(claim.number, state=TrialState.FAIL)
            again = not counted or claim.attempt < self._plan.run.retries
            if again:
                self._enqueue(claim.cell, claim.attempt + counted)
            return again

    def _free_the_dead(self) -> None:
        """Queue the cells whose owner no longer lives. Under the lock: a claim is whole or it is not there."""
        from optuna.trial import TrialState

        for trial in self._trials("RUNNING"):
            cell = self._cells[trial.user_attrs["cell"]]
            token = str(trial.user_attrs.get("token", ""))
            if token and lease.is_held(self._root / cell.folder, token, self._clock, self._seconds):
                continue
            result = cell_result(self._plan, cell, self._root)
            if result is not None:  # died between the result and the telling
                self._tell(trial.number, cell, result)
                continue
            self._storage.set_trial_user_attr(trial._trial_id, "outcome", "lost")
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._enqueue(cell, int(trial.user_attrs.get("attempt", 0)))

    def is_idle(self) -> bool:
        """Whether no cell of the plan waits or runs."""
        with self._lock:
            self._free_the_dead()
            return not self._trials("WAITING", "RUNNING")


def objective_value(plan: Plan, cell: Cell, result: dict[str, Any]) -> float | None:
    """The objective of the cell's first task; None for a training that diverged, or a metric that nobody measured."""
    evaluations = result.get("evaluations") or {}
    tasks: Iterable[Any] = (evaluations.get(task.key) for task in cell.tasks)
    metrics = next((task.get("metrics") or {} for task in tasks if isinstance(task, dict)), {})
    value = metrics.get(plan.objective)
    return float(value) if isinstance(value, int | float) else None


def is_sqlite(storage: str | None) -> bool:
    """Whether the URL is one of SQLite, which has no row locks."""
    return bool(storage) and str(storage).split(":", 1)[0].split("+")[0].lower() == "sqlite"


def open_storage(storage: str | None, root: Path) -> BaseStorage:
    """The journal of the study, or the database of the URL. SweepError for a URL that nothing can be made of."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if storage is None:
        journal = root / "study.journal"
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalLock(journal)))  # type: ignore[arg-type]
    try:
        return RDBStorage(storage)
    except Exception as error:  # SQLAlchemy and its drivers raise whatever they like for a URL or a server
        raise SweepError(
            f"--storage: {_without_password(storage)} cannot be opened ({type(error).__name__}). A journal in the "
            "results "
            "folder needs no --storage; for many nodes use postgresql://user@host/database."
        ) from None


def _without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{'***@' if '@' in rest else ''}{rest.rpartition('@')[2]}"
