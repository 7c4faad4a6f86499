from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.study.fakes import big_sweep, plan_of, sweep
from workbench.study.page import page
from workbench.study.plan import Plan
from workbench.study.results import COMPLETE, DIVERGED, FAILED, MISSING, Value
from workbench.study.tables import build_table, latex, markdown, summary_csv, values_csv, web, words
from workbench.study.tables.model import Figure, Line, Table

FD, CLIP = "FD[judge]", "CLIP[wardrobe]"
EXTRACTORS = {"judge": "0123456789abcdef", "wardrobe": "fedcba9876543210"}


def values_of(plan: Plan, fd: dict[str, list[float]], clip: float = 30.0) -> list[Value]:
    """Values by row and seed; a reference takes the first number."""
    values = []
    for entry in plan.entries:
        number = fd[entry.row][entry.seed or 0]
        values.append(Value(entry, COMPLETE, {FD: number, CLIP: clip}, 512, EXTRACTORS))
    return values


def line(table: Table, row: str, block: int = 0) -> Line:
    return next(line for line in table.blocks[block].lines if line.row.name == row)


def figure(table: Table, row: str, metric: str = FD) -> Figure:
    return line(table, row).figures[metric]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path, big_sweep(evaluate=None))


FDS = {
    "baseline": [10.0, 11.0, 12.0],
    "trajectory-forward": [10.5, 10.5, 12.1],
    "shift-scale_strength-mild": [8.0, 9.1, 10.0],
    "shift-scale_strength-strong": [10.0, 11.0, 12.0],
    "shift-constant": [15.0, 16.1, 17.0],
    "teacher-25": [5.0],
    "teacher-few": [20.0],
    "real": [1.0],
}


def test_bold_is_better_and_certain_and_nothing_else(plan: Plan) -> None:
    table = build_table(plan, values_of(plan, FDS))
    assert {row: figure(table, row).bold for row in FDS} == {row: row == "shift-scale_strength-mild" for row in FDS}
    worse = figure(table, "shift-constant").comparison
    assert worse is not None and worse.excludes_zero and worse.better == 0
    for text in (markdown(table), latex(table), web(table)):
        assert len(re.findall(r"\*\*9\.03\*\*|\\textbf\{9\.03\}|<b>9\.03</b>", text)) == 1
    # the family is the four arms that are compared
    assert table.blocks[0].family == 4
    mild = figure(table, "shift-scale_strength-mild")
    assert mild.comparison is not None and mild.comparison.p is not None and mild.p_holm is not None
    assert mild.comparison.p < mild.p_holm <= 4 * mild.comparison.p


def test_inert_rows_are_named(plan: Plan) -> None:
    table = build_table(plan, values_of(plan, FDS))
    assert [text.row.name for text in table.blocks[0].lines if text.inert] == ["shift-scale_strength-strong"]
    assert "shift = scale, strength = strong (inert)" in markdown(table)
    assert any(note.startswith("Inert") for note in table.notes)


def test_shares_of_the_teacher_come_from_the_reference_rows(plan: Plan) -> None:
    table = build_table(plan, values_of(plan, FDS))
    base = figure(table, "baseline")
    assert base.percent_of_teacher == pytest.approx(220.0)  # 11 of 5
    assert base.gap_closed == pytest.approx(60.0)  # (20 - 11) / (20 - 5)
    assert figure(table, "teacher-25").percent_of_teacher == 100.0
    assert figure(table, "teacher-25").gap_closed is None


def test_a_diverged_seed_takes_the_mean_away(plan: Plan) -> None:
    values = values_of(plan, FDS)
    index = next(i for i, v in enumerate(values) if v.entry.row == "shift-scale_strength-mild" and v.entry.seed == 1)
    values[index] = Value(values[index].entry, DIVERGED, note="diverged @12")
    table = build_table(plan, values)
    mild = figure(table, "shift-scale_strength-mild")
    assert mild.mean is None and not mild.bold and mild.percent_of_teacher is None
    assert mild.comparison is None and mild.p_holm is None  # the seeds that survived prove nothing
    assert "| diverged 1/3<br><sub>@12</sub> |" in markdown(table)


def test_failed_and_missing_seeds_are_said(plan: Plan) -> None:
    values = values_of(plan, FDS)
    values = [
        Value(v.entry, FAILED, note="oom") if v.entry.row == "shift-constant" and v.entry.seed == 0 else
        Value(v.entry, MISSING) if v.entry.row == "trajectory-forward" and v.entry.seed else v
        for v in values
    ]  # fmt: skip
    table = build_table(plan, values)
    text = markdown(table)
    assert "failed 1/3 (oom)" in text and "1/3 seeds" in text
    forward = figure(table, "trajectory-forward").comparison
    assert forward is not None and forward.n == 1 and forward.low is None


def test_headers_carry_n_and_the_extractor(plan: Plan) -> None:
    table = build_table(plan, values_of(plan, FDS))
    assert "FD\\[" not in markdown(table) and "FD[judge] ↓<br><sub>N = 512, 01234567</sub>" in markdown(table)
    mixed = [replace(v, num_images=500) if v.entry.row == "real" else v for v in values_of(plan, FDS)]
    assert any("must not be compared" in note for note in build_table(plan, mixed).notes)


