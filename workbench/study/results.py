"""What the files of a study say. The files are the truth; everything else is a view of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.study.facts import facts_of
from workbench.study.files import read_json
from workbench.study.plan import Cell, Entry, Plan, Task

COMPLETE, DIVERGED, FAILED, MISSING = "complete", "diverged", "failed", "missing"
PRUNED = "pruned"  # a trial of a search that was stopped for its intermediate value


@dataclass(frozen=True)
class Value:
    """What is known about one entry. metrics is empty unless it is complete."""

    entry: Entry
    status: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    num_images: int | None = None
    extractors: Mapping[str, str] = field(default_factory=dict)  # name -> hash
    note: str = ""  # "diverged @12", "pruned @50", or why it failed
    facts: Mapping[str, float] = field(default_factory=dict)  # see facts.py; empty where the plan asks for none


def cell_result(plan: Plan, cell: Cell, root: Path) -> dict[str, Any] | None:
    """The cell's result.json if it answers every task (or says that the cell diverged or was pruned), else None."""
    result = read_json(root / cell.folder / "result.json")
    if not isinstance(result, dict) or result.get("training") != cell.training:
        return None
    if result.get("status") in (DIVERGED, PRUNED):
        return result
    evaluations = result.get("evaluations")
    if result.get("status") != COMPLETE or not isinstance(evaluations, dict):
        return None
    return result if all(task.key in evaluations for task in cell.tasks) else None


def is_trained(folder: Path, training: str | None) -> bool:
    """Whether the training of this identity (None: there is none) is over: evaluations are all that is left."""
    done = read_json(folder / "training.json")
    return training is not None and isinstance(done, dict) and done.get("training") == training


def tasks_left(cell: Cell, root: Path) -> tuple[Task, ...]:
    """The cell's evaluations that have no result yet."""
    result = read_json(root / cell.folder / "result.json")
    if not isinstance(result, dict) or result.get("training") != cell.training:
        return cell.tasks
    found = result.get("evaluations")
    return tuple(task for task in cell.tasks if not (isinstance(found, dict) and task.key in found))


def cell_failure(cell: Cell, root: Path) -> dict[str, Any] | None:
    """Why the last attempt at a cell failed for good, or None."""
    failure = read_json(root / cell.folder / "failure.json")
    return failure if isinstance(failure, dict) and failure.get("key") == cell.key else None


def collect(plan: Plan, root: Path) -> list[Value]:
    """One value for each entry of the plan, in order, read from the results in `root`."""
    results = {cell.key: read_json(root / cell.folder / "result.json") for cell in plan.cells}
    failures = {cell.key: cell_failure(cell, root) for cell in plan.cells}
    cells = {cell.key: cell for cell in plan.cells}
    found = [_value(entry, cells[entry.cell], results[entry.cell], failures[entry.cell]) for entry in plan.entries]
    if not plan.columns:
        return found
    tasks = {task.key: task for cell in plan.cells for task in cell.tasks}
    for index, (entry, value) in enumerate(zip(plan.entries, found, strict=True)):
        if value.status == COMPLETE:
            chosen = _selected(results[entry.cell], entry)
            found[index] = replace(value, facts=facts_of(cells[entry.cell], tasks[entry.task], root, chosen))
    return found


def _selected(result: Any, entry: Entry) -> float | None:
    """The share of the snapshot that the cell chose for this evaluation, None where nothing was to be chosen."""
    chosen = (result["evaluations"][entry.task] or {}).get("selected")
    return float(chosen["snapshot"]) if isinstance(chosen, dict) else None


def _value(entry: Entry, cell: Cell, result: Any, failure: dict[str, Any] | None) -> Value:
    if isinstance(result, dict) and result.get("training") == cell.training:
        if result.get("status") == DIVERGED:
            return Value(entry, DIVERGED, note=f"diverged @{_whole(result.get('step'))}")
        if result.get("status") == PRUNED:
            return Value(entry, PRUNED, note=f"pruned @{_whole(result.get('step'))}")
        evaluations = result.get("evaluations")
        found = evaluations.get(entry.task) if isinstance(evaluations, dict) else None
        if isinstance(found, dict):
            hashes = found.get("extractors")
            texts = {k: v for k, v in hashes.items() if isinstance(v, str)} if isinstance(hashes, dict) else {}
            return Value(entry, COMPLETE, _numbers(found.get("metrics")), _whole(found.get("n")), texts)
    if failure:
        return Value(entry, FAILED, note=str(failure.get("kind", "failed"))[:100])
    return Value(entry, MISSING)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(metrics: Any) -> dict[str, float]:
    items: Iterable = metrics.items() if isinstance(metrics, dict) else ()
    return {str(k): float(v) for k, v in items if isinstance(v, int | float) and math.isfinite(v)}
