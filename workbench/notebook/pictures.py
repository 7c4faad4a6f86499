"""Labelled sheets of sample images."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

GAP = 2  # pixels of white between tiles, at the images' own resolution
INCHES = 0.95  # of a tile
WRAP = 28  # characters of a row's label


def sheet(
    tiles: Sequence[Sequence[Tensor | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """A figure of images with a label for each row and column; every pixel stays a square.

    Args:
        tiles: rows of images (3, H, W), all of one size: float in [-1, 1] (clamped), or uint8; None leaves a gap.
        rows, columns: as many labels as there are rows and columns of tiles; long ones of rows are wrapped.

    Raises:
        ValueError: labels and tiles do not match, or there is no image at all.
    """
    if len(tiles) != len(rows) or any(len(row) != len(columns) for row in tiles):
        raise ValueError(
            f"sheet: {len(rows)} x {len(columns)} labels for tiles of {len(tiles)} rows with {[len(r) for r in tiles]}."
        )
    first = next((image for row in tiles for image in row if image is not None), None)
    if first is None:
        raise ValueError("sheet: there is no image to show.")
    height, width = first.shape[-2] + GAP, first.shape[-1] + GAP
    canvas = np.full((len(rows) * height - GAP, len(columns) * width - GAP, 3), 255, np.uint8)
    for i, row in enumerate(tiles):
        for j, image in enumerate(row):
            if image is not None:
                canvas[i * height : (i + 1) * height - GAP, j * width : (j + 1) * width - GAP] = _pixels(image)
    rows = [textwrap.fill(label, WRAP) for label in rows]
    longest = max(len(line) for label in rows for line in label.split("\n")) if any(rows) else 0
    size = (INCHES * len(columns) + 0.09 * longest + (0.4 if ylabel else 0.1), INCHES * len(rows) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(canvas, interpolation="nearest")
    axes.set_xticks([j * width + (width - GAP) / 2 - 0.5 for j in range(len(columns))], columns)
    axes.set_yticks([i * height + (height - GAP) / 2 - 0.5 for i in range(len(rows))], rows)
    axes.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=11)
    return figure


def _pixels(image: Tensor) -> np.ndarray:
    """(3, H, W) -> uint8 (H, W, 3)."""
    array = image.detach().cpu().permute(1, 2, 0).numpy()
    if array.dtype == np.uint8:
        return array
    return ((array.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
