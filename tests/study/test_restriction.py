"""`only_at`: a student for one number of steps is scored there alone; the figure joins the students of one method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.study import test_figures as figures
from tests.study.fakes import plan_of, sweep
from workbench.study.errors import SweepError
from workbench.study.figures.lines import against_steps
from workbench.study.results import collect
from workbench.study.tables import build_table, markdown

FD = "FD[judge]"
EVALUATE: dict[str, Any] = {
    "steps": {str(n): {"evaluation.num_inference_steps": n} for n in (3, 2, 1)},
    "correction": {
        "under": {"steps": "3"},
        "on": {"evaluation.noise_correction": True},
        "off": {"evaluation.noise_correction": False},
    },
}
METHODS: dict[str, Any] = {
    "flash": {},
    "lcm": {"model.trajectory": "Forward"},
    **{f"staged-{n}": {"model.correction": False, "train.student_updates": 90 + n} for n in (3, 2, 1)},
}


def raw(**changes: Any) -> dict[str, Any]:
    return sweep(
        **{
            "factors": {"method": METHODS},
            "baseline": {"method": "flash"},
            "evaluate": EVALUATE,
            "only_at": {f"staged-{n}": {"steps": n} for n in (3, 2, 1)},
            **changes,
        }
    )


def test_an_arm_has_entries_and_tasks_where_it_is_scored_alone(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, raw())
    where = {row.name: [tuple(e.evaluation.values()) for e in plan.of(row.name) if e.seed == 0] for row in plan.rows}
    assert where["method-staged-2"] == [("2",)] and where["method-staged-1"] == [("1",)]
    assert where["method-staged-3"] == [("3", "on"), ("3", "off")]
    assert len(where["baseline"]) == len(where["method-lcm"]) == 4
    assert {cell.arm: len(cell.tasks) for cell in plan.cells if cell.seed == 0} == {
        "baseline": 4, "method-lcm": 4, "method-staged-3": 2, "method-staged-2": 1, "method-staged-1": 1,
    }  # fmt: skip


def test_several_levels_several_factors_and_an_arm_by_its_name(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        raw(
            only_at={"staged-3": {"steps": [3, 2]}, "extra": {"steps": 3, "correction": "off"}},
            arms={"extra": {"method": "lcm", "train.student_updates": 7}},
        ),
    )
    assert len({tuple(e.evaluation.values()) for e in plan.of("method-staged-3")}) == 3
    assert {tuple(e.evaluation.values()) for e in plan.of("extra")} == {("3", "off")}
    assert len({tuple(e.evaluation.values()) for e in plan.of("method-lcm")}) == 4


WRONG: list[tuple[Any, str]] = [
    (["staged-3"], "must be a mapping"),
    ({"stagd-3": {"steps": 3}}, 'Did you mean "staged-3"?'),
    ({"staged-3": 3}, "only_at.staged-3: must be a mapping as"),
    ({"staged-3": {}}, "only_at.staged-3: must be a mapping as"),
    ({"staged-3": {"step": 3}}, 'Did you mean "steps"?'),
    ({"staged-3": {"steps": 4}}, "there is no level '4'"),
    ({"staged-3": {"steps": [3, 5]}}, "there is no level '5'"),
    ({"flash": {"steps": 3}}, "the baseline has to be scored under every evaluation"),
    ({3: {"steps": 3}}, "there is no level or arm '3'"),
    ({"staged-3": {"steps": []}}, "the arm method-staged-3 is scored under no evaluation"),
]


@pytest.mark.parametrize(("value", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_one_line(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        plan_of(tmp_path, raw(only_at=value))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_means_two_levels_is_refused_and_a_number_is_a_name(tmp_path: Path) -> None:
    factors = {
        "a": {"off": {}, "on": {"model.trajectory": "Forward"}},
        "b": {"off": {}, "on": {"model.correction": False}},
    }
    with pytest.raises(SweepError, match=r"only_at\.on: is a level or arm more than once"):
        plan_of(tmp_path, raw(factors=factors, baseline={"a": "off", "b": "off"}, only_at={"on": {"steps": 3}}))
    factors = {"students": {"all": {}, "3": {"train.student_updates": 9}, "1": {"train.student_updates": 8}}}
    only = {3: {"steps": 3}, 1: {"steps": 1}}
    plan = figures.plan_of(tmp_path, raw(factors=factors, baseline={"students": "all"}, only_at=only))
    figures.finish(plan, tmp_path / "study")
    values = collect(plan, tmp_path / "study")
    canvas = against_steps(plan, build_table(plan, values), values, FD)
    assert canvas is not None
    assert "students (a student each)" in [text.get_text() for text in canvas.legends[0].get_texts()]


def test_the_table_has_the_row_there_and_the_figure_one_line_for_all(tmp_path: Path) -> None:
    plan = figures.plan_of(tmp_path, raw(references=figures.RAW["references"]))
    figures.finish(plan, tmp_path / "study")
    values = collect(plan, tmp_path / "study")
    table = build_table(plan, values)
    rows = {block.title: [line.row.name for line in block.lines if line.row.kind == "arm"] for block in table.blocks}
    assert rows["steps = 2"] == ["baseline", "method-lcm", "method-staged-2"]
    assert rows["steps = 3, correction = off"] == ["baseline", "method-lcm", "method-staged-3"]
    assert {block.family for block in table.blocks} == {2} and "over 2 rows of the block" in markdown(table)
    canvas = against_steps(plan, table, values, FD)
    assert canvas is not None
    (legend,) = canvas.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert [label for label in labels if "staged" in label] == ["method = staged (a student each)"]
    (axes,) = canvas.axes
    (line,) = [c for c in axes.containers if c.get_label() == "method = staged (a student each)"]
    heights = list(line[0].get_ydata())
    wanted = [next(v.figures[FD].mean for b in table.blocks if b.title.startswith(f"steps = {n}")
                   for v in b.lines if v.row.name == f"method-staged-{n}") for n in (1, 2, 3)]  # fmt: skip
    assert heights == pytest.approx(wanted)
