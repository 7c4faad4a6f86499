"""Primary outcomes: for each switch its one metric, corrected over these alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.study.statistics import Comparison, holm, improves
from workbench.study.tables.model import Block, Line, Table

BETTER, WORSE, UNDECIDED, INERT = "better", "worse", "undecided", "inert"


@dataclass(frozen=True)
class Outcome:
    """One switch under one evaluation. difference: row - baseline, hence what turning the switch costs."""

    block: Block
    line: Line
    metric: str
    comparison: Comparison
    p_holm: float | None
    verdict: str


def verdict(comparison: Comparison, direction: str) -> str:
    """better or worse where the 95 % interval excludes zero; inert where every seed is bit-equal; else undecided."""
    if comparison.inert:
        return INERT
    if not comparison.excludes_zero:
        return UNDECIDED
    return BETTER if improves(comparison.difference, direction) else WORSE


def outcomes(table: Table) -> tuple[Outcome, ...]:
    """The primary outcomes of every block, in order; Holm's correction covers those of a block that can differ.

    A row that equals the baseline bit for bit was not tested, and does not count in the family.
    """
    directions = {column.metric: column.direction for column in table.columns}
    found: list[Outcome] = []
    for block in table.blocks:
        here = []
        for line in block.lines:
            metric = table.primary.get(line.row.name)
            comparison = line.figures[metric].comparison if metric else None
            if metric and comparison:
                here.append(Outcome(block, line, metric, comparison, None, verdict(comparison, directions[metric])))
        found += _corrected(here)
    return tuple(found)


def _corrected(here: Sequence[Outcome]) -> list[Outcome]:
    raw = [None if o.comparison.inert else o.comparison.p for o in here]
    adjusted = iter(holm([p for p in raw if p is not None]))
    return [o if p is None else replace(o, p_holm=next(adjusted)) for o, p in zip(here, raw, strict=True)]
