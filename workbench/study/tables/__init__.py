"""The table of a study, and the ways to write it."""

from workbench.study.tables.build import build_table
from workbench.study.tables.comma import effects_csv, summary_csv, values_csv
from workbench.study.tables.latex import latex
from workbench.study.tables.markdown import markdown
from workbench.study.tables.model import Block, Effect, Figure, Line, Table
from workbench.study.tables.terminal import terminal
from workbench.study.tables.web import web

__all__ = [
    "Block", "Effect", "Figure", "Line", "Table", "build_table", "effects_csv", "latex", "markdown", "summary_csv",
    "terminal", "values_csv", "web",
]  # fmt: skip
