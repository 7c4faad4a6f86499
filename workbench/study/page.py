"""report.html of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from workbench.study.figures import Drawn
from workbench.study.plan import Plan
from workbench.study.results import cell_failure
from workbench.study.tables import Table, web
from workbench.study.web_page import document, made_from, pictures


def page(plan: Plan, table: Table, figures: Sequence[Drawn], root: Path) -> str:
    """The whole page, everything in it escaped."""
    parts = [f"<p>{escape(_summary(plan))}</p>", web(table), *pictures(figures), _failures(plan, root), made_from(root)]
    return document(plan.question or plan.study, parts)


def _summary(plan: Plan) -> str:
    arms = sum(row.kind == "arm" for row in plan.rows)
    trainings = sum(cell.training is not None for cell in plan.cells)
    tasks = sum(len(cell.tasks) for cell in plan.cells)
    counts = f"{arms} arms × {len(plan.seeds)} seeds, {trainings} trainings, {tasks} evaluations"
    return f"Study {plan.study}: {counts}, design {plan.design}."


def _failures(plan: Plan, root: Path) -> str:
    items = []
    for cell in plan.cells:
        if failure := cell_failure(cell, root):
            head = f"{cell.folder}: {failure.get('kind')}, {failure.get('attempts')} attempts: {failure.get('message')}"
            items.append(f"<li>{escape(head)}<pre>{escape(str(failure.get('log', '')))}</pre></li>")
    return f"<h2>Failed cells</h2><ul>{''.join(items)}</ul>" if items else ""
