"""Tables that set the verdicts on one subject side by side: a goal a row, a budget or a study a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.study.claims.judging import Verdict
from workbench.study.claims.reading import Claim
from workbench.study.claims.writing import escape, measured_words
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.reading import read_yaml


@dataclass(frozen=True)
class Summary:
    """One table. rows: what is claimed -> column -> name of the claim that answers it there."""

    title: str
    rows: Mapping[str, Mapping[str, str]]

    @property
    def columns(self) -> list[str]:
        """Every column once, in the order in which the rows name them."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))


def read_summaries(path: Path, claims: Sequence[Claim]) -> list[Summary]:
    """`summaries:` of claims.yaml, none where there is none. SweepError names a claim that the file does not have."""
    raw = read_yaml(path).get("summaries") or {}
    if not isinstance(raw, dict):
        raise SweepError(f"{path}, summaries: must be a mapping, title: rows, but is {raw!r}.")
    names = [claim.name for claim in claims]
    return [Summary(str(title), _rows(rows, names, f"{path}, summaries, {title}")) for title, rows in raw.items()]


def _rows(raw: Any, names: Sequence[str], where: str) -> dict[str, dict[str, str]]:
    if not isinstance(raw, dict) or not all(isinstance(row, dict) and row for row in raw.values()):
        raise SweepError(f"{where}: must be rows of the form what is claimed: {{column: name of a claim}}.")
    for text, row in raw.items():
        for column, name in row.items():
            if name not in names:
                raise SweepError(f"{where}, {text}, {column}: there is no claim {name!r}.{did_you_mean(name, names)}")
    return {str(text): {str(column): name for column, name in row.items()} for text, row in raw.items()}


def summaries_markdown(summaries: Sequence[Summary], claims: Sequence[Claim], verdicts: Sequence[Verdict]) -> str:
    """The tables one below the other, each with its heading. A cell has the verdict and what was measured."""
    found = {claim.name: (claim, verdict) for claim, verdict in zip(claims, verdicts, strict=True)}
    blocks = []
    for summary in summaries:
        columns = summary.columns
        lines = [
            f"### {summary.title}",
            "",
            f"|  | {' | '.join(escape(column) for column in columns)} |",
            "| --- |" + " --- |" * len(columns),
        ]
        for text, row in summary.rows.items():
            cells = [_cell(*found[row[column]]) if column in row else "" for column in columns]
            lines.append(f"| {escape(text)} | {' | '.join(cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _cell(claim: Claim, verdict: Verdict) -> str:
    after = ", post hoc" if claim.post_hoc else ""
    return f"**{verdict.word}**<br><sub>{measured_words(claim, verdict)}{after}</sub>"
