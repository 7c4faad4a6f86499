"""What a finished cell no longer needs: the checkpoints, most of what it weighs."""

from __future__ import annotations

from pathlib import Path

from workbench.snapshots import STUDENT
from workbench.study.plan import Cell, Plan
from workbench.study.results import COMPLETE, cell_result


def drop_checkpoints(plan: Plan, cell: Cell, root: Path) -> None:
    """Remove the checkpoints of a cell that is complete, unless run.keep_checkpoints says otherwise.

    A checkpoint is for going on with a training. This one is over, its student and its snapshots lie beside it as
    weights, and what is evaluated later reads those. A training that diverged or was pruned keeps its last sound state:
    nothing else is left of it.
    """
    if plan.run.keep_checkpoints or cell.training is None:
        return
    result = cell_result(plan, cell, root)
    folder = root / cell.folder
    if result is None or result.get("status") != COMPLETE or not (folder / STUDENT).is_file():
        return
    for pattern in ("*.ckpt", "*.ckpt.sha256"):
        for file in folder.glob(pattern):
            try:
                file.unlink()
            except OSError:
                pass  # somebody else removed it, or a disk that takes nothing back: the result is what counts
