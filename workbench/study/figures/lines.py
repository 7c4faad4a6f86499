"""A metric against the number of steps, or against the passes that a training has cost: a line an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.study.facts import trained_passes
from workbench.study.figures.style import (
    BLACK,
    COLOURS,
    FONT,
    GREY,
    MARKERS,
    MOST_COLOURED,
    PALE,
    REFERENCE_MARKERS,
    REFERENCE_STYLES,
    better_word,
    canvas,
    conditions,
    interval_words,
    plain,
)
from workbench.study.plan import OF_ARMS, Entry, Plan, Row
from workbench.study.results import COMPLETE, Value
from workbench.study.statistics import interval_of_mean, mean
from workbench.study.sweep_file import Levels
from workbench.study.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LOG_RATIO = 3.0  # of the largest to the smallest value: beyond it small differences need a logarithmic axis
DODGE = 0.3  # of the distance between two ticks: the bars of a tick stand within
LETTER, SHORT = 0.065, 24  # inches of a letter in the legend; letters for which the usual width has room


@dataclass(frozen=True)
class Point:
    """The mean over the seeds at one place of the axis, with its interval or, for two seeds, their range."""

    x: float
    mean: float
    low: float
    high: float


def point(x: float, values: Sequence[float]) -> Point | None:
    """None without a value. Below three seeds the smallest and the largest value."""
    if not values:
        return None
    low, high = interval_of_mean(values) or (min(values), max(values))
    return Point(x, mean(values), low, high)


def against_steps(plan: Plan, table: Table, values: Sequence[Value], metric: str) -> Canvas | None:
    """Over the numbers of inference steps, where the study evaluates more than one; the teacher and real images too.

    Only evaluations that differ from the first one in nothing but the steps are shown. Arms of one method with a
    student for each number of steps are one line: see `_joined`.
    """
    chosen = _steps(plan)
    if len(chosen) < 2:
        return None
    ticks = sorted(chosen)
    series: dict[str, list[Point]] = {}
    flat: dict[str, float] = {}
    for row in plan.rows:
        points = []
        for index, steps in enumerate(ticks):
            found = _values(values, row.name, chosen[steps], metric)
            points += [p for p in [point(index, found)] if p]
        entries = list(plan.of(row.name))
        is_flat = len({e.num_inference_steps for e in entries}) < 2 or any(e.subject == "real" for e in entries)
        if row.kind == "reference" and is_flat:
            flat |= {plain(row.label): points[0].mean} if points else {}
        elif points:
            series[row.name] = points
    if len({p.x for points in series.values() for p in points}) < 2:  # none, or a metric of one number of steps
        return None
    plan, series = _joined(plan, series)
    figure, axes = _lines(plan, table, metric, series, flat, dodge=True)
    axes.set_xticks(range(len(ticks)), [str(steps) for steps in ticks])
    axes.set_xlim(-0.5, len(ticks) - 0.5)
    axes.set_xlabel("inference steps")
    return figure


def _joined(plan: Plan, series: Mapping[str, list[Point]]) -> tuple[Plan, dict[str, list[Point]]]:
    """Arms x-4, x-3, x-2 that are scored at 4, 3 and 2 steps alone become one row x, "... (a student each)"."""
    own = {}  # row -> its one number of steps
    for row in plan.rows:
        steps = {entry.num_inference_steps for entry in plan.of(row.name)}
        if row.kind == "arm" and len(steps) == 1 and row.name.endswith(f"-{next(iter(steps))}"):
            own[row.name] = f"-{next(iter(steps))}"
    families: dict[str, list[Row]] = {}
    for row in plan.rows:
        if row.name in own and row.name in series:
            families.setdefault(row.name.removesuffix(own[row.name]), []).append(row)
    found, rows = dict(series), []
    for row in plan.rows:
        family = row.name.removesuffix(own[row.name]) if row.name in own else ""
        members = families.get(family, [])
        if len(members) < 2:
            rows.append(row)
        elif row == members[0]:
            label = row.label.removesuffix(own[row.name]).removesuffix(f" = {own[row.name][1:]}") + " (a student each)"
            name = f"{family} (a student each)"  # which no arm can be called
            rows.append(replace(row, name=name, label=label))
            found[name] = sorted((p for member in members for p in found.pop(member.name)), key=lambda p: p.x)
    return replace(plan, rows=tuple(rows)), found


def against_passes(plan: Plan, table: Table, values: Sequence[Value], metric: str) -> Canvas | None:
    """Over the network passes of the training, where snapshots are evaluated; at the first such number of steps.

    A chosen checkpoint stands at the end: the choice has cost the whole training.
    """
    tasks = {task.key: task for cell in plan.cells for task in cell.tasks}
    cells = {cell.key: cell for cell in plan.cells}

    def share(entry: Entry) -> float | None:
        found = tasks[entry.task].settings.get("snapshot")
        return None if found in (None, 1) else float(found)

    students = [entry for entry in plan.entries if entry.subject == "student"]
    steps = next((e.num_inference_steps for e in students if share(e) is not None), None)
    if steps is None:
        return None
    # One evaluation a place: the student at the end before a chosen one, then the first in the file.
    order = {tuple(levels.items()): index for index, levels in enumerate(plan.evaluations)}
    places: dict[tuple[str, float], dict[tuple[bool, int], list[float]]] = {}
    for value in values:
        entry = value.entry
        if entry.subject == "student" and entry.num_inference_steps == steps and metric in value.metrics:
            passes = trained_passes(cells[entry.cell].config, share(entry))
            is_chosen = tasks[entry.task].select is not None
            key = (is_chosen, order[tuple(entry.evaluation.items())])
            places.setdefault((entry.row, passes), {}).setdefault(key, []).append(value.metrics[metric])
    by_row: dict[str, dict[float, list[float]]] = {}
    for (name, passes), found in places.items():
        by_row.setdefault(name, {})[passes] = found[min(found)]
    series = {
        row: [p for passes, found in sorted(points.items()) if (p := point(passes, found))]
        for row, points in by_row.items()
        if len(points) > 1
    }
    if not series:
        return None
    flat = {}
    for row in plan.rows:
        same = [v.metrics[metric] for v in values if v.entry.row == row.name and metric in v.metrics
                and v.entry.num_inference_steps in (steps, _most(plan, row.name))]  # fmt: skip
        if row.kind == "reference" and same:
            flat[plain(row.label)] = same[0]
    figure, axes = _lines(plan, table, metric, series, flat, dodge=False)
    axes.set_xlabel(f"network passes of the training; sampled in {steps} steps")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    return figure


def _most(plan: Plan, row: str) -> int | None:
    """The number of steps of a row that has one alone, as the teacher at 25 and real images."""
    own = {entry.num_inference_steps for entry in plan.of(row)}
    return next(iter(own)) if len(own) == 1 else None


def _lines(
    plan: Plan, table: Table, metric: str, series: Mapping[str, list[Point]], flat: Mapping[str, float], dodge: bool
) -> tuple[Canvas, Any]:
    """The baseline black, the best arms and those furthest from it in colour, the others pale; references grey."""
    rows = {row.name: row for row in plan.rows}
    longest = max(len(plain(rows[name].label)) for name in series)
    figure, axes = canvas(7.2 + max(0.0, LETTER * (longest - SHORT)), 4.2)  # the legend takes nothing from the axes
    column = next(column for column in table.columns if column.metric == metric)
    coloured = _coloured(plan, series, column.direction, shares_places=dodge)
    arms = [name for name in series if rows[name].kind == "arm"]
    pale = [name for name in arms if name not in coloured and name != plan.baseline]
    barred = [name for name in series if name == plan.baseline or name in coloured]
    for name in [*barred, *pale, *(name for name in series if rows[name].kind == "reference")]:
        points, (style, label) = series[name], _style(plan, rows[name], coloured, pale)
        is_barred = name in barred
        shift = DODGE * ((barred.index(name) + 0.5) / len(barred) - 0.5) if dodge and is_barred else 0.0
        ends = [[p.mean - p.low for p in points], [p.high - p.mean for p in points]]
        axes.errorbar(
            [p.x + shift for p in points], [p.mean for p in points], yerr=ends if is_barred else None, label=label,
            capsize=2, elinewidth=1, markersize=4.5, **style,
        )  # fmt: skip
    for index, (label, value) in enumerate(flat.items()):
        style = REFERENCE_STYLES[index % len(REFERENCE_STYLES)]
        axes.axhline(value, linewidth=1.2, linestyle=style, color=GREY, label=label)
    shown = [p.mean for points in series.values() for p in points] + list(flat.values())
    if min(shown) > 0 and max(shown) > LOG_RATIO * min(shown):
        axes.set_yscale("log")
        _plain_numbers(axes, min(shown), max(shown))
    axes.set_ylabel(plain(f"{metric} ({better_word(column.direction)})"))
    axes.grid(axis="y", color=PALE, linewidth=0.5)
    seeds = len(plan.seeds)
    words = f"{conditions(table, metric, seeds)}; bars: {interval_words(seeds)}"
    axes.set_title(words + (" of the mean" if seeds >= 3 else ""), fontsize=8, loc="left", color="0.3")
    found = zip(*axes.get_legend_handles_labels(), strict=True)
    named = {label: handle for handle, label in found if not label.startswith("_")}
    order = [label for label in named if label not in flat] + list(flat)  # lines without a marker last
    handles, labels = [named[label] for label in order], order
    figure.legend(handles, labels, fontsize=FONT - 1, loc="outside right upper", frameon=False)
    return figure, axes


def _coloured(plan: Plan, series: Mapping[str, list[Point]], direction: str, shares_places: bool) -> list[str]:
    """At most as many arms as there are colours: the best one at each place, then those furthest from the baseline.

    shares_places: whether places have the same x; else they are counted, as the passes of a quarter of one method's
    training are not those of another's.
    """
    base = series.get(plan.baseline, [])
    arms = [row.name for row in plan.rows if row.kind == "arm" and row.name != plan.baseline and row.name in series]
    if len(arms) <= MOST_COLOURED:
        return arms

    def badness(value: float) -> float:
        return {"min": value, "max": -value}.get(direction, abs(value))

    def same(i: int, b: Point, j: int, p: Point) -> bool:
        return b.x == p.x if shares_places else i == j

    def distance(name: str) -> float:
        pairs = [(p, b) for i, b in enumerate(base) for j, p in enumerate(series[name]) if same(i, b, j, p)]
        return max((abs(p.mean - b.mean) / abs(b.mean) for p, b in pairs if b.mean), default=0.0)

    here = [
        [(badness(p.mean), name) for name in arms for j, p in enumerate(series[name]) if same(i, base[i], j, p)]
        for i in range(len(base))
    ]
    best = [min(found)[1] for found in here if found]
    ordered = dict.fromkeys([*best, *sorted(arms, key=distance, reverse=True)])  # each once, in this order
    chosen = list(ordered)[: MOST_COLOURED - 1]
    return [name for name in arms if name in chosen]


def _style(plan: Plan, row: Row, coloured: Sequence[str], pale: Sequence[str]) -> tuple[dict[str, Any], str]:
    if row.kind == "reference":
        references = [other.name for other in plan.rows if other.kind == "reference"]
        marker = REFERENCE_MARKERS[references.index(row.name) % len(REFERENCE_MARKERS)]
        return {"color": GREY, "linestyle": "--", "marker": marker, "markerfacecolor": "white"}, plain(row.label)
    if row.name == plan.baseline:
        return {"color": BLACK, "marker": "o", "linewidth": 2, "zorder": 3}, plain(row.label)
    if row.name in coloured:
        index = list(coloured).index(row.name)
        return {"color": COLOURS[index], "marker": MARKERS[index], "linewidth": 1.4}, plain(row.label)
    label = f"{len(pale)} other arms" if row.name == pale[0] else "_pale"
    return {"color": PALE, "marker": ".", "linewidth": 1, "zorder": 1}, label


def _plain_numbers(axes: Any, least: float, most: float) -> None:
    """7, 10, 20 and not 7 x 10^0 on a logarithmic axis."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ticks = [base * 10.0**power for power in range(-6, 7) for base in (1, 2, 3, 5, 7)]
    axes.yaxis.set_major_locator(FixedLocator([t for t in ticks if least / 1.3 <= t <= most * 1.3]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")


def _steps(plan: Plan) -> dict[int, Levels]:
    """Number of student steps -> the evaluation that has it, all else as in the first evaluation (or absent)."""
    found: dict[int, Levels] = {}
    by_levels: list[tuple[Levels, int]] = []
    for levels in plan.evaluations:
        steps = {e.num_inference_steps for e in plan.entries if e.evaluation == levels and e.subject in OF_ARMS}
        if len(steps) == 1 and (number := next(iter(steps))):
            by_levels.append((levels, number))
    if not by_levels:
        return {}
    first = by_levels[0][0]
    factor = next((f for f in first if _is_of_steps(f, by_levels)), None)
    for levels, number in by_levels:
        rest = {key: level for key, level in levels.items() if key != factor}
        # a conditional factor may exist under this number of steps only: then its first level
        if factor is not None and all(first.get(key, level) == level for key, level in rest.items()):
            found.setdefault(number, levels)
    return found


def _is_of_steps(factor: str, by_levels: Sequence[tuple[Levels, int]]) -> bool:
    """Whether the factor's levels are the numbers of steps, one number a level."""
    pairs = {(levels.get(factor), steps) for levels, steps in by_levels}
    return len(pairs) == len({level for level, _ in pairs}) == len({steps for _, steps in pairs})


def _values(values: Sequence[Value], row: str, levels: Levels, metric: str) -> list[float]:
    """The row's values under these levels; a diverged seed leaves the mean without a meaning, hence none."""
    mine = [v for v in values if v.entry.row == row and v.entry.evaluation == levels]
    if any(v.status != COMPLETE for v in mine):
        return []
    return [v.metrics[metric] for v in mine if metric in v.metrics]
