"""A table as LaTeX (packages booktabs and makecell)."""

from __future__ import annotations

from workbench.study.tables import words
from workbench.study.tables.model import Table

_MARKS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", words.MINUS: "$-$", "±": r"$\pm$",
    "↓": r"$\downarrow$", "↑": r"$\uparrow$", "≈": r"$\approx$", "×": r"$\times$",
    "†": r"\textdagger{}", "→": r"$\rightarrow$", "…": r"\dots{}", "–": "--",
}  # fmt: skip


def latex(table: Table) -> str:
    """A tabular, several where it is too wide, the evaluations as groups of rows; notes as comments for the caption."""
    head = words.header(table)
    out = [r"% \usepackage{booktabs,makecell}"]
    for columns in words.parts(table):
        out += [rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", r"\toprule"]
        out.append(" & ".join(_text(head[i]) for i in columns) + r" \\")
        for block in table.blocks:
            out.append(r"\midrule")
            if block.title:
                out.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\textit{{{_escape(block.title)}}}}} \\")
            lines = [words.cells(table, line) for line in block.lines]
            out += [" & ".join(_text(line[i]) for i in columns) + r" \\" for line in lines]
        out += [r"\bottomrule", r"\end{tabular}"]
    out += [f"% {_escape(note)}" for note in (table.question, *table.notes) if note]
    for part in words.further(table):
        aligned = "".join("r" if is_number else "l" for is_number in part.is_number)
        out += ["", f"% {part.title}", rf"\begin{{tabular}}{{{aligned}}}", r"\toprule"]
        out += [" & ".join(part.head) + r" \\", r"\midrule"]
        out += [" & ".join(_text(text) for text in row) + r" \\" for row in part.rows]
        out += [r"\bottomrule", r"\end{tabular}"]
        out += [f"% {_escape(note)}" for note in part.notes]
    return "\n".join(out) + "\n"


def _text(text: words.Text) -> str:
    main = rf"\textbf{{{_escape(text.main)}}}" if text.bold else _escape(text.main)
    return rf"\makecell[r]{{{main} \\ \scriptsize {_escape(text.below)}}}" if text.below else main


def _escape(text: str) -> str:
    # A bracket after a line break of makecell would be read as its optional argument.
    return "".join(_MARKS.get(mark, mark) for mark in text).replace("[", "{[}").replace("]", "{]}").replace("\n", " ")
