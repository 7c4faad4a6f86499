"""results/claims.yaml: every claim with the study, the rows, the metric and the test that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.study.errors import SweepError, did_you_mean
from workbench.study.metric_names import check_direction, check_metric
from workbench.study.names import slug
from workbench.study.reading import as_name, read_yaml

# A row against another one, by the paired difference; or a row's own figure against a number.
COMPARISONS = ("better_than", "worse_than", "equivalent_to", "equivalent_or_better_than")
FIGURES = ("value", "percent_of_teacher", "gap_closed")
LIMITS = ("at_least", "at_most")
KEYS = (
    "claim",
    "study",
    "at",
    "row",
    "metric",
    "best",
    *COMPARISONS,
    *FIGURES,
    "teacher",
    "post_hoc",
    "reason",
    "result",
)
NOT_RUN = "not run"


@dataclass(frozen=True)
class Claim:
    """One claim. test: a name of COMPARISONS or FIGURES; against: the other row; limit: ("at_least", 95.0)."""

    name: str
    text: str
    study: str  # results/reference/STUDY/values.csv
    at: Mapping[str, str]  # evaluation factor -> level
    row: str
    metric: str
    best: str  # min, max or zero
    test: str
    against: str | None = None
    limit: tuple[str, float] | None = None
    teacher: str = ""  # reference that percent_of_teacher is of; '': the first one with the most steps, as in tables
    post_hoc: bool = False  # written when the study had already run
    reason: str = ""  # why, where it failed; prose, checked by nobody
    result: Mapping[str, Any] = field(default_factory=dict)  # as it was written

    @property
    def statement(self) -> str:
        """The test in words: 'FD[judge] of shift-scale is better than baseline's'."""
        if self.against is not None:
            return f"{self.metric} of {self.row} is {self.test.replace('_', ' ')} {self.against}'s"
        assert self.limit is not None
        way, number = self.limit
        unit = "" if self.test == "value" else " %"
        unit += f" of {self.teacher}" if self.teacher else ""
        return f"{self.metric} of {self.row}: {self.test.replace('_', ' ')} {way.replace('_', ' ')} {number:g}{unit}"


def read_claims(path: Path) -> list[Claim]:
    """The claims in the file's order. SweepError, with file, claim and key, for whatever is wrong."""
    raw = read_yaml(path)
    if not {"claims"} <= set(raw) <= {"claims", "summaries"} or not isinstance(raw["claims"], dict):
        raise SweepError(
            f"{path}: must be a mapping with the key `claims`, name: claim, and at most `summaries` beside."
        )
    return [_claim(slug(name, f"{path}: the claim"), value, f"{path}, {name}") for name, value in raw["claims"].items()]


def _claim(name: str, raw: Any, where: str) -> Claim:
    if not isinstance(raw, dict):
        raise SweepError(f"{where}: must be a mapping, but is {raw!r}.")
    for key in raw:
        if key not in KEYS:
            raise SweepError(f"{where}: there is no key {key!r}.{did_you_mean(key, KEYS)}")
    tests = [key for key in (*COMPARISONS, *FIGURES) if key in raw]
    if len(tests) != 1:
        raise SweepError(
            f"{where}: {len(tests)} tests, but exactly one of {', '.join((*COMPARISONS, *FIGURES))} decides."
        )
    (test,) = tests
    metric, best = _text(raw, "metric", where), _text(raw, "best", where)
    try:
        check_metric(metric)
        check_direction(metric, best)
    except ValueError as error:
        raise SweepError(f"{where}, metric: {error}") from error
    if best == "zero" and test in ("percent_of_teacher", "gap_closed"):
        raise SweepError(f"{where}, {test}: {metric} is signed, best at 0; a share of it says nothing.")
    at = raw.get("at") or {}
    if not isinstance(at, dict):
        raise SweepError(f"{where}, at: must be levels of the evaluation, as {{steps: 3}}, but is {at!r}.")
    is_comparison = test in COMPARISONS
    if "teacher" in raw and test != "percent_of_teacher":
        raise SweepError(f"{where}, teacher: has a meaning for percent_of_teacher alone.")
    result = raw.get("result") or {}
    if not isinstance(result, dict):
        raise SweepError(f"{where}, result: is written by `python -m workbench.claims --write`, but is {result!r}.")
    return Claim(
        name=name,
        text=_text(raw, "claim", where),
        study=slug(_text(raw, "study", where), f"{where}: the study"),
        at={key: as_name(level) for key, level in at.items()},
        row=_text(raw, "row", where),
        metric=metric,
        best=best,
        test=test,
        against=_text(raw, test, where) if is_comparison else None,
        limit=None if is_comparison else _limit(raw[test], f"{where}, {test}"),
        teacher=_text(raw, "teacher", where) if "teacher" in raw else "",
        post_hoc=_flag(raw.get("post_hoc", False), f"{where}, post_hoc"),
        reason=_text(raw, "reason", where) if raw.get("reason") else "",
        result=result,
    )


def _text(raw: Mapping[str, Any], key: str, where: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value.strip():
        raise SweepError(f"{where}, {key}: must be a text, but is {value!r}.")
    return " ".join(value.split())


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise SweepError(f"{where}: must be true or false, but is {value!r}.")
    return value


def _limit(value: Any, where: str) -> tuple[str, float]:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in LIMITS:
        way, number = next(iter(value.items()))
        if isinstance(number, int | float) and not isinstance(number, bool):
            return way, float(number)
    raise SweepError(f"{where}: must be {{at_least: N}} or {{at_most: N}}, but is {value!r}.")
