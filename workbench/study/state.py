"""Where a running study stands, read from its files."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from workbench.study.cost import cell_passes
from workbench.study.files import read_json
from workbench.study.heartbeat import last_beat
from workbench.study.plan import Cell, Plan
from workbench.study.results import DIVERGED, cell_failure, cell_result

ALIVE_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A cell that some worker holds."""

    cell: Cell
    phase: str
    progress: float  # 0 to 1


@dataclass(frozen=True)
class State:
    """Counts of cells; work is in network passes, so that a cell of six evaluations weighs more than one of one."""

    total: int
    done: int  # with a result; diverged ones are among them
    diverged: int
    failed: int
    running: tuple[Running, ...]
    work_done: float
    work_total: float
    read_at: float = field(default_factory=time.monotonic)

    @property
    def open(self) -> int:
        """Cells without a result that have not failed for good."""
        return self.total - self.done - self.failed


def read_state(plan: Plan, root: Path) -> State:
    """Read the state of every cell."""
    done = diverged = failed = 0
    running = []
    work_done = work_total = 0.0
    for cell in plan.cells:
        work = cell_passes(cell)
        work_total += work
        result = cell_result(plan, cell, root)
        if result is not None:
            done += 1
            diverged += result.get("status") == DIVERGED
            work_done += work
        elif cell_failure(cell, root):
            failed += 1
            work_done += work
        elif (now := _running(cell, root / cell.folder)) is not None:
            running.append(now)
            work_done += work * now.progress
    return State(len(plan.cells), done, diverged, failed, tuple(running), work_done, work_total)


def _running(cell: Cell, folder: Path) -> Running | None:
    try:
        if time.time() - (folder / "alive").stat().st_mtime > ALIVE_SECONDS:
            return None
    except OSError:
        return None
    if read_json(folder / "attempt.json") is not None:
        return None
    found = last_beat(folder)
    return (
        Running(cell, found[0].phase, min(1.0, max(0.0, found[0].progress))) if found else Running(cell, "waiting", 0.0)
    )
