"""A table as HTML: a fragment, everything in it escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from workbench.study.tables import words
from workbench.study.tables.model import Table


def web(table: Table) -> str:
    """A <table> for each evaluation, several where it is too wide; notes as a list. No script, no style, no link."""
    out = []
    head = words.header(table)
    for block in table.blocks:
        caption = f"<caption>{escape(block.title)}</caption>" if block.title else ""
        for columns in words.parts(table):
            heads = "".join(f"<th>{_text(head[i])}</th>" for i in columns)
            out.append(f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>")
            for line in block.lines:
                name, *rest = (words.cells(table, line)[i] for i in columns)
                kind = "baseline" if line.row.name == table.baseline else line.row.kind
                cells = "".join(f"<td>{_text(text)}</td>" for text in rest)
                out.append(f'<tr class="{kind}"><th scope="row">{_text(name)}</th>{cells}</tr>')
            out.append("</tbody></table>")
            caption = ""
    out.append(_notes(table.notes))
    for part in words.further(table):
        heads = "".join(f"<th>{escape(word)}</th>" for word in part.head)
        out.append(f"<table><caption>{escape(part.title)}</caption><thead><tr>{heads}</tr></thead><tbody>")
        for name, *rest in part.rows:
            cells = "".join(f"<td>{_text(text)}</td>" for text in rest)
            out.append(f'<tr><th scope="row">{_text(name)}</th>{cells}</tr>')
        out += ["</tbody></table>", _notes(part.notes)]
    return "\n".join(out) + "\n"


def _notes(notes: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def _text(text: words.Text) -> str:
    main = f"<b>{escape(text.main)}</b>" if text.bold else escape(text.main)
    return f"{main}<br><small>{escape(text.below)}</small>" if text.below else main
