"""report.html of a search: one file that opens anywhere, loads nothing and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from workbench.study.figures import Drawn
from workbench.study.page import _POLICY as POLICY
from workbench.study.page import _STYLE as STYLE
from workbench.study.page import _provenance as provenance
from workbench.study.results import FAILED
from workbench.study.search.spec import Search
from workbench.study.search.table import counted, html_trials
from workbench.study.search.trials import REFUSED, Standing
from workbench.study.tables import Table, web


def search_page(
    search: Search,
    standings: Sequence[Standing],
    confirmed: Table | None,
    verdict: str,
    space: Sequence[str],
    figures: Sequence[Drawn],
    root: Path,
) -> str:
    """The whole page, everything in it escaped."""
    title = escape(search.sweep.question or search.study)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>{escape(verdict)}</p>",
        f"<h2>Confirmation</h2>{web(confirmed)}" if confirmed is not None else "",
        f"<h2>{escape(counted(search, standings))}</h2>",
        html_trials(search, standings),
        f"<h2>Space</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in space)}</ul>",
    ]
    for figure in figures:
        data = base64.b64encode(figure.path.read_bytes()).decode()
        caption = escape(figure.caption)
        parts.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    trouble = [s for s in standings if s.state in (FAILED, REFUSED)]
    if trouble:
        items = "".join(f"<li>{escape(f'{s.trial.name}, {s.state}: {s.note}')}</li>" for s in trouble)
        parts.append(f"<h2>Failed and refused trials</h2><ul>{items}</ul>")
    parts += [provenance(root), "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"
