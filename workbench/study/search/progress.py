"""What a person sees while a search runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.study.plan import Plan
from workbench.study.progress import Progress, duration
from workbench.study.search.spec import Search
from workbench.study.search.state import SearchState
from workbench.study.search.table import terminal_trials
from workbench.study.search.trials import Trials
from workbench.study.state import State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHOWN = 12  # trials of the live table


class SearchProgress(Progress):
    """As of an ablation: counts, time left, what runs; and the best so far, with the first trials of the table."""

    def __init__(self, search: Search, plan: Plan, root: Path, console: Console | None = None) -> None:
        super().__init__(plan, root, console)
        self._search, self._trials = search, Trials(root)

    def _so_far(self) -> RenderableType:
        return terminal_trials(self._search, self._trials.standings(), most=SHOWN)

    def _summary(self, state: State) -> str:
        assert isinstance(state, SearchState)
        left = self._eta(state)
        parts = [f"{state.done}/{state.total} trials done", f"{len(state.running)} running", *state.words]
        if state.best is not None:
            parts.append(f"best {state.objective} {state.best.scores[state.objective]:.4g} ({state.best.trial.name})")
        if state.open:
            parts.append(f"about {duration(left)} left" if left is not None else "ETA follows")
        return ", ".join(parts)
