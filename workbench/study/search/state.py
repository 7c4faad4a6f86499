"""Where a running search stands, read from its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workbench.study.cost import cell_passes
from workbench.study.results import DIVERGED, FAILED, PRUNED
from workbench.study.search.spec import Search
from workbench.study.search.trials import FINISHED, REFUSED, Standing, Trials, best
from workbench.study.state import Running, State, _running


@dataclass(frozen=True)
class SearchState(State):
    """Counts of trials. best: of the first objective, so far; None before the first complete trial."""

    counts: Mapping[str, int] = field(default_factory=dict)
    best: Standing | None = None
    objective: str = ""

    @property
    def words(self) -> list[str]:
        """'3 pruned', '1 diverged', ...: what happened more than never."""
        return [f"{self.counts[s]} {s}" for s in (PRUNED, DIVERGED, REFUSED, FAILED) if self.counts.get(s)]


def read_search_state(search: Search, trials: Trials, root: Path, bound: float) -> SearchState:
    """Read the state of every trial. bound: network passes of a trial that is not known yet, at most."""
    standings = trials.standings()
    counts = Counter(found.state for found in standings)
    running: list[Running] = []
    work_done = work_total = 0.0
    for found in standings:
        if found.trial.plan is None:
            continue
        work = cell_passes(found.trial.cell)
        # Pruned trials did a part of theirs: their work is what they did, so that it stands in both sums.
        share = found.looks[-1][0] / 100 if found.state == PRUNED and found.looks else 1.0
        work_total += work * share
        if found.state in (*FINISHED, FAILED):
            work_done += work * share
        elif (now := _running(found.trial.cell, root / found.trial.cell.folder)) is not None:
            running.append(now)
            work_done += work * now.progress
    known = [cell_passes(found.trial.cell) for found in standings if found.trial.plan is not None]
    left = max(0, search.trials - len(standings))
    work_total += left * (sum(known) / len(known) if known else bound)
    top = best(standings, {search.objective: search.objectives[search.objective]})
    return SearchState(
        total=max(search.trials, len(standings)),
        done=sum(counts[state] for state in FINISHED),
        diverged=counts[DIVERGED],
        failed=counts[FAILED],
        running=tuple(running),
        work_done=work_done,
        work_total=work_total,
        counts=dict(counts),
        best=top[0] if top else None,
        objective=search.objective,
    )
