"""Main effects and interactions of a factorial: against numbers that are made of known effects."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import plan_of, sweep
from workbench.report import main as report
from workbench.study.plan import Plan
from workbench.study.results import COMPLETE, DIVERGED, Value
from workbench.study.tables import Table, build_table, effects_csv, latex, markdown, web

FD, CLIP, SIGNED = "FD[judge]", "CLIP[wardrobe]", "teacher/saturation"
FACTORS: dict[str, Any] = {
    "trajectory": {"backward": {}, "forward": {"model.trajectory": "Forward"}},
    "shift": {"none": {}, "scale": {"model.shift": "scale"}, "constant": {"model.shift": "constant"}},
}
EVALUATE: dict[str, Any] = {
    "steps": {"3": {"evaluation.num_inference_steps": 3}, "1": {"evaluation.num_inference_steps": 1}},
    "correction": {
        "under": {"steps": "3"},
        "on": {"evaluation.noise_correction": True},
        "off": {"evaluation.noise_correction": False},
    },
}
# What each level adds to 10, and what two of them add together.
ALONE = {"forward": 1.0, "scale": -2.0, "constant": 0.5, "off": 0.25}
TOGETHER = {("forward", "scale"): 0.8, ("constant", "off"): -0.4}


def factorial(folder: Path, **changes: Any) -> Plan:
    raw: dict[str, Any] = {
        "factors": FACTORS,
        "baseline": {"trajectory": "backward", "shift": "none"},
        "design": "factorial",
        "evaluate": EVALUATE,
        "metrics": {FD: "min", CLIP: "max", SIGNED: "zero"},
    }
    return plan_of(folder, sweep(**{**raw, **changes}))


def values(plan: Plan, spread: float = 0.0) -> list[Value]:
    """10 plus the effects; a seed adds its number, and `spread` to what forward does."""
    rows = {row.name: row.levels for row in plan.rows}
    found = []
    for entry in plan.entries:
        levels = {*rows[entry.row].values(), *entry.evaluation.values()}
        seed = entry.seed or 0
        number = 10.0 + seed + sum(ALONE.get(level, 0.0) for level in levels)
        number += sum(value for pair, value in TOGETHER.items() if set(pair) <= levels)
        number += spread * seed * ("forward" in levels)
        found.append(Value(entry, COMPLETE, {FD: number, CLIP: 30.0 + seed, SIGNED: 5 - number}, 512, {}))
    return found


def found(table: Table, under: str, metric: str = FD) -> dict[str, float]:
    return {e.name: e.comparison.difference for e in table.effects if e.under == under and e.metric == metric}


def test_effects_are_what_the_numbers_are_made_of(tmp_path: Path) -> None:
    plan = factorial(tmp_path)
    table = build_table(plan, values(plan))
    # Each main effect holds what the pairs add, averaged over the other factor's levels.
    assert found(table, "steps = 3") == pytest.approx(
        {
            "trajectory = forward": 1.0 + 0.8 / 3,
            "shift = scale": -2.0 + 0.8 / 2,
            "shift = constant": 0.5 - 0.4 / 2,
            "correction = off": 0.25 - 0.4 / 3,
            "trajectory = forward × shift = scale": 0.8 / 2,
            "trajectory = forward × shift = constant": 0.0,
            "trajectory = forward × correction = off": 0.0,
            "shift = scale × correction = off": 0.0,
            "shift = constant × correction = off": -0.4 / 2,
        },
        abs=1e-12,
    )
    assert found(table, "steps = 1, correction = on") == {} and len({e.under for e in table.effects}) == 2
    alone = found(table, "steps = 1")
    assert set(alone) == {name for name in found(table, "steps = 3") if "correction" not in name}
    assert alone["shift = constant"] == pytest.approx(0.5) and alone["trajectory = forward"] == pytest.approx(
        1 + 0.8 / 3
    )
    assert set(found(table, "steps = 3", CLIP).values()) == {0.0}


def test_an_interval_is_of_the_seeds_and_holm_covers_an_evaluation(tmp_path: Path) -> None:
    plan = factorial(tmp_path)
    table = build_table(plan, values(plan, spread=0.3))
    by_name = {e.name: e for e in table.effects if e.under == "steps = 1" and e.metric == FD}
    forward = by_name["trajectory = forward"]
    mean, half = 1 + 0.8 / 3 + 0.3, 4.302653 * 0.3 / 3**0.5  # Student's t for 3 seeds, whose differences step by .3
    assert (forward.comparison.low, forward.comparison.high) == pytest.approx((mean - half, mean + half), rel=1e-5)
    assert forward.comparison.better == 0 and forward.comparison.n == 3 and forward.order == 1
    # Most others are the same in every seed: no interval, no test, and no part of the family.
    assert by_name["shift = scale"].comparison.p is None
    tested = [e.comparison.p for e in by_name.values() if e.comparison.p is not None]
    assert forward.comparison.p == min(tested) and forward.p_holm == pytest.approx(len(tested) * min(tested))
    assert by_name["trajectory = forward × shift = scale"].order == 2


def test_magnitudes_count_where_zero_is_best(tmp_path: Path) -> None:
    plan = factorial(tmp_path)
    table = build_table(plan, values(plan))
    assert found(table, "steps = 1", SIGNED) == pytest.approx(found(table, "steps = 1"), abs=1e-12)  # |5 - x| = x - 5


def test_no_effects_of_another_design_or_of_half_a_factorial(tmp_path: Path) -> None:
    plan = factorial(tmp_path, design="one_at_a_time")
    assert build_table(plan, values(plan)).effects == ()
    plan = factorial(tmp_path)
    some = values(plan)
    forward = [i for i, v in enumerate(some) if v.entry.row == "trajectory-forward"]
    assert build_table(plan, [v for i, v in enumerate(some) if i not in forward]).effects == ()
    # One seed of one combination diverged: the effects are those of the other seeds.
    some[forward[0]] = replace(some[forward[0]], status=DIVERGED, metrics={})
    assert {e.comparison.n for e in build_table(plan, some).effects if e.metric == FD} == {2, 3}
    assert build_table(factorial(tmp_path), []).effects == ()


def test_an_arm_beside_the_design_is_no_combination(tmp_path: Path) -> None:
    plain = factorial(tmp_path)
    plan = factorial(tmp_path, arms={"odd": {"shift": "scale", "train.student_updates": 7}})
    odd = [
        replace(v, metrics={FD: 1000.0, CLIP: 0.0, SIGNED: 0.0}) if v.entry.row == "odd" else v for v in values(plan)
    ]
    assert found(build_table(plan, odd), "steps = 3") == found(build_table(plain, values(plain)), "steps = 3")


def test_what_is_not_scored_yet_is_no_smaller_factorial(tmp_path: Path) -> None:
    """All of one level missing: no effects, and not those of the other levels."""
    plan = factorial(tmp_path)
    some = [v for v in values(plan) if "constant" not in v.entry.row]
    assert build_table(plan, some).effects == ()


def test_factors_that_exist_in_some_evaluations_alone_give_no_effects_there(tmp_path: Path) -> None:
    evaluate = {
        "mode": {"plain": {}, "other": {"evaluation.num_images": 8, "evaluation.noise_correction": True}},
        "n": {"under": {"mode": "other"}, "a": {}, "b": {"evaluation.snapshot": 1}},
    }
    plan = factorial(tmp_path, evaluate=evaluate)
    assert build_table(plan, values(plan)).effects == ()


def test_every_grid_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Levels that come with their own number of steps: nothing else says which."""
    steps = {"a": (3, True), "b": (3, False), "c": (1, True), "d": (1, False)}
    levels = {
        name: {"evaluation.num_inference_steps": number, "evaluation.noise_correction": on}
        for name, (number, on) in steps.items()
    }
    plan = factorial(tmp_path, evaluate={"how": levels})
    table = build_table(plan, values(plan))
    assert {effect.under for effect in table.effects} == {"3 steps", "1 steps"}
    assert len({(e.under, e.name, e.metric) for e in table.effects}) == len(table.effects)


