"""A table as GitHub's Markdown."""

from __future__ import annotations

from workbench.study.tables import words
from workbench.study.tables.model import Table


def markdown(table: Table) -> str:
    """One Markdown table for each evaluation, the question above, the notes below."""
    parts = [f"### {_escape(table.question or table.study)}\n"]
    head = words.header(table)
    for block in table.blocks:
        if block.title:
            parts.append(f"**{_escape(block.title)}**\n")
        lines = [words.cells(table, line) for line in block.lines]
        for columns in words.parts(table):
            rows = [[_text(head[i]) for i in columns], ["---", *["---:"] * (len(columns) - 1)]]
            rows += [[_text(line[i]) for i in columns] for line in lines]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    parts.append("\n".join(f"- {_escape(note)}" for note in table.notes) + "\n")
    for part in words.further(table):
        parts.append(f"#### {part.title}\n")
        rows = [list(part.head), ["---:" if is_number else "---" for is_number in part.is_number]]
        rows += [[_text(text) for text in row] for row in part.rows]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
        parts.append("\n".join(f"- {_escape(note)}" for note in part.notes) + "\n")
    return "\n".join(parts)


def _text(text: words.Text) -> str:
    main = f"**{_escape(text.main)}**" if text.bold else _escape(text.main)
    return f"{main}<br><sub>{_escape(text.below)}</sub>" if text.below else main


def _escape(text: str) -> str:
    for mark in "\\`*_|":
        text = text.replace(mark, "\\" + mark)
    # and no link: a question may hold one, and what it leads to is nobody's choice here
    return text.replace("<", "&lt;").replace("](", "]\\(").replace("\n", " ")
