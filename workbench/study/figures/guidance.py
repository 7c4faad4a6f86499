"""FD against CLIP over the guidance scale: what guidance buys, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.digest import digest
from workbench.study.figures.style import (
    BLACK,
    COLOURS,
    FONT,
    GREY,
    MARKERS,
    PALE,
    better_word,
    canvas,
    conditions,
    plain,
)
from workbench.study.files import read_json
from workbench.study.plan import OF_ARMS, Cell, Plan
from workbench.study.results import Value
from workbench.study.statistics import mean
from workbench.study.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LEAST_SCALES = 3  # two are no curve, and the table has them


def guidance_curves(plan: Plan, table: Table, values: Sequence[Value], root: Path) -> Canvas | None:
    """The first metric over the first CLIP score: a curve a teacher over its guidance scale, and a curve for arms
    that differ in nothing but the scale of their target. None where no scale is varied."""
    score = next((column.metric for column in table.columns if column.metric.startswith("CLIP[")), None)
    distance = table.columns[0].metric
    if score is None or score == distance:
        return None
    curves = _curves(plan, values, root, (score, distance))
    if not curves:
        return None
    figure, axes = canvas(7.0, 4.4)
    students = [name for name in curves if not name.startswith("teacher")]
    for name, by_scale in curves.items():
        points = [by_scale[scale] for scale in sorted(by_scale)]
        style: dict[str, Any] = {"color": GREY, "linestyle": "--", "marker": "o"}
        if name in students:
            index = students.index(name)
            style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        elif name == next(iter(curves)):
            style = {"color": BLACK, "marker": "o"}
        axes.plot([p[0] for p in points], [p[1] for p in points], label=name, markersize=5, linewidth=1.5, **style)
        for scale, (x, y) in by_scale.items():
            axes.annotate(
                f"{scale:g}", (x, y), textcoords="offset points", xytext=(4, 5), fontsize=FONT - 1, color=style["color"]
            )
    axes.grid(color=PALE, linewidth=0.5)
    directions = {column.metric: column.direction for column in table.columns}
    axes.set_xlabel(plain(f"{score} ({better_word(directions[score])})"))
    axes.set_ylabel(plain(f"{distance} ({better_word(directions[distance])})"))
    words = conditions(table, distance, len(plan.seeds))
    who = "arms" if any(name.startswith("targets") for name in curves) else "students"
    axes.set_title(f"{words} ({who}: mean); numbers: guidance scale", fontsize=8, loc="left", color="0.3")
    axes.legend(fontsize=FONT - 1, frameon=False)
    return figure


Curve = dict[float, tuple[float, float]]  # guidance scale -> (score, distance)


def _curves(plan: Plan, values: Sequence[Value], root: Path, metrics: tuple[str, str]) -> dict[str, Curve]:
    cells = {cell.key: cell for cell in plan.cells}
    settings = {task.key: task.settings for cell in plan.cells for task in cell.tasks}
    own = _own_scale(plan, root)
    gathered: dict[str, dict[float, list[tuple[float, float]]]] = {}
    labels: dict[str, tuple[bool, int, str]] = {}  # students after teachers, most steps first
    for value in values:
        entry, cell = value.entry, cells[value.entry.cell]
        if any(metric not in value.metrics for metric in metrics):
            continue
        if entry.subject == "teacher":
            given = settings[entry.task].get("guidance_scale")
            scale = given if given is not None else (cell.config.get("teacher") or {}).get("guidance_scale")
            rest = {k: v for k, v in settings[entry.task].items() if k not in ("guidance_scale", "snapshot")}
            group = digest(["teacher", rest])
            labels.setdefault(group, _label("teacher", entry.num_inference_steps))
        elif entry.subject in OF_ARMS:
            scale, rest = _target_scale(cell)
            group = digest([entry.subject, rest, dict(entry.evaluation)])
            labels.setdefault(group, _label(f"{entry.subject}s", entry.num_inference_steps))
        else:
            continue
        scale = own if scale is None else scale
        if isinstance(scale, int | float):
            found = (value.metrics[metrics[0]], value.metrics[metrics[1]])
            gathered.setdefault(group, {}).setdefault(float(scale), []).append(found)
    curves: dict[str, Curve] = {}
    for group, by_scale in sorted(gathered.items(), key=lambda item: labels[item[0]]):
        if len(by_scale) >= LEAST_SCALES:
            name = labels[group][2] if labels[group][2] not in curves else f"{labels[group][2]} ({len(curves) + 1})"
            curves[name] = {
                scale: (mean([p[0] for p in points]), mean([p[1] for p in points]))
                for scale, points in sorted(by_scale.items())
            }
    return curves


def _label(who: str, steps: int | None) -> tuple[bool, int, str]:
    return who != "teacher", -(steps or 0), f"{who}, {steps} step{'' if steps == 1 else 's'}"


def _own_scale(plan: Plan, root: Path) -> float | None:
    """The scale that is committed with the teacher, as an evaluation at `guidance_scale: null` has written it."""
    for cell in plan.cells:
        for task in cell.tasks:
            if task.settings.get("subject") == "teacher" and task.settings.get("guidance_scale") is None:
                found = read_json(root / cell.folder / "evaluations" / task.key / "evaluation.json")
                scale = ((found or {}).get("subject") or {}).get("guidance_scale")
                if isinstance(scale, int | float):
                    return float(scale)
    return None


def _target_scale(cell: Cell) -> tuple[Any, Any]:
    """The guidance of the arm's target (None: the teacher's own), and everything else of its configuration."""
    config: dict[str, Any] = deepcopy(dict(cell.config))
    for name in ("seed", "evaluation"):
        config.pop(name, None)
    scales = []
    for loss in ((config.get("model") or {}).get("losses") or {}).values():
        target = _arguments(_arguments(loss).get("target"))
        if "guidance" in target:
            scales.append(target.pop("guidance"))
    (config.get("train") or {}).pop("student_updates", None)  # an unguided target is cheaper: a budget trains longer
    return (scales[0] if len(scales) == 1 else "none"), config


def _arguments(node: Any) -> dict[str, Any]:
    found = node.get("init_args") if isinstance(node, Mapping) else None
    return found if isinstance(found, dict) else {}
