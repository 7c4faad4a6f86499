"""report.html: one file that opens anywhere, loads nothing and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from workbench.study.figures import Drawn
from workbench.study.files import read_json
from workbench.study.plan import Plan
from workbench.study.results import cell_failure
from workbench.study.tables import Table, web

# No script, no font, no request: pictures come as data, and a prompt that holds HTML stays text.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1b1b1b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid #e3e3e3; }
th[scope=row] { text-align: left; font-weight: 500; } thead th { border-bottom: 2px solid #999; }
tr.baseline { background: #f4f4f0; } tr.reference { color: #666; } small { color: #666; font-weight: 400; }
img { max-width: 100%; image-rendering: pixelated; } figure { margin: 1.5rem 0; } figcaption { color: #555; }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; } li { margin: .2rem 0; }
"""


def page(plan: Plan, table: Table, figures: Sequence[Drawn], root: Path) -> str:
    """The whole page, everything in it escaped."""
    title = escape(plan.question or plan.study)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>{escape(_summary(plan))}</p>",
        web(table),
    ]
    for figure in figures:
        data = base64.b64encode(figure.path.read_bytes()).decode()
        caption = escape(figure.caption)
        parts.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    parts += [_failures(plan, root), _provenance(root), "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"


def _summary(plan: Plan) -> str:
    arms = sum(row.kind == "arm" for row in plan.rows)
    trainings = sum(cell.training is not None for cell in plan.cells)
    tasks = sum(len(cell.tasks) for cell in plan.cells)
    counts = f"{arms} arms × {len(plan.seeds)} seeds, {trainings} trainings, {tasks} evaluations"
    return f"Study {plan.study}: {counts}, design {plan.design}."


def _failures(plan: Plan, root: Path) -> str:
    items = []
    for cell in plan.cells:
        if failure := cell_failure(cell, root):
            head = f"{cell.folder}: {failure.get('kind')}, {failure.get('attempts')} attempts: {failure.get('message')}"
            items.append(f"<li>{escape(head)}<pre>{escape(str(failure.get('log', '')))}</pre></li>")
    return f"<h2>Failed cells</h2><ul>{''.join(items)}</ul>" if items else ""


def _provenance(root: Path) -> str:
    raw = read_json(root / "provenance.json")
    if not isinstance(raw, dict):
        return ""
    lines = [f"{key}: {value}" for key, value in sorted(raw.items()) if not isinstance(value, dict)]
    for key, group in sorted(raw.items()):
        if isinstance(group, dict):
            lines.append(f"{key}: " + ", ".join(f"{name} {value}" for name, value in sorted(group.items())))
    return f"<h2>Provenance</h2><pre>{escape(chr(10).join(lines))}</pre>"
