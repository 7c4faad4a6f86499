"""A plan as a table for the terminal: rows, what each trains for, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.study.cost import evaluation_passes, training_passes
from workbench.study.plan import Cell, Plan, Task

if TYPE_CHECKING:
    from rich.table import Table

HEADS = ("row", "levels", "primary", "updates", "passes each", "trainings", "evaluations", "passes in all")


def plan_grid(plan: Plan) -> Table:
    """One line a row. passes each: of one training; a row whose trainings another row does shows that row's."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = [head for head in HEADS if head != "primary" or plan.primary]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in shown:
        grid.add_column(head, justify="left" if head in ("row", "levels", "primary") else "right")
    known = {cell.key: cell for cell in plan.cells}
    for row in plan.rows:
        cells = [cell for cell in plan.cells if cell.arm == row.name]
        entries = list(plan.of(row.name))
        trained = next((known[e.cell] for e in entries if known[e.cell].training), None)
        texts = {
            "row": row.label,
            "levels": ", ".join(f"{factor} {level}" for factor, level in row.levels.items()),
            "primary": plan.primary.get(row.name, ""),
            "updates": _updates(trained),
            "passes each": f"{training_passes(trained.config):,.0f}" if trained else "",
            "trainings": str(sum(cell.training is not None for cell in cells)) if cells else "shared",
            "evaluations": str(len({entry.task for entry in entries})),
            "passes in all": f"{sum(training_of(cell) + scoring_of(cell) for cell in cells):,.0f}",
        }
        grid.add_row(*(Text(texts[head]) for head in shown))  # no markup: FD[judge] is no style
    return grid


def training_of(cell: Cell) -> float:
    """Network passes of the cell's training, 0 for none."""
    return training_passes(cell.config) if cell.training else 0.0


def scoring_of(cell: Cell, tasks: Sequence[Task] | None = None) -> float:
    """Network passes of sampling for the cell's evaluations (or for `tasks`), the choice of a snapshot included."""
    return sum(_task_passes(task, cell) for task in (cell.tasks if tasks is None else tasks))


def _task_passes(task: Task, cell: Cell) -> float:
    report = evaluation_passes(task.settings, cell.config)
    if task.select is None:
        return report
    tune = {**task.settings, "num_images": task.select["num_images"], "diversity_prompts": 0}
    return report + len(task.select["snapshots"]) * evaluation_passes(tune, cell.config)


def _updates(cell: Cell | None) -> str:
    updates = (cell.config.get("train") or {}).get("student_updates") if cell else None
    return "" if updates is None else f"{updates:,}"
