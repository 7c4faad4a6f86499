"""Samples: one strip an arm, the same prompts and the same noise in every strip."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.study.plan import Entry, Plan
from workbench.study.sweep_file import Levels

COLUMNS, GAP = 8, 4  # of an evaluation's grid.png: square tiles a row, pixels between them
MAX_STRIPS = 40
MAX_PIXELS = 50_000_000  # of a grid.png; ours have a thousandth
LABEL, PROMPT, LINE = 14, 11, 13  # pixels: fonts of rows and prompts, height of a prompt's line


def sample_strips(plan: Plan, root: Path, levels: Levels | None = None) -> list[tuple[str, Path]]:
    """Label and grid.png of every row, for the first seed and one evaluation (None: the first)."""
    cells = {cell.key: cell for cell in plan.cells}
    strips = []
    for row in plan.rows:
        mine = [e for e in plan.of(row.name) if levels is None or e.evaluation == levels]
        entry: Entry | None = next(iter(mine), None)
        if entry is None:
            continue
        path = root / cells[entry.cell].folder / "evaluations" / entry.task / "grid.png"
        if _is_grid(path):
            strips.append((row.label, path))
    return strips[:MAX_STRIPS]


def _is_grid(path: Path) -> bool:
    """Whether there is a whole PNG of a grid's shape; Pillow goes by the content, and for some starts programs."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as opened:
            opened.load()
            return opened.width > COLUMNS * GAP and opened.width * opened.height < MAX_PIXELS
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def compose(strips: Sequence[tuple[str, Path]], levels: Levels | None = None) -> bytes:
    """The first row of tiles of each grid with its label to the left; above each column its prompt, if they agree.

    levels: of the evaluation that all were drawn under; they stand in the corner.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, small = ImageFont.load_default(size=LABEL), ImageFont.load_default(size=PROMPT)
    corner = [f"{factor} = {level}" for factor, level in (levels or {}).items()]
    widths = [font.getlength(label) for label, _ in strips] + [small.getlength(line) for line in corner]
    margin = 10 + int(max(widths))
    rows, prompts = [], []
    for label, path in strips:
        with Image.open(path, formats=["PNG"]) as opened:
            prompts.append(_prompts(opened))
            image = opened.convert("RGB")
        tile = (image.width - (COLUMNS - 1) * GAP) // COLUMNS
        rows.append((label, image.crop((0, 0, image.width, min(image.height, tile)))))
    tile = rows[0][1].height
    heads = _heads(prompts, small, tile)
    most = max(len(lines) for lines in [*heads, corner])
    top = 4 + LINE * most + (4 if most else 0)
    width = margin + max(image.width for _, image in rows)
    sheet = Image.new("RGB", (width, top + sum(image.height + GAP for _, image in rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(corner):
        pen.text((2, 2 + number * LINE), line, fill="#333333", font=small)
    for column, lines in enumerate(heads):
        for number, line in enumerate(lines):
            pen.text((margin + column * (tile + GAP), 2 + number * LINE), line, fill="#333333", font=small)
    for label, image in rows:
        pen.text((2, top + image.height // 2), label, fill="black", font=font, anchor="lm")
        sheet.paste(image, (margin, top))
        top += image.height + GAP
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _prompts(image: Any) -> list[str]:
    text = getattr(image, "text", {}).get("prompts", "")
    return str(text).splitlines()[:COLUMNS]


def _heads(prompts: Sequence[list[str]], font: Any, tile: int) -> list[list[str]]:
    """The prompts of the first row of tiles, in lines as wide as a tile; none where rows were drawn for others."""
    known = [found for found in prompts if found]
    if not known or any(found != known[0] for found in known):
        return []
    letters = max(4, int(tile / (font.getlength("abcdefghijklmnopqrstuvwxyz ") / 27)))
    return [textwrap.wrap(prompt, letters, max_lines=6, placeholder=" …") for prompt in known[0]]
