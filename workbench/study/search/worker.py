"""A worker of a search: as a worker of cells, but its trials may be stopped early. Imports no torch.

`python -m workbench.study.search.worker ROOT OPTIONS_JSON PARENT_PID`; the launching process starts it, and it does not
outlive that one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from workbench.study import worker
from workbench.study.launch import Outcome
from workbench.study.ledger import Claim
from workbench.study.plan import Cell
from workbench.study.search.folder import read_folder
from workbench.study.search.ledger import SearchLedger
from workbench.study.search.planning import intermediate_settings
from workbench.study.search.pruning import Watcher
from workbench.study.search.resolver import ask_plan


class SearchWorker(worker.Worker):
    """Works until every trial is done, or until it is told to stop."""

    def __init__(self, root: Path, options: worker.Options, stop: Callable[[], bool]) -> None:
        self._search, self._key = read_folder(root)
        self._watcher: Watcher | None = None
        super().__init__(root, options, stop)

    def _open_ledger(self) -> SearchLedger:  # type: ignore[override]  # the same methods, of another record
        options = self._options
        self._trials = SearchLedger(
            self._search, self._key, self._root, options.storage, options.lease_seconds,
            partial(ask_plan, options.resolver), self._plan.run.retries,
        )  # fmt: skip
        return self._trials

    def _asked_to_stop(self, claim: Claim, folder: Path) -> Callable[[], bool]:
        if self._search.intermediate is None:
            self._watcher = None
            return self._stop
        watcher = self._watcher = Watcher(self._trials.study, claim.number, folder)
        return lambda: self._stop() or watcher()

    def _ended_early(self, claim: Claim, outcome: Outcome) -> bool:
        if self._watcher is None or self._watcher.decision is None:
            return False
        self._trials.prune(claim, *self._watcher.decision)
        return True

    def _wanted(self, cell: Cell) -> dict[str, Any]:
        wanted = super()._wanted(cell)
        if self._search.intermediate is not None:
            settings = intermediate_settings(self._search, cell.tasks[0].settings)
            at = list(self._search.intermediate.at)
            wanted["intermediate"] = {"at": at, "metric": self._search.objective, "evaluation": settings}
        return wanted


if __name__ == "__main__":
    worker.main(SearchWorker)
