"""The launching process of a search: as that of an ablation, with cells that are made while it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.study.conductor import Conductor
from workbench.study.errors import SweepError
from workbench.study.plan import Cell, Plan
from workbench.study.search.folder import write_folder
from workbench.study.search.ledger import SearchLedger
from workbench.study.search.planning import TrialPlanner
from workbench.study.search.resolver import Resolver
from workbench.study.search.state import SearchState, read_search_state
from workbench.study.search.trials import FINISHED, Trials, foreign, merged_plan
from workbench.study.worker import Options, start_arguments

MODULE = "workbench.study.search.worker"


def skeleton(base: Plan) -> Plan:
    """The plan of a search before its first trial."""
    return replace(base, design="search", baseline="trial-000", rows=(), cells=(), entries=())


@dataclass
class SearchConductor(Conductor):
    """Runs the trials. planner: makes a trial's cell; key: of the search, which its trials carry; bound: their cost."""

    planner: TrialPlanner | None = None
    key: str = ""
    bound: float = 1.0

    def _trials(self, root: Path) -> Trials:
        if not hasattr(self, "_files"):
            self._files = Trials(root)
        return self._files

    def _prepare(self, root: Path) -> Path:
        if other := foreign(root, self.key):
            raise SweepError(
                f"{root / other}: is a trial of another search: its space, base, seed, sampler, pruner or teacher was "
                "another one. Rename the file, or set the old trials aside with --fresh. More trials, or another "
                "confirmation, go on with the same ones."
            )
        assert self.planner is not None
        self.plan = merged_plan(skeleton(self.plan), self._trials(root).standings())
        write_folder(root, self.planner.search, self.key)
        return super()._prepare(root)

    def _left(self, root: Path) -> int:
        assert self.planner is not None
        done = sum(found.state in FINISHED for found in Trials(root).standings())
        return max(0, self.planner.search.trials - done)

    def _cells(self, root: Path) -> Iterable[Cell]:
        return [trial.cell for trial in self._trials(root).read() if trial.plan is not None]

    def _restock(self, root: Path) -> None:
        assert self.planner is not None
        request = self.request
        search = self.planner.search
        SearchLedger(
            search, self.key, root, request.storage, request.lease_seconds, retries=search.sweep.run.retries
        ).restock()

    def _state(self, root: Path) -> SearchState:
        assert self.planner is not None
        return read_search_state(self.planner.search, self._trials(root), root, self.bound)

    def _worker(self, root: Path, options: Options) -> list[str]:
        return start_arguments(root, options, MODULE)

    @contextmanager
    def _served(self, options: Options) -> Iterator[Options]:
        assert self.planner is not None
        # Not in the study's folder: a socket's path has 100 characters at most.
        with tempfile.TemporaryDirectory(prefix="workbench-") as private:
            address = Path(private) / "r"
            with Resolver(address, self.planner):
                yield replace(options, resolver=str(address))
