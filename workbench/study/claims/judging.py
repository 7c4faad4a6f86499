"""The verdict on a claim, from the committed values alone."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from workbench.study.claims.reading import NOT_RUN, Claim
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.results import COMPLETE
from workbench.study.statistics import (
    MARGIN,
    Comparison,
    compare,
    gap_closed,
    improves,
    interval_of_mean,
    mean,
    percent_of,
)

HOLDS, FAILED, UNDECIDED = "holds", "failed", "undecided"
LEVEL = 0.05
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Verdict:
    """holds, failed, undecided or not run, and the numbers that say so: plain, as they are written."""

    word: str
    numbers: Mapping[str, float | int] = field(default_factory=dict)


def judge(claim: Claim, reference: Path) -> Verdict:
    """The verdict from reference/STUDY/values.csv; `not run` where that study has no committed result.

    A comparison holds, or fails, where the 95 % paired t interval lies on one side of zero; an equivalence holds where
    two one-sided tests reject a difference of 2 % at 5 %, and fails where the interval lies outside those 2 %. A figure
    holds, or fails, where its 95 % t interval over the seeds lies on one side of the limit. Everything else is
    undecided, as is whatever has fewer than three seeds or a seed without a value. SweepError for rows, levels or
    metrics that the committed study does not have.
    """
    path = reference / claim.study / "values.csv"
    if not path.is_file():
        return Verdict(NOT_RUN)
    rows = _read(path)
    ours, lost = _values(rows, claim, claim.row, path)
    if claim.against is not None:
        theirs, lost_there = _values(rows, claim, claim.against, path)
        return _compared(claim, ours, theirs, lost + lost_there)
    return _figure(claim, rows, ours, lost)


@lru_cache(maxsize=32)
def _read(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _here(rows: Rows, claim: Claim) -> Rows:
    return [row for row in rows if all(row.get(factor) == level for factor, level in claim.at.items())]


def _values(rows: Rows, claim: Claim, name: str, path: Path) -> tuple[dict[int, float], int]:
    """Seed -> value of an arm, and how many of its seeds have none (diverged or failed)."""
    where = f"{path} (claim {claim.name})"
    for factor in claim.at:
        if factor not in rows[0]:
            raise SweepError(f"{where}: there is no evaluation factor {factor!r}.{did_you_mean(factor, rows[0])}")
    if claim.metric not in rows[0]:
        raise SweepError(f"{where}: there is no metric {claim.metric!r}.{did_you_mean(claim.metric, rows[0])}")
    mine = [row for row in _here(rows, claim) if row["row"] == name and row["kind"] == "arm"]
    if not mine:
        known = {row["row"] for row in rows if row["kind"] == "arm"}
        raise SweepError(f"{where}: there is no arm {name!r} at {dict(claim.at)}.{did_you_mean(name, known)}")
    seeds = [row["seed"] for row in mine]
    if len(set(seeds)) < len(seeds):
        raise SweepError(f"{where}: {name} has several values a seed. Say under which evaluation: `at: {{steps: 3}}`.")
    there = {int(row["seed"]): row[claim.metric] for row in mine if row["status"] == COMPLETE}
    found = {seed: float(value) for seed, value in there.items() if value}
    return found, len(mine) - len(found)


def _compared(claim: Claim, ours: Mapping[int, float], theirs: Mapping[int, float], lost: int) -> Verdict:
    comparison = compare(ours, theirs, claim.best)
    if comparison is None:
        return Verdict(UNDECIDED, {"seeds": 0, "lost": lost})
    numbers: dict[str, float | int] = {
        "row": mean(list(ours.values())),
        "other": mean(list(theirs.values())),
        "difference": comparison.difference,
        "seeds": comparison.n,
        "better": comparison.better,
    }
    if comparison.is_interval and comparison.low is not None and comparison.high is not None:
        numbers |= {"low": comparison.low, "high": comparison.high}
    if comparison.p_equivalent is not None and "equivalent" in claim.test:
        numbers["p_equivalent"] = comparison.p_equivalent
    if lost:
        return Verdict(UNDECIDED, {**numbers, "lost": lost})
    return Verdict(_word(claim, comparison, theirs), numbers)


def _word(claim: Claim, comparison: Comparison, theirs: Mapping[int, float]) -> str:
    if not comparison.is_interval or comparison.low is None or comparison.high is None:
        return UNDECIDED
    sure = comparison.excludes_zero
    better = sure and improves(comparison.difference, claim.best)
    if claim.test in ("better_than", "worse_than"):
        if not sure:
            return UNDECIDED
        return HOLDS if better == (claim.test == "better_than") else FAILED
    same = comparison.p_equivalent is not None and comparison.p_equivalent < LEVEL
    if same or (better and claim.test == "equivalent_or_better_than"):
        return HOLDS
    bound = MARGIN * abs(mean([abs(v) if claim.best == "zero" else v for v in theirs.values()]))
    above, below = comparison.low > bound, comparison.high < -bound
    if claim.test == "equivalent_to":
        return FAILED if above or below else UNDECIDED
    return FAILED if (below if claim.best == "max" else above) else UNDECIDED


def _figure(claim: Claim, rows: Rows, ours: Mapping[int, float], lost: int) -> Verdict:
    """The row's own figure, seed by seed, against the limit."""
    figures = [_shown(claim, rows, value) for value in ours.values()]
    if not figures:
        return Verdict(UNDECIDED, {"seeds": 0, "lost": lost})
    assert claim.limit is not None
    way, limit = claim.limit
    numbers: dict[str, float | int] = {"figure": mean(figures), "limit": limit, "seeds": len(figures)}
    interval = interval_of_mean(figures)
    if interval is None or lost:
        return Verdict(UNDECIDED, numbers | ({"lost": lost} if lost else {}))
    low, high = interval
    numbers |= {"low": low, "high": high}
    holds, fails = (low >= limit, high < limit) if way == "at_least" else (high <= limit, low > limit)
    return Verdict(HOLDS if holds else FAILED if fails else UNDECIDED, numbers)


def _shown(claim: Claim, rows: Rows, value: float) -> float:
    if claim.test == "value":
        return value
    named = [row for row in rows if row["row"] == claim.teacher] if claim.teacher else rows
    many = _teacher(named, claim.metric, None)
    if many is None:
        raise SweepError(f"claim {claim.name}: {claim.study} has no row of the teacher to compare with.")
    if claim.test == "percent_of_teacher":
        percent = percent_of(value, many)
        if percent is None:
            raise SweepError(f"claim {claim.name}: the teacher's {claim.metric} is {many}; a share of it says nothing.")
        return percent
    here = _here(rows, claim)
    steps = next(int(row["num_inference_steps"]) for row in here if row["row"] == claim.row)
    few = _teacher(here, claim.metric, steps)
    few = _teacher(rows, claim.metric, steps) if few is None else few
    gap = None if few is None else gap_closed(value, few, many)
    if gap is None:
        raise SweepError(f"claim {claim.name}: {claim.study} has no gap between the teacher's few and most steps.")
    return gap


def _teacher(rows: Rows, metric: str, steps: int | None) -> float | None:
    """The teacher's value as the tables take it: at these steps, or the most for None; the first such row decides."""
    known = [row for row in rows if row["subject"] == "teacher" and row[metric]]
    wanted = max((int(row["num_inference_steps"]) for row in known), default=0) if steps is None else steps
    return next((float(row[metric]) for row in known if int(row["num_inference_steps"]) == wanted), None)
