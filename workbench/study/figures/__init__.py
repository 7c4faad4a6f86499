"""The figures of a study: paired dots, a metric against steps and passes, guidance, samples of the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.study.figures.differences import effect_dots, effect_seeds, paired_dots
from workbench.study.figures.guidance import guidance_curves
from workbench.study.figures.lines import against_passes, against_steps
from workbench.study.figures.samples import compose, sample_strips
from workbench.study.figures.style import Drawn, conditions, file_name, interval_words, save
from workbench.study.files import write_bytes
from workbench.study.plan import Plan
from workbench.study.results import Value, collect
from workbench.study.tables import Table

MAX_SHEETS = 6  # of samples, one an evaluation

__all__ = ["Drawn", "draw", "sample_strips"]


def draw(plan: Plan, table: Table, root: Path, values: Sequence[Value] | None = None) -> list[Drawn]:
    """Write all figures that the results allow into root/figures, as PNG; returns them in the order of the page.

    values: what the files in `root` say, if the caller has read them.
    """
    values = collect(plan, root) if values is None else values
    folder, drawn = root / "figures", []
    objective = table.columns[0].metric
    based = f"{conditions(table, objective, len(plan.seeds))}"
    bars = interval_words(len(plan.seeds))
    for index, block in enumerate(table.blocks):
        if canvas := paired_dots(table, block, len(plan.seeds)):
            name = "differences" if index == 0 else f"differences-{index}"
            where = f" ({block.title})" if block.title else ""
            caption = (
                f"{objective}{where}: paired difference of each row to {table.baseline}; circles: seeds; diamond: "
                f"mean, filled where the interval excludes zero (blue: better, red: worse); bars: {bars}; {based}."
            )
            drawn.append(Drawn(save(canvas, folder / f"{name}.png"), caption))
    for index, under in enumerate(dict.fromkeys(effect.under for effect in table.effects)):
        if canvas := effect_dots(table, under):
            seeds = effect_seeds(table, under)
            caption = (
                f"{objective}{f' ({under})' if under else ''}: main effects, each averaged over all combinations of "
                f"the other factors, and interactions (×); diamond filled where the interval excludes zero (blue: "
                f"better, red: worse); bars: {interval_words(seeds)}; {conditions(table, objective, seeds)}."
            )
            name = "effects" if index == 0 else f"effects-{index}"
            drawn.append(Drawn(save(canvas, folder / f"{name}.png"), caption))
    for column in table.columns:
        if canvas := against_steps(plan, table, values, column.metric):
            caption = (
                f"{column.metric} against the number of inference steps: mean over the seeds; bars: {bars}; "
                f"{conditions(table, column.metric, len(plan.seeds))}."
            )
            drawn.append(Drawn(save(canvas, folder / f"steps-{file_name(column.metric)}.png"), caption))
    if canvas := against_passes(plan, table, values, objective):
        caption = (
            f"{objective} against the network passes of the training: mean over the seeds; bars: {bars}; {based}. A "
            "snapshot on the way has not seen the end of the learning rate's schedule."
        )
        drawn.append(Drawn(save(canvas, folder / f"passes-{file_name(objective)}.png"), caption))
    if canvas := guidance_curves(plan, table, values, root):
        caption = f"{objective} against the CLIP score over the guidance scale, which stands at each point; {based}."
        drawn.append(Drawn(save(canvas, folder / "guidance.png"), caption))
    return drawn + _samples(plan, root, folder)


def _samples(plan: Plan, root: Path, folder: Path) -> list[Drawn]:
    drawn: list[Drawn] = []
    for index, levels in enumerate(plan.evaluations[:MAX_SHEETS]):
        strips = sample_strips(plan, root, levels)
        if not strips:
            continue
        path = folder / ("samples.png" if index == 0 else f"samples-{index}.png")
        write_bytes(path, compose(strips, levels))
        where = ", ".join(f"{factor} = {level}" for factor, level in levels.items())
        names = ", ".join(label for label, _ in strips)
        caption = (
            f"Samples{f' ({where})' if where else ''}, one row an arm, the first seed; the same prompts and the same "
            f"initial noise in every row: {names}."
        )
        drawn.append(Drawn(path, caption))
    return drawn
