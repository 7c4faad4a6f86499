"""Claims as files: claims.yaml with the results written in, and a table for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from workbench.study.claims.judging import Verdict
from workbench.study.claims.reading import NOT_RUN, Claim
from workbench.study.tables.words import number

DIGITS = 6  # significant ones that are written, and compared
HEAD = """\
# What the committed results are said to show. `result` is computed: `python -m workbench.claims --write` writes it from
# results/reference/STUDY/values.csv, `python -m workbench.claims --check` fails where it says anything else. A claim
# that fails stays. `post_hoc`: it was written when its study had run. The rules: workbench/study/claims/judging.py
# `summaries`: what stands side by side in results/summary.md: title -> what is claimed -> column -> name of a claim.

"""
PREFACE = """\
`python -m workbench.claims` recomputes every verdict from `results/reference/STUDY/values.csv`. Intervals are 95 %
Student-t over training seeds; a difference is undecided whose interval holds zero, a figure whose interval holds its
limit; equivalence is two one-sided tests. Post hoc: written when the study had run. Below a claim stands why it failed,
where that was found."""


def result_of(verdict: Verdict) -> dict[str, Any]:
    """The verdict as it is written: six significant digits."""
    return {"verdict": verdict.word, **{name: _rounded(value) for name, value in verdict.numbers.items()}}


def _rounded(value: float | int) -> float | int:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def differences(claim: Claim, verdict: Verdict) -> list[str]:
    """What the file says otherwise than the values do, one line each; empty where it is in step."""
    wanted, found = result_of(verdict), dict(claim.result)
    lines = []
    for name in [*wanted, *(key for key in found if key not in wanted)]:
        if not _agree(wanted.get(name), found.get(name)):
            lines.append(
                f"{claim.name}: {name} is {found.get(name)!r} in the file, {wanted.get(name)!r} from the values."
            )
    return lines


def _agree(a: Any, b: Any) -> bool:
    """Equal, numbers up to the last digits that another libm may give."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=2 * 10.0 ** (1 - DIGITS), abs_tol=1e-12)
    return a == b


def claims_yaml(
    claims: Sequence[Claim], verdicts: Sequence[Verdict], summaries: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """The file again, every result computed. summaries: title -> rows, as they were read."""
    entries = {claim.name: _entry(claim, verdict) for claim, verdict in zip(claims, verdicts, strict=True)}
    content = {"summaries": {**summaries}} if summaries else {}
    return HEAD + yaml.safe_dump({**content, "claims": entries}, sort_keys=False, allow_unicode=True, width=120)


def _entry(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    entry: dict[str, Any] = {"claim": claim.text, "study": claim.study}
    if claim.at:
        entry["at"] = {factor: int(level) if level.isdigit() else level for factor, level in claim.at.items()}
    entry |= {"row": claim.row, "metric": claim.metric, "best": claim.best}
    if claim.limit is None:
        entry[claim.test] = claim.against
    else:
        entry[claim.test] = {claim.limit[0]: claim.limit[1]}
    entry |= {"teacher": claim.teacher} if claim.teacher else {}
    entry |= {"post_hoc": True} if claim.post_hoc else {}
    entry |= {"reason": claim.reason} if claim.reason else {}
    return {**entry, "result": result_of(verdict)}


def claims_markdown(claims: Sequence[Claim], verdicts: Sequence[Verdict]) -> str:
    """All claims with what was measured: a table a study, in the order in which the file first names them."""
    pairs = list(zip(claims, verdicts, strict=True))
    blocks = []
    for study in dict.fromkeys(claim.study for claim in claims):
        own = [(claim, verdict) for claim, verdict in pairs if claim.study == study]
        rows = [f"## {study}", "", f"{_links(own)} {_counts([verdict for _, verdict in own])}.", ""]
        rows += ["| claim | measured | verdict |", "| --- | --- | --- |"]
        blocks.append("\n".join([*rows, *(_row(claim, verdict) for claim, verdict in own)]))
    total = f"# {len(claims)} claims: {_counts(verdicts)}\n\n{PREFACE}"
    return "\n\n".join([total, *blocks]) + "\n"


def _links(own: Sequence[tuple[Claim, Verdict]]) -> str:
    study = own[0][0].study
    sweep = f"[sweeps/{study}.yaml](../sweeps/{study}.yaml)"
    has_run = any(verdict.word != NOT_RUN for _, verdict in own)
    return f"{sweep}, [its table](reference/{study}/table.md):" if has_run else f"{sweep}:"


def _counts(verdicts: Sequence[Verdict]) -> str:
    words = [verdict.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _row(claim: Claim, verdict: Verdict) -> str:
    text = escape(claim.text) + (" (post hoc)" if claim.post_hoc else "")
    reason = f"<br><sub>{escape(claim.reason)}</sub>" if claim.reason else ""
    where = ", ".join(f"{factor} = {level}" for factor, level in claim.at.items())
    place = f"<br><sub>{escape(where)}</sub>" if where else ""
    measured = f"{escape(claim.statement)}: {measured_words(claim, verdict)}{place}"
    return f"| {text}{reason} | {measured} | **{verdict.word}** |"


def measured_words(claim: Claim, verdict: Verdict) -> str:
    """'+2.18 [+1.24, +3.12], 0/3 seeds better', '69.3 % [40.2, 98.3]', or the command of a study that has not run."""
    numbers = verdict.numbers
    if verdict.word == NOT_RUN:
        return f"`python -m workbench.sweep sweeps/{claim.study}.yaml`"
    if not numbers.get("seeds"):
        return "no seed has a value"
    name, unit = ("difference", "") if claim.against is not None else ("figure", "" if claim.test == "value" else " %")
    sign = claim.against is not None
    size = max(abs(float(numbers[key])) for key in (name, "low", "high") if key in numbers)
    decimals = 1 if unit or size >= 100 else 2 if size >= 0.1 else 4
    text = number(float(numbers[name]), decimals, sign) + unit
    if "low" in numbers:
        text += f" [{number(float(numbers['low']), decimals, sign)}, {number(float(numbers['high']), decimals, sign)}]"
    if sign:
        text += f", {numbers['better']}/{numbers['seeds']} seeds better"
    return text + (f", {numbers['lost']} seeds lost" if "lost" in numbers else "")


def escape(text: str) -> str:
    """The text as it may stand in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")