def test_every_format_has_them(tmp_path: Path) -> None:
    plan = factorial(tmp_path)
    table = build_table(plan, values(plan, spread=0.3))
    for text in (markdown(table), web(table), latex(table)):
        assert "Main effects and interactions" in text and "shift = constant" in text
        assert text.count("trajectory = forward ×") == 5 or text.count(r"trajectory = forward $\times$") == 5
    rows = list(csv.DictReader(io.StringIO(effects_csv(table))))
    assert len(rows) == len(table.effects) == 3 * (9 + 5)
    assert {row["order"] for row in rows} == {"1", "2"} and {row["metric"] for row in rows} == {FD, CLIP, SIGNED}


def test_the_file_and_the_figure_of_a_finished_factorial(tmp_path: Path) -> None:
    from tests.study.engine import root_of, run
    from tests.study.fakes import write

    path = write(tmp_path, sweep(factors=FACTORS, baseline={"trajectory": "backward", "shift": "none"},
                                 design="factorial", seeds=2))  # fmt: skip
    run(path, "--workers", "2")
    root = root_of(path)
    assert (root / "effects.csv").exists() and (root / "figures" / "effects.png").exists()
    copy = tmp_path / "copy"
    assert report([str(root), "--copy-to", str(copy)]) == 0
    assert (copy / "effects.csv").read_bytes() == (root / "effects.csv").read_bytes()
    assert "main effects" in (copy / "report.html").read_text()
