from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.fakes import big_sweep, plan_of, sweep
from tests.study.test_tables import CLIP, EXTRACTORS, FD, values_of
from workbench.study.plan import Plan, load, save
from workbench.study.results import COMPLETE, Value
from workbench.study.statistics import compare, holm
from workbench.study.tables import build_table, latex, markdown, summary_csv, terminal, web
from workbench.study.tables.primary import outcomes, verdict

PRIMARY = {"trajectory": CLIP, "shift": FD, "late": FD}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    arms: dict[str, Any] = {"late": {"trajectory": "forward", "shift": "constant"}}
    return plan_of(tmp_path, big_sweep(evaluate=None, primary=PRIMARY, arms=arms))


def test_a_factors_metric_is_that_of_the_rows_in_which_it_alone_leaves_the_baseline(plan: Plan) -> None:
    # the two strengths change `shift`; the arm changes two factors and has its metric by its own name
    assert plan.primary == {
        "trajectory-forward": CLIP,
        "shift-scale_strength-mild": FD,
        "shift-scale_strength-strong": FD,
        "shift-constant": FD,
        "late": FD,
    }


def test_a_row_that_changes_two_factors_has_none_but_its_own(tmp_path: Path) -> None:
    factors = {"a": {"x": {}, "y": {"model.trajectory": "Forward"}}, "b": {"x": {}, "y": {"model.correction": False}}}
    raw = sweep(factors=factors, baseline={"a": "x", "b": "x"}, design="factorial")
    plan = plan_of(tmp_path, {**raw, "primary": {"a": FD, "b": CLIP}})
    assert plan.primary == {"a-y": FD, "b-y": CLIP}
    own = plan_of(tmp_path, {**raw, "primary": {"a": FD, "a-y_b-y": CLIP}})
    assert own.primary == {"a-y": FD, "a-y_b-y": CLIP}


def test_it_survives_the_file_and_a_plan_without_it_has_none(tmp_path: Path, plan: Plan) -> None:
    save(plan, tmp_path)
    assert load(tmp_path).primary == plan.primary
    assert plan_of(tmp_path, sweep()).primary == {}


def studied(plan: Plan) -> list[Value]:
    fd = {
        "baseline": [10.0, 11.0, 12.0],
        "trajectory-forward": [10.5, 10.5, 12.1],
        "shift-scale_strength-mild": [8.0, 9.1, 10.0],
        "shift-scale_strength-strong": [10.0, 11.0, 12.0],
        "shift-constant": [15.0, 16.1, 17.0],
        "late": [11.0, 10.5, 12.5],
        "teacher-25": [5.0],
        "teacher-few": [20.0],
        "real": [1.0],
    }
    values = values_of(plan, fd)
    worse = {0: 29.0, 1: 29.1, 2: 28.9}  # CLIP of the forward row; all others have 30
    return [
        Value(v.entry, COMPLETE, {**v.metrics, CLIP: worse[v.entry.seed or 0]}, 512, EXTRACTORS)
        if v.entry.row == "trajectory-forward"
        else v
        for v in values
    ]


def test_holm_runs_over_the_primary_outcomes_alone_and_inert_rows_are_no_test(plan: Plan) -> None:
    found = {outcome.line.row.name: outcome for outcome in outcomes(build_table(plan, studied(plan)))}
    assert {name: o.verdict for name, o in found.items()} == {
        "trajectory-forward": "worse",
        "shift-scale_strength-mild": "better",
        "shift-scale_strength-strong": "inert",
        "shift-constant": "worse",
        "late": "undecided",
    }
    tested = [o for o in found.values() if o.verdict != "inert"]
    raw = [o.comparison.p for o in tested if o.comparison.p is not None]
    assert len(raw) == 4 and [o.p_holm for o in tested] == holm(raw)
    assert found["shift-scale_strength-strong"].p_holm is None


@given(
    st.lists(st.tuples(st.integers(-999, 999), st.integers(-999, 999)), min_size=1, max_size=8),
    st.sampled_from(["min", "max", "zero"]),
)
def test_a_verdict_is_the_interval_and_never_two_things(pairs: list[tuple[int, int]], direction: str) -> None:
    arm, base = ({i: p[k] / 100 for i, p in enumerate(pairs)} for k in (0, 1))
    comparison = compare(arm, base, direction)
    assert comparison is not None
    word = verdict(comparison, direction)
    assert (word == "inert") == (arm == base)
    if word in ("better", "worse"):
        assert len(pairs) >= 3 and comparison.low is not None and comparison.high is not None
        outside = comparison.low if comparison.difference > 0 else comparison.high
        assert outside * comparison.difference > 0 and abs(outside) <= abs(comparison.difference)
    swapped = compare(base, arm, direction)
    assert swapped is not None
    assert verdict(swapped, direction) == {"better": "worse", "worse": "better"}.get(word, word)


def test_every_format_shows_the_section_and_marks_the_cells(plan: Plan) -> None:
    from rich.console import Console

    table = build_table(plan, studied(plan))
    console = Console(width=300, file=io.StringIO(), record=True)
    console.print(terminal(table))
    for text in (markdown(table), web(table), console.export_text()):
        assert "Primary outcomes" in text and text.count("29.00 †") == 1 and text.count("worse") >= 2
    assert r"29.00 \textdagger{}" in latex(table) and "% Primary outcomes" in latex(table)
    rows = list(csv.DictReader(io.StringIO(summary_csv(table))))
    marked = {(row["row"], row["metric"]): row["primary"] for row in rows if row["primary"]}
    assert marked[("trajectory-forward", CLIP)] == "worse" and len(marked) == 5


def test_a_study_without_primary_metrics_shows_nothing_of_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, sweep())
    table = build_table(plan, values_of(plan, {"baseline": [3.0, 4.0, 5.0], "trajectory-forward": [2.0, 3.1, 4.0]}))
    for text in (markdown(table), latex(table), web(table)):
        assert "rimary" not in text and "†" not in text and "textdagger" not in text