def test_few_seeds_say_so(tmp_path: Path) -> None:
    for seeds, word in ((1, "One seed"), (2, "range over two seeds"), (3, "95 % Student-t")):
        plan = plan_of(tmp_path, sweep(seeds=seeds))
        table = build_table(plan, values_of(plan, {"baseline": [3.0, 4.0, 5.0], "trajectory-forward": [2.0, 3.1, 4.0]}))
        assert any(word in note for note in table.notes)
        assert figure(table, "trajectory-forward").bold == (seeds == 3)


def test_an_empty_study_has_a_table(plan: Plan) -> None:
    table = build_table(plan, [Value(entry, MISSING) for entry in plan.entries])
    assert "…" in markdown(table) and latex(table) and web(table) and summary_csv(table)


def test_a_misspelt_metric_is_named(plan: Plan) -> None:
    values = [replace(v, metrics={"fd": 1.0}) for v in values_of(plan, FDS)]
    assert any("no evaluation wrote this metric" in note for note in build_table(plan, values).notes)


def test_csv_gives_every_float_back(plan: Plan) -> None:
    values = values_of(plan, {**FDS, "baseline": [0.1 + 0.2, 1 / 3, 2 / 3]})
    rows = list(csv.DictReader(io.StringIO(values_csv(plan, values))))
    found = [float(row[FD]) for row in rows if row["row"] == "baseline"]
    assert found == [0.1 + 0.2, 1 / 3, 2 / 3]
    summary = list(csv.DictReader(io.StringIO(summary_csv(build_table(plan, values)))))
    assert len(summary) == 2 * len(plan.rows)


def test_blocks_follow_the_evaluations_and_a_reference_shows_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, big_sweep())
    table = build_table(plan, values_of(plan, FDS))
    titles = [f"steps = {steps}, correction = {correction}" for steps in (3, 1) for correction in ("off", "on")]
    assert [block.title for block in table.blocks] == titles
    rows = [[text.row.name for text in block.lines if text.row.kind == "reference"] for block in table.blocks]
    assert rows == [
        ["teacher-25", "teacher-few", "real"],
        ["teacher-25", "teacher-few"],
        ["teacher-few"],
        ["teacher-few"],
    ]


HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "' onmouseover='alert(1)",
    "</title><script>", "<!--", "]]>", "&lt;script&gt;", "<svg/onload=alert(1)>", "\\href{javascript:1}{x}",
    "| x | y |", "`code`", "**bold**", "[x](javascript:alert(1))", "$\\input{/etc/passwd}$", "%", "a & b", "<b>",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_escapes_into_the_page(tmp_path: Path, plan: Plan, text: str) -> None:
    entry = plan.entries[0]
    values = [Value(entry, FAILED, note=text), *values_of(plan, FDS)[1:]]
    table = replace(build_table(plan, values), question=text)
    html = page(replace(plan, question=text), table, [], tmp_path)
    tags = re.findall(r"<([a-zA-Z!/][^>]*)>", html)
    known = "html|head|meta|title|style|body|h.|p|table|caption|thead|tbody|tr|t[hd]|b|br|small|ul|li|pre|!doctype"
    assert all(re.match(rf"/?({known})\b", tag) for tag in tags), "every < of the text is escaped"
    assert "default-src 'none'" in html and "<script" not in html
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", html)
    source = latex(table)
    assert "\\input{" not in source and "\\href{" not in source


@pytest.mark.parametrize(("metrics", "facts"), [(1, 0), (5, 0), (5, 1), (6, 0), (12, 6), (12, 0), (30, 3)])
def test_a_wide_table_is_divided_and_nothing_is_lost(plan: Plan, metrics: int, facts: int) -> None:
    names = [FD, CLIP, *(f"recall[{i}]" for i in range(metrics))][:metrics]
    columns = ("real_data", "updates", "passes", "train_seconds", "image_seconds", "snapshot")[:facts]
    wide = replace(plan, metrics=dict.fromkeys(names, "max"), columns=columns)
    values = [replace(v, metrics=dict.fromkeys(names, 1.0)) for v in values_of(plan, FDS)]
    table = build_table(wide, values)
    parts = words.parts(table)
    total = len(words.header(table))
    assert total == 1 + 3 + metrics + facts
    assert [index for part in parts for index in part if index] == list(range(1, total))
    assert all(part[0] == 0 and 1 < len(part) <= words.MOST_COLUMNS for part in parts)
    assert (len(parts) == 1) == (total <= words.MOST_COLUMNS)
    assert parts[0][: 2 + 3] == [0, 1, 2, 3, 4], "the objective stays with what is taken from it"
    for text, mark in ((markdown(table), "| --- |"), (web(table), "<table>"), (latex(table), "\\begin{tabular}")):
        assert text.count(mark) == len(parts)
        assert all(text.count(f"recall[{i}]") >= 1 or "{[}" in text for i in range(metrics - 2))


def test_a_difference_without_spread_is_not_called_certain(plan: Plan) -> None:
    shifted = {**FDS, "shift-constant": [9.0, 10.0, 11.0]}
    table = build_table(plan, values_of(plan, shifted))
    shown = figure(table, "shift-constant")
    assert not shown.bold and shown.p_holm is None
    row = next(text for text in markdown(table).splitlines() if text.startswith("| shift = constant"))
    assert "[n/a] 3/3" in row and "| n/a |" in row
    assert any(note.startswith("n/a:") for note in table.notes)
    assert not any(note.startswith("n/a:") for note in build_table(plan, values_of(plan, FDS)).notes)
