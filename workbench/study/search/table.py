"""The table of trials: best first, then what was pruned, diverged, refused, failed or is still open."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from workbench.study.results import COMPLETE
from workbench.study.search.confirming import pareto
from workbench.study.search.spec import Search
from workbench.study.search.trials import OPEN, STATES, Standing, best
from workbench.study.tables.model import Column

if TYPE_CHECKING:
    from rich.console import RenderableType


def ordered(search: Search, standings: Sequence[Standing]) -> list[Standing]:
    """Best first: one objective by its value, several with the Pareto front first; the rest by state and number."""
    first = {search.objective: search.objectives[search.objective]}
    complete = best(standings, first)
    if len(search.objectives) > 1:
        front = pareto(standings, search.objectives)
        complete = front + [s for s in complete if s not in front]
    rest = [s for s in standings if s not in complete]
    sign = 1.0 if search.objectives[search.objective] == "min" else -1.0

    def last(s: Standing) -> tuple[int, float]:
        return (-s.looks[-1][0], sign * s.looks[-1][1]) if s.looks else (0, 0.0)

    return complete + sorted(rest, key=lambda s: (STATES.index(s.state), *last(s), s.trial.number))


def counted(search: Search, standings: Sequence[Standing]) -> str:
    """'24 trials: 15 complete, 9 pruned'."""
    counts = Counter(s.state for s in standings)
    waiting = max(0, search.trials - len(standings))
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    parts += [f"{waiting} not asked yet"] if waiting else []
    return f"{max(search.trials, len(standings))} trials: {', '.join(parts)}"


def header(search: Search) -> list[str]:
    """The heads of the columns."""
    metrics = [f"{name} {Column(name, way, (), '', 0).arrow}" for name, way in search.sweep.metrics.items()]
    looks = ["on the way"] if search.intermediate else []
    return ["trial", *metrics, *looks, *(parameter.name for parameter in search.space.parameters)]


def line(search: Search, found: Standing, front: Sequence[Standing] = ()) -> list[str]:
    """The texts of one trial, as many as there are heads."""
    name = found.trial.name + (" (Pareto)" if found in front else "")
    texts = [name if found.state in (COMPLETE, OPEN) else f"{name}, {found.state}"]
    for metric in search.sweep.metrics:
        texts.append(f"{found.scores[metric]:.4g}" if metric in found.scores else "…" if found.state == OPEN else "")
    if search.intermediate:
        texts.append(", ".join(f"{value:.4g} @{percent} %" for percent, value in found.looks))
    values = found.trial.values
    return texts + [p.label(values[p.name]) if p.name in values else "–" for p in search.space.parameters]


def _lines(search: Search, standings: Sequence[Standing], most: int | None = None) -> list[list[str]]:
    front = pareto(standings, search.objectives) if len(search.objectives) > 1 else []
    return [line(search, found, front) for found in ordered(search, standings)[:most]]


def markdown_trials(search: Search, standings: Sequence[Standing]) -> str:
    """The table as GitHub's Markdown."""
    numbers = len(search.sweep.metrics)
    rows = [header(search), ["---", *["---:"] * numbers, *["---"] * (len(header(search)) - 1 - numbers)]]
    rows += _lines(search, standings)
    return "\n".join(f"| {' | '.join(_escape(cell, i) for cell in row)} |" for i, row in enumerate(rows)) + "\n"


def _escape(text: str, row: int) -> str:
    if row == 1:
        return text
    for mark in "\\`*_|":
        text = text.replace(mark, "\\" + mark)
    return text.replace("<", "&lt;")


def html_trials(search: Search, standings: Sequence[Standing]) -> str:
    """The table as HTML, everything escaped."""
    head = "".join(f"<th>{escape(text)}</th>" for text in header(search))
    body = []
    for cells in _lines(search, standings):
        rest = "".join(f"<td>{escape(text)}</td>" for text in cells[1:])
        body.append(f'<tr><th scope="row">{escape(cells[0])}</th>{rest}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def terminal_trials(search: Search, standings: Sequence[Standing], most: int | None = None) -> RenderableType:
    """The table for the terminal; `most` of its lines."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for index, head in enumerate(header(search)):
        grid.add_column(
            Text(head), justify="right" if 0 < index <= len(search.sweep.metrics) else "left", no_wrap=not index
        )
    for cells in _lines(search, standings, most):
        grid.add_row(*map(Text, cells))  # FD[judge] is no markup
    if most is not None and len(standings) > most:
        grid.add_row(f"and {len(standings) - most} more")
    return grid


def csv_trials(search: Search, standings: Sequence[Standing]) -> str:
    """One line a trial, by number, with every digit of every metric that was measured."""
    metrics = list(search.sweep.metrics)
    metrics += sorted({name for s in standings for name in s.scores} - set(metrics))
    names = [parameter.name for parameter in search.space.parameters]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "state", "note", "folder", "seconds", "looks", *names, *metrics])
    for found in standings:
        looks = " ".join(f"{percent}:{value!r}" for percent, value in found.looks)
        folder = found.trial.cell.folder if found.trial.plan is not None else ""
        values = [found.trial.values.get(name) for name in names]
        scores = [found.scores.get(name) for name in metrics]
        row = [found.trial.number, found.state, found.note, folder, found.seconds, looks, *values, *scores]
        writer.writerow([repr(cell) if isinstance(cell, float) else cell for cell in row])
    return out.getvalue()
