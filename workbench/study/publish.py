"""Writes what a study says: tables, figures, page. From files alone, and the same bytes from the same files."""

from __future__ import annotations

from pathlib import Path

from workbench.study.figures import draw
from workbench.study.files import write_text
from workbench.study.page import page
from workbench.study.plan import Plan
from workbench.study.results import COMPLETE, collect
from workbench.study.tables import Table, build_table, effects_csv, latex, markdown, summary_csv, values_csv, web


def publish(plan: Plan, root: Path) -> Table:
    """Write table.{md,csv,tex,html}, values.csv, figures/ and report.html into `root`; returns the table.

    A factorial has effects.csv as well.
    """
    values = collect(plan, root)
    table = build_table(plan, values)
    for name, text in (
        ("table.md", markdown(table)),
        ("table.csv", summary_csv(table)),
        ("table.tex", latex(table)),
        ("table.html", web(table)),
        ("values.csv", values_csv(plan, values)),
        *([("effects.csv", effects_csv(table))] if table.effects else []),
    ):
        write_text(root / name, text)
    if not table.effects:  # those of an earlier design of this study
        for stale in (root / "effects.csv", *(root / "figures").glob("effects*.png")):
            stale.unlink(missing_ok=True)
    figures = draw(plan, table, root, values) if any(value.status == COMPLETE for value in values) else []
    write_text(root / "report.html", page(plan, table, figures, root))
    return table
