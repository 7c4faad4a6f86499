"""The table of a study, and the ways to write it."""

from workbench.study.tables.build import build_table
from workbench.study.tables.comma import summary_csv, values_csv
from workbench.study.tables.latex import latex
from workbench.study.tables.markdown import markdown
from workbench.study.tables.model import Block, Figure, Line, Table
from workbench.study.tables.terminal import terminal
from workbench.study.tables.web import web

__all__ = [
    "Block", "Figure", "Line", "Table", "build_table", "latex", "markdown", "summary_csv", "terminal", "values_csv",
    "web",
]  # fmt: skip
