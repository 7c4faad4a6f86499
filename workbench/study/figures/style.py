"""How all figures look: colours that the colour-blind tell apart, and a second sign for each of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.files import write_bytes
from workbench.study.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito's palette without its yellow, which white paper swallows; markers say the same again.
BLACK, GREY, PALE = "#000000", "#8c8c8c", "#d0d0d0"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3D9A")
MARKERS = ("s", "^", "D", "v", "P", "X", "*")
BETTER, WORSE = COLOURS[0], COLOURS[1]
MOST_COLOURED = len(COLOURS)
DPI = 150
FONT = 9
# One each for five references; dashes and gaps in points.
REFERENCE_STYLES: tuple[Any, ...] = (":", "-.", "--", (0, (1, 4)), (0, (7, 2, 1, 2, 1, 2)))
REFERENCE_MARKERS = ("o", "s", "^", "D", "v")  # white inside, where the arms' are full


@dataclass(frozen=True)
class Drawn:
    """A figure that was written, with the sentence that belongs below it."""

    path: Path
    caption: str


def canvas(width: float, height: float) -> tuple[Canvas, Any]:
    """A figure of so many inches and its axes: no pyplot, hence no global state and no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.xaxis.label.set_fontsize(FONT + 1)
    axes.yaxis.label.set_fontsize(FONT + 1)
    axes.set_axisbelow(True)
    return figure, axes


def save(figure: Canvas, path: Path) -> Path:
    """Write as PNG: the same bytes for the same numbers."""
    buffer = io.BytesIO()
    # "tight": titles and labels that are longer than the axes widen the picture instead of being cut off
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
    return path


def plain(text: str) -> str:
    """Without what matplotlib would set as mathematics."""
    return text.replace("$", r"\$")


def file_name(metric: str) -> str:
    """'fd-judge' of 'FD[judge]'."""
    return "".join(mark if mark.isalnum() else "-" for mark in metric).strip("-").lower()


def better_word(direction: str) -> str:
    """Which way is better, for an axis: 'lower is better'."""
    return {"min": "lower is better", "max": "higher is better"}.get(direction, "nearer to 0 is better")


def conditions(table: Table, metric: str, seeds: int) -> str:
    """What a value rests on: 'N = 512 images, 3 seeds'."""
    column = next(column for column in table.columns if column.metric == metric)
    images = " or ".join(f"{count:,}" for count in column.num_images)
    counted = f"{seeds} seed" + ("s" if seeds > 1 else "")
    return f"N = {images} images, {counted}" if images else counted


def interval_words(seeds: int) -> str:
    """What a bar is, as statistics.compare makes it."""
    return "95 % Student-t interval" if seeds >= 3 else "range of two seeds" if seeds == 2 else "one seed, no interval"
