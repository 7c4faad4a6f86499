"""Which cell is next, who has it, and how it went: Optuna's record under our own lock."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study import lease
from workbench.study.digest import digest
from workbench.study.errors import SweepError
from workbench.study.locks import DatabaseLock, FileLock, JournalLock
from workbench.study.open_trials import OpenTrial, open_trials
from workbench.study.plan import Cell, Plan
from workbench.study.results import COMPLETE, DIVERGED, cell_failure, cell_result

if TYPE_CHECKING:
    from optuna.distributions import CategoricalDistribution
    from optuna.storages import BaseStorage


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
        self._lock = lock_of(self._storage, self._study.study_name) or self._lock

    def _open_trials(self) -> list[OpenTrial]:
        """The trials of this plan's cells that wait or run."""
        found = open_trials(self._storage, self._study._study_id)
        return [trial for trial in found if trial.cell in self._cells]

    def _mine(self, claim: Claim) -> OpenTrial | None:
        """The trial of a claim; None if it is told already, by somebody who took this worker for dead."""
        mine = (claim.number, claim.cell.key)
        return next((trial for trial in self._open_trials() if (trial.number, trial.cell) == mine), None)

    def restock(self) -> None:
        """Queue every cell that has no result and is neither waiting nor running; record every result that is missing.

        A cell that failed for good is queued again: whoever starts the sweep once more wants it tried once more.
        """
        with self._lock:
            live = {trial.cell for trial in self._after_freeing_the_dead()}
            trials = self._study.get_trials(deepcopy=False)
            recorded = {t.user_attrs.get("cell") for t in trials if t.user_attrs.get("outcome") in (COMPLETE, DIVERGED)}
            for cell in self._plan.cells:
                result = cell_result(self._plan, cell, self._root)
                if result is not None and cell.key not in recorded | live:
                    self._record(cell, result)
                elif result is None and cell.key not in live:
                    if cell_failure(cell, self._root):
                        (self._root / cell.folder / "failure.json").unlink(missing_ok=True)
                    self._enqueue(cell, 0)

    def _levels(self, cell: Cell) -> dict[str, str]:
        return {name: level for name, level in cell.levels.items() if name in self._plan.factors}

    def _distributions(self, cell: Cell) -> dict[str, CategoricalDistribution]:
        from optuna.distributions import CategoricalDistribution

        return {name: CategoricalDistribution(list(self._plan.factors[name])) for name in self._levels(cell)}

    def _enqueue(self, cell: Cell, attempt: int) -> None:
        """In one write, with its levels, so that whoever takes it has only to say so."""
        from optuna.trial import TrialState, create_trial

        self._study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=dict(self._levels(cell)),
                distributions=dict(self._distributions(cell)),
                user_attrs={**_names(cell), "attempt": attempt},
            )
        )

    def _record(self, cell: Cell, result: dict[str, Any]) -> None:
        """Rebuild the record of a cell that was finished under a ledger that is no more."""
        from optuna.trial import TrialState, create_trial

        value = objective_value(self._plan, cell, result)
        self._study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                value=value,
                params=dict(self._levels(cell)),
                distributions=dict(self._distributions(cell)),
                user_attrs={**_names(cell), "outcome": result.get("status")},
            )
        )

    def claim(self) -> Claim | None:
        """Take the first waiting cell, None if none waits (others may still be running)."""
        with self._lock:
            trials = self._after_freeing_the_dead()
            running = {trial.cell for trial in trials if trial.running}
            waiting = [trial for trial in trials if trial.cell not in running]
            for trial in sorted(waiting, key=lambda t: (self._order[t.cell], t.number)):
                cell = self._cells[trial.cell]
                result = cell_result(self._plan, cell, self._root)
                if not self._take(trial):
                    continue
                if result is not None:  # finished by a worker whose ledger was lost
                    self._tell(trial, cell, result)
                    continue
                token = secrets.token_hex(8)
                lease.take(self._root / cell.folder, token)
                self._storage.set_trial_user_attr(trial.id, "token", token)
                return Claim(cell, trial.number, token, trial.attempt)
        return None

    def _take(self, trial: OpenTrial) -> bool:
        """What Optuna's `ask` does for the first waiting trial, for the one that comes first in the plan."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            return self._storage.set_trial_state_values(trial.id, state=TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def finish(self, claim: Claim) -> None:
        """The cell's result.json is there. A result that comes after the lease was lost is kept all the same."""
        result = cell_result(self._plan, claim.cell, self._root)
        assert result is not None, claim.cell.folder
        with self._lock:
            if (trial := self._mine(claim)) is not None:
                self._tell(trial, claim.cell, result)

    def _tell(self, trial: OpenTrial, cell: Cell, result: dict[str, Any]) -> None:
        from optuna.trial import TrialState

        value = objective_value(self._plan, cell, result)
        self._storage.set_trial_user_attr(trial.id, "outcome", str(result.get("status")))
        if value is None or math.isnan(value):  # diverged: Optuna knows no result without a value
            self._storage.set_trial_state_values(trial.id, state=TrialState.FAIL)
        else:
            self._storage.set_trial_state_values(trial.id, state=TrialState.COMPLETE, values=[value])

    def _tell_failure(self, trial: OpenTrial, kind: str) -> None:
        from optuna.trial import TrialState

        self._storage.set_trial_user_attr(trial.id, "outcome", kind)
        self._storage.set_trial_state_values(trial.id, state=TrialState.FAIL)

    def fail(self, claim: Claim, kind: str, counted: bool) -> bool:
        """The cell has no result. Queue it again, as often as run.retries allows; returns whether it was queued.

        counted: whether the cell is to blame. A lost worker or a stop is nobody's failure and costs no attempt.
        """
        with self._lock:
            if (trial := self._mine(claim)) is None:
                return True
            self._tell_failure(trial, kind)
            again = not counted or claim.attempt < self._plan.run.retries
            if again:
                self._enqueue(claim.cell, claim.attempt + counted)
            return again

    def _after_freeing_the_dead(self) -> list[OpenTrial]:
        """What waits and runs, once the cells are queued again whose owner no longer lives.

        Under the lock: a claim is whole or it is not there.
        """
        trials = self._open_trials()
        dead = [trial for trial in trials if trial.running and not self._is_held(trial)]
        for trial in dead:
            cell = self._cells[trial.cell]
            result = cell_result(self._plan, cell, self._root)
            if result is not None:  # died between the result and the telling
                self._tell(trial, cell, result)
            else:
                self._tell_failure(trial, "lost")
                self._enqueue(cell, trial.attempt)
        return self._open_trials() if dead else trials

    def _is_held(self, trial: OpenTrial) -> bool:
        folder = self._root / self._cells[trial.cell].folder
        return bool(trial.token) and lease.is_held(folder, trial.token, self._clock, self._seconds)

    def is_idle(self) -> bool:
        """Whether no cell of the plan waits or runs."""
        with self._lock:
            return not self._after_freeing_the_dead()


def _names(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.key, "arm": cell.arm, "seed": cell.seed, "folder": cell.folder}


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
    except ImportError as error:  # RDBStorage asks for the driver that the URL names
        raise SweepError(
            f"--storage: {_without_password(storage)} needs a driver that is not installed ({error}). For PostgreSQL: "
            "pip install 'workbench[postgres]'."
        ) from None
    except Exception as error:  # SQLAlchemy and its drivers raise whatever they like for a URL or a server
        raise SweepError(
            f"--storage: {_without_password(storage)} cannot be opened ({type(error).__name__}). A journal in the "
            "results "
            "folder needs no --storage; for many nodes use postgresql://user@host/database."
        ) from None


def lock_of(storage: BaseStorage, study: str) -> DatabaseLock | None:
    """The database's own lock of a study, which holds whatever the file system does; None where there is none."""
    engine = getattr(storage, "engine", None)
    if engine is None or engine.dialect.name != "postgresql":
        return None
    return DatabaseLock(engine, study)


def _without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{'***@' if '@' in rest else ''}{rest.rpartition('@')[2]}"
