"""report.html of a search."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from workbench.study.figures import Drawn
from workbench.study.results import FAILED
from workbench.study.search.spec import Search
from workbench.study.search.table import counted, html_trials
from workbench.study.search.trials import REFUSED, Standing
from workbench.study.tables import Table, web
from workbench.study.web_page import document, made_from, pictures


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
    return document(
        search.sweep.question or search.study,
        [
            f"<p>{escape(verdict)}</p>",
            f"<h2>Confirmation</h2>{web(confirmed)}" if confirmed is not None else "",
            f"<h2>{escape(counted(search, standings))}</h2>",
            html_trials(search, standings),
            f"<h2>Space</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in space)}</ul>",
            *pictures(figures),
            _trouble(standings),
            made_from(root),
        ],
    )


def _trouble(standings: Sequence[Standing]) -> str:
    items = [
        f"<li>{escape(f'{s.trial.name}, {s.state}: {s.note}')}</li>" for s in standings if s.state in (FAILED, REFUSED)
    ]
    return f"<h2>Failed and refused trials</h2><ul>{''.join(items)}</ul>" if items else ""
