"""Paired dots: what each arm changes, seed by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.study.figures.style import (
    BETTER,
    GREY,
    PALE,
    WORSE,
    better_word,
    canvas,
    conditions,
    interval_words,
    plain,
)
from workbench.study.statistics import Comparison, improves
from workbench.study.tables import Block, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


COLLAPSE = 20  # times the next largest difference


def paired_dots(table: Table, block: Block, seeds: int) -> Canvas | None:
    """One line an arm: the differences of the seeds as open dots, their mean and interval as a bar, zero as a line.

    Blue and filled: better for certain; red and filled: worse; grey: undecided. None where nothing can be compared.
    """
    column = table.columns[0]
    base = next((line for line in block.lines if line.row.name == table.baseline), None)
    compared = [
        line for line in block.lines if line.figures[column.metric].comparison is not None and not line.diverged
    ]
    if base is None or not compared:
        return None
    theirs = base.figures[column.metric].values
    figure, axes = canvas(7.0, 1.3 + 0.3 * len(compared))
    for height, line in enumerate(reversed(compared)):
        shown = line.figures[column.metric]
        comparison = shown.comparison
        assert comparison is not None
        sure = comparison.excludes_zero
        colour = BETTER if shown.bold else WORSE if sure else GREY
        differences = [value - theirs[seed] for seed, value in shown.values.items() if seed in theirs]
        if column.direction == "zero":
            differences = [abs(v) - abs(theirs[s]) for s, v in shown.values.items() if s in theirs]
        _bar(axes, comparison, height, colour)
        axes.plot(
            differences, [height] * len(differences), "o",
            markersize=4, markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.1,
        )  # fmt: skip
    # One collapsed arm must not press all others onto the line: beyond the others the axis is logarithmic.
    sizes = sorted(abs(line.figures[column.metric].comparison.difference) for line in compared)  # type: ignore[union-attr]
    scale = ""
    far = len(sizes) > 2 and sizes[-1] > COLLAPSE * sizes[-2] > 0
    pressed = len(sizes) > 4 and sizes[-1] > COLLAPSE * sizes[len(sizes) // 2] > 0 and sizes[-1] > 4 * sizes[-2]
    if far or pressed:
        linear = (4 if far else 1.5) * sizes[-2]
        axes.set_xscale("symlog", linthresh=linear, linscale=2)
        steps = [m * 10.0**power for power in range(-4, 7) for m in (1, 2, 5)]
        ticks = [step for step in steps if linear / 8 <= step <= 1.1 * axes.get_xlim()[1]]
        ticks += [-step for step in steps if linear / 8 <= step <= -1.1 * axes.get_xlim()[0]]
        axes.set_xticks([0, *ticks])
        axes.xaxis.set_major_formatter("{x:g}")  # 100 and not 10^2
        scale = "; logarithmic far from 0"
    axes.axvline(0, color="black", linewidth=0.9)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.set_yticks(
        range(len(compared)), [plain(_label(table, line.row.name, line.row.label)) for line in reversed(compared)]
    )
    axes.set_xlabel(plain(f"{column.metric}: row − {base.row.label} ({better_word(column.direction)}{scale})"))
    axes.set_ylim(-0.7, len(compared) - 0.3)
    words = f"{conditions(table, column.metric, seeds)}; bars: {interval_words(seeds)}"
    axes.set_title(plain(" · ".join(filter(None, (block.title, words)))), fontsize=8, loc="left", color="0.3")
    return figure


def effect_dots(table: Table, under: str) -> Canvas | None:
    """Main effects and, below a line, interactions of a factorial on its objective: means and intervals.

    Colours as for `paired_dots`. None where the table has no effects under this evaluation.
    """
    column = table.columns[0]
    shown = [e for e in table.effects if e.metric == column.metric and e.under == under]
    if not shown:
        return None
    seeds = effect_seeds(table, under)
    figure, axes = canvas(7.0, 1.3 + 0.3 * len(shown))
    direction = "min" if column.direction == "zero" else column.direction
    for height, effect in enumerate(reversed(shown)):
        comparison = effect.comparison
        sure = comparison.excludes_zero
        colour = GREY if not sure else BETTER if improves(comparison.difference, direction) else WORSE
        _bar(axes, comparison, height, colour)
    interactions = sum(effect.order > 1 for effect in shown)
    if 0 < interactions < len(shown):
        axes.axhline(interactions - 0.5, color=PALE, linewidth=0.9)
    axes.axvline(0, color="black", linewidth=0.9)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.set_yticks(range(len(shown)), [plain(effect.name) for effect in reversed(shown)])
    axes.set_xlabel(plain(f"effect on {column.metric} ({better_word(column.direction)})"))
    axes.set_ylim(-0.7, len(shown) - 0.3)
    words = f"{conditions(table, column.metric, seeds)}; bars: {interval_words(seeds)}"
    axes.set_title(plain(" · ".join(filter(None, (under, words)))), fontsize=8, loc="left", color="0.3")
    return figure


def effect_seeds(table: Table, under: str) -> int:
    """Seeds of which every combination under this evaluation has the objective; 0 without effects."""
    objective = table.columns[0].metric
    return min((e.comparison.n for e in table.effects if e.under == under and e.metric == objective), default=0)


def _bar(axes: Any, comparison: Comparison, height: int, colour: str) -> None:
    """The interval, of two seeds their range, and the mean: filled where the interval excludes zero."""
    if comparison.low is not None and comparison.high is not None:
        axes.plot([comparison.low, comparison.high], [height, height], color=colour, linewidth=2.2)
    axes.plot(
        [comparison.difference], [height], "D", color=colour, markersize=7,
        markerfacecolor=colour if comparison.excludes_zero else "white", markeredgewidth=1.4,
    )  # fmt: skip


def _label(table: Table, row: str, label: str) -> str:
    return label + (" †" if table.primary.get(row) == table.columns[0].metric else "")
