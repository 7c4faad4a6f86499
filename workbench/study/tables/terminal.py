"""A table for the terminal, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.study.errors import printable
from workbench.study.tables import words
from workbench.study.tables.model import Block, Table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable


def terminal(table: Table, blocks: int | None = None) -> Group:
    """The question, the first `blocks` tables (all for None) and the notes, as something rich can print."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    shown = table.blocks if blocks is None else table.blocks[:blocks]
    parts: list[RenderableType] = [Text(printable(table.question or table.study), style="bold")]
    parts += [_rich(table, block, columns) for block in shown for columns in words.parts(table)]
    if len(shown) < len(table.blocks):
        parts.append(Text(f"and {len(table.blocks) - len(shown)} more evaluations in table.md", style="dim"))
    else:
        parts += [Text(printable(f"· {note}"), style="dim") for note in table.notes]
    for part in words.further(table):
        parts.append(_further(part))
        parts += [Text(printable(f"· {note}"), style="dim") for note in part.notes]
    return Group(*parts)


def _further(part: words.Further) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(title=part.title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for head, is_number in zip(part.head, part.is_number, strict=True):
        grid.add_column(head, justify="right" if is_number else "left")
    for row in part.rows:
        grid.add_row(*(Text(printable(text.main), style="bold" if text.bold else "") for text in row))
    return grid


def _rich(table: Table, block: Block, columns: list[int]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = block.title if columns == words.parts(table)[0] else ""
    grid = RichTable(
        title=Text(printable(title), style="italic") if title else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        expand=False,
    )
    heads = words.header(table)
    for index in columns:
        head = heads[index]
        grid.add_column(
            Text(printable("\n".join(filter(None, (head.main, head.below))))), justify="right" if index else "left"
        )
    kind = "arm"
    for line in block.lines:
        if line.row.kind != kind:
            grid.add_section()
            kind = line.row.kind
        texts = []
        shown = words.cells(table, line)
        for cell in (shown[index] for index in columns):
            text = Text(printable(cell.main), style="bold" if cell.bold else "")
            if cell.below:
                text.append(printable(f"\n{cell.below}"), style="dim")
            texts.append(text)
        grid.add_row(*texts)
    return grid
