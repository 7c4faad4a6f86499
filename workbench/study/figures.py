"""The figures of a study: paired dots, a metric against steps, and samples of the same noise."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.files import write_bytes
from workbench.study.plan import Entry, Plan
from workbench.study.tables import Block, Line, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

COLUMNS, GAP = 8, 4  # of an evaluation's grid.png: square tiles a row, pixels between them
MAX_STRIPS = 40


@dataclass(frozen=True)
class Drawn:
    """A figure that was written, with the sentence that belongs below it."""

    path: Path
    caption: str


def draw(plan: Plan, table: Table, root: Path) -> list[Drawn]:
    """Write all figures that the results allow into root/figures, as PNG; returns them in the order of the page."""
    drawn = []
    for index, block in enumerate(table.blocks):
        if canvas := _paired_dots(table, block):
            name = "differences" if index == 0 else f"differences-{index}"
            where = f" ({block.title})" if block.title else ""
            caption = (
                f"Difference to the baseline in {table.columns[0].metric}{where}: a dot a seed, a bar the interval."
            )
            drawn.append(Drawn(_save(canvas, root / "figures" / f"{name}.png"), caption))
    for column in table.columns:
        if canvas := _against_steps(plan, table, column.metric):
            path = root / "figures" / f"steps-{_file_name(column.metric)}.png"
            drawn.append(Drawn(_save(canvas, path), f"{column.metric} against the number of student steps."))
    if strips := sample_strips(plan, root):
        path = root / "figures" / "samples.png"
        caption = "Samples, one row an arm, the same prompts and the same initial noise in every row: " + ", ".join(
            label for label, _ in strips
        )
        write_bytes(path, _compose(strips))
        drawn.append(Drawn(path, caption + "."))
    return drawn


def _file_name(metric: str) -> str:
    return "".join(mark if mark.isalnum() else "-" for mark in metric).strip("-").lower()


def _canvas(width: float, height: float) -> tuple[Canvas, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no pyplot: no global state, no display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Canvas, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})  # the same bytes for the same numbers
    write_bytes(path, buffer.getvalue())
    return path


def _paired_dots(table: Table, block: Block) -> Canvas | None:
    """One line an arm: the differences of the seeds as dots, their mean and interval as a bar, zero as a line."""
    column = table.columns[0]
    base = next((line for line in block.lines if line.row.name == table.baseline), None)
    compared = [
        line for line in block.lines if line.figures[column.metric].comparison is not None and not line.diverged
    ]
    if base is None or not compared:
        return None
    theirs = base.figures[column.metric].values
    figure, axes = _canvas(7.0, 1.2 + 0.32 * len(compared))
    for height, line in enumerate(reversed(compared)):
        shown = line.figures[column.metric]
        comparison = shown.comparison
        assert comparison is not None
        colour = "tab:green" if shown.bold else "tab:red" if comparison.excludes_zero else "0.4"
        if comparison.is_interval:
            axes.plot([comparison.low, comparison.high], [height, height], color=colour, linewidth=2, alpha=0.6)
        axes.plot([comparison.difference], [height], "|", color=colour, markersize=12, markeredgewidth=2)
        differences = [value - theirs[seed] for seed, value in shown.values.items() if seed in theirs]
        axes.plot(differences, [height] * len(differences), "o", color=colour, markersize=4, alpha=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(compared)), [line.row.label for line in reversed(compared)])
    better = {"min": "lower", "max": "higher"}.get(column.direction, "nearer to 0")
    axes.set_xlabel(f"{column.metric}: difference to {base.row.label} ({better} is better)")
    axes.set_ylim(-0.7, len(compared) - 0.3)
    return figure


def _against_steps(plan: Plan, table: Table, metric: str) -> Canvas | None:
    """A line an arm over the numbers of inference steps, where the study evaluates more than one."""
    steps = _steps_of_blocks(plan)
    if len(set(steps)) < 2:
        return None
    factor = _steps_factor(table, steps)
    if factor is None:
        return None
    rest = [{k: v for k, v in block.evaluation.items() if k != factor} for block in table.blocks]
    pairs = [(step, block) for step, block, own in zip(steps, table.blocks, rest, strict=True) if own == rest[0]]
    chosen = sorted(pairs, key=lambda pair: pair[0])
    figure, axes = _canvas(7.0, 4.5)
    for row in plan.rows:
        points = [(step, mean) for step, block in chosen if (mean := _mean(block, row.name, metric)) is not None]
        if not points:
            continue
        if row.kind == "reference" and len(points) == 1:
            axes.axhline(points[0][1], linewidth=1, linestyle=":", color="0.5")
            axes.annotate(
                row.label,
                (1, points[0][1]),
                xycoords=("axes fraction", "data"),
                fontsize=7,
                color="0.4",
                ha="right",
                va="bottom",
            )
            continue
        style: dict[str, Any] = {"linestyle": "--", "color": "0.5"} if row.kind == "reference" else {}
        if row.name == plan.baseline:
            style = {"color": "black", "linewidth": 2}
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=row.label, **style)
    axes.set_xticks(sorted(set(steps)))
    axes.set_xlabel("inference steps")
    axes.set_ylabel(metric)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _steps_factor(table: Table, steps: Sequence[int]) -> str | None:
    """The evaluation factor whose levels are the numbers of steps, one number a level."""
    for factor in table.blocks[0].evaluation:
        pairs = {(block.evaluation.get(factor), step) for block, step in zip(table.blocks, steps, strict=True)}
        if len(pairs) == len({level for level, _ in pairs}) == len({step for _, step in pairs}):
            return factor
    return None


def _steps_of_blocks(plan: Plan) -> list[int]:
    """The number of student steps of each evaluation."""
    steps = []
    for levels in plan.evaluations:
        found = [e.num_inference_steps for e in plan.entries if e.evaluation == levels and e.subject == "student"]
        steps.append(found[0] or 0 if found else 0)
    return steps


def _mean(block: Block, row: str, metric: str) -> float | None:
    lines: Sequence[Line] = [line for line in block.lines if line.row.name == row]
    return lines[0].figures[metric].mean if lines else None


def sample_strips(plan: Plan, root: Path) -> list[tuple[str, Path]]:
    """Label and grid.png of every row, for the first seed and the first evaluation."""
    cells = {cell.key: cell for cell in plan.cells}
    strips = []
    for row in plan.rows:
        entry: Entry | None = next(iter(plan.of(row.name)), None)
        if entry is None:
            continue
        path = root / cells[entry.cell].folder / "evaluations" / entry.task / "grid.png"
        if path.is_file():
            strips.append((row.label, path))
    return strips[:MAX_STRIPS]


def _compose(strips: Sequence[tuple[str, Path]]) -> bytes:
    """The first row of tiles of each grid, with its label to the left."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=14)
    margin = 8 + max(int(font.getlength(label)) for label, _ in strips)
    rows = []
    for label, path in strips:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        tile = (image.width - (COLUMNS - 1) * GAP) // COLUMNS
        rows.append((label, image.crop((0, 0, image.width, min(image.height, tile)))))
    width = margin + max(image.width for _, image in rows)
    sheet = Image.new("RGB", (width, sum(image.height + 4 for _, image in rows)), "white")
    pen = ImageDraw.Draw(sheet)
    top = 0
    for label, image in rows:
        pen.text((2, top + image.height // 2), label, fill="black", font=font, anchor="lm")
        sheet.paste(image, (margin, top))
        top += image.height + 4
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
