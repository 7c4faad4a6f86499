from __future__ import annotations

from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.study.fakes import BASE, EVALUATE, REFERENCES, SHIFTS, big_sweep, plan_of, resolve, sweep, write
from workbench.study.errors import SweepError
from workbench.study.plan import adopt, load, save
from workbench.study.planning import make_plan
from workbench.study.sweep_file import read_sweep

STEPS = EVALUATE["steps"]


def rows(plan: Any, kind: str = "arm") -> list[str]:
    return [row.name for row in plan.rows if row.kind == kind]


def test_one_at_a_time_changes_one_factor_and_opens_conditional_ones(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, big_sweep())
    assert rows(plan) == [
        "baseline",
        "trajectory-forward",
        "shift-scale_strength-mild",
        "shift-scale_strength-strong",
        "shift-constant",
    ]
    assert rows(plan, "reference") == ["teacher-25", "teacher-few", "real"]
    # 5 arms x 3 seeds, and one cell a reference; 4 evaluations of each student
    assert sum(cell.training is not None for cell in plan.cells) == 15
    assert all(len(cell.tasks) == 4 for cell in plan.cells if cell.training)


def test_the_queue_is_seed_major_after_the_references(tmp_path: Path) -> None:
    seeds = [cell.seed for cell in plan_of(tmp_path, big_sweep()).cells]
    assert seeds[:3] == [None] * 3
    assert seeds[3:] == sorted(s for s in seeds if s is not None)


def test_a_teacher_at_25_steps_is_evaluated_once_and_at_few_steps_once_a_setting(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, big_sweep())
    tasks = {row: {entry.task for entry in plan.of(row)} for row in rows(plan, "reference")}
    # 25 wins over the level's steps, so that only the correction differs
    assert {row: len(keys) for row, keys in tasks.items()} == {"teacher-25": 2, "teacher-few": 4, "real": 1}


def test_evaluation_only_arms_share_their_training(tmp_path: Path) -> None:
    factors = {**SHIFTS, "inference": {"on": {}, "off": {"evaluation.noise_correction": False}}}
    plan = plan_of(
        tmp_path,
        big_sweep(
            factors=factors, baseline={"trajectory": "backward", "shift": "none", "inference": "on"}, evaluate=None
        ),
    )
    assert len(rows(plan)) == 6
    trainings = {cell.training for cell in plan.cells if cell.training}
    assert len(trainings) == 15
    cells = {entry.row: {e.cell for e in plan.of(entry.row)} for entry in plan.entries}
    assert cells["inference-off"] == cells["baseline"]
    assert {e.task for e in plan.of("inference-off")}.isdisjoint(e.task for e in plan.of("baseline"))


def test_a_new_metric_and_a_new_evaluation_keep_every_training(tmp_path: Path) -> None:
    first = plan_of(tmp_path, big_sweep())
    second = plan_of(
        tmp_path,
        big_sweep(
            metrics={"CLIP[wardrobe]": "max"},
            evaluate={"steps": {**STEPS, "2": {"evaluation.num_inference_steps": 2}}},
        ),
    )
    assert {c.training for c in first.cells} == {c.training for c in second.cells}
    assert {c.folder for c in first.cells if c.training} == {c.folder for c in second.cells if c.training}


def test_level_names_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = write(tmp_path, {})
    path.write_text(
        "base: base.yaml\nseeds: 1\nmetrics: {saturation: min}\n"
        "factors:\n  correction: {on: {}, off: {model.correction: off}}\n  updates: {3: {}, 1e2: {train.updates: "
        "100}}\n"
        "baseline: {correction: on, updates: 3}\n"
    )
    plan = make_plan(read_sweep(path), resolve)
    assert rows(plan) == ["baseline", "correction-off", "updates-1e2"]
    assert [c.config["model"]["correction"] for c in plan.cells] == [True, False, True]


def test_numbers_are_read_as_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, {})
    path.write_text(
        "base: base.yaml\nseeds: [4]\nmetrics: {saturation: min}\nset: {train.updates: 1e-4}\narms: {a: {}, b: "
        "{model.shift.factor: 5e-1}}\n"
    )
    plan = make_plan(read_sweep(path), resolve)
    assert [c.config["train"]["updates"] for c in plan.cells] == [1e-4, 1e-4]
    assert plan.cells[1].config["model"]["shift"]["factor"] == 0.5
    assert [c.seed for c in plan.cells] == [4, 4]


def test_cumulative_leave_one_out_and_factorial(tmp_path: Path) -> None:
    factors = {
        "a": {"off": {}, "on": {"model.trajectory": "Forward"}},
        "b": {"off": {}, "on": {"model.correction": False}},
        "c": {"off": {}, "on": {"train.updates": 7}},
    }
    raw: dict[str, Any] = {"factors": factors, "baseline": {"a": "off", "b": "off", "c": "off"}}
    on = {
        design: [
            {k for k, v in row.levels.items() if v == "on"}
            for row in plan_of(tmp_path, sweep(**raw, design=design)).rows
        ]
        for design in ("one_at_a_time", "cumulative", "leave_one_out", "factorial")
    }
    assert on["one_at_a_time"] == [set(), {"a"}, {"b"}, {"c"}]
    assert on["cumulative"] == [set(), {"a"}, {"a", "b"}, {"a", "b", "c"}]
    assert on["leave_one_out"] == [{"a", "b", "c"}, {"b", "c"}, {"a", "c"}, {"a", "b"}, set()]
    assert len(on["factorial"]) == 8 and on["factorial"][0] == set()
    assert plan_of(tmp_path, sweep(**raw, design="leave_one_out")).baseline == "full"
    assert plan_of(tmp_path, sweep(**raw, design="factorial")).baseline == "baseline"


def test_arms_name_levels_or_keys(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        big_sweep(
            arms={
                "both": {"trajectory": "forward", "shift": "scale", "strength": "strong"},
                "long": {"train.updates": 9},
            }
        ),
    )
    both = next(cell for cell in plan.cells if cell.arm == "both")
    assert both.config["model"] == {
        "trajectory": "Forward",
        "shift": {"kind": "scale", "factor": 0.4},
        "correction": True,
    }
    assert next(cell for cell in plan.cells if cell.arm == "long").config["train"]["updates"] == 9


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("unknown key", {"metrisc": {}}, "no key 'metrisc'. Did you mean \"metrics\"?"),
    ("unknown run key", {"run": {"device": 2}}, 'Did you mean "devices"?'),
    ("no base", {"base": "bose.yaml"}, "there is no file"),
    ("unknown baseline level", {"baseline": {"trajectory": "backwards"}}, 'Did you mean "backward"?'),
    ("unknown baseline factor", {"baseline": {"trajektory": "backward"}}, 'Did you mean "trajectory"?'),
    ("baseline incomplete", {"baseline": {}}, "names no level of trajectory"),
    ("unknown design", {"design": "factorail"}, 'Did you mean "factorial"?'),
    ("no metrics", {"metrics": {}}, "name at least one"),
    ("direction", {"metrics": {"FD[judge]": "low"}}, "must be min or max"),
    ("no seeds", {"seeds": 0}, "seeds: must be"),
    ("seed twice", {"seeds": [1, 1]}, "seeds: must be"),
    ("boolean seeds", {"seeds": True}, "seeds: must be"),
    (
        "level without effect",
        {"factors": {"trajectory": {"backward": {}, "same": {"model.trajectory": "Backward"}}}},
        "factors.trajectory.same: changes nothing",
    ),
    (
        "parser's refusal",
        {"factors": {"trajectory": {"backward": {}, "forward": {"model.trajectroy": "Forward"}}}},
        "factors.trajectory.forward: there is no key model.trajectroy",
    ),
    ("set refused", {"set": {"train.update": 1}}, "set: there is no key train.update"),
    ("evaluation that trains", {"evaluate": {"lr": {"a": {"train.updates": 4}}}}, "would need another training"),
    (
        "evaluation without effect",
        {"evaluate": {"n": {"a": {"evaluation.num_inference_steps": 2}, "b": {"evaluation.num_inference_steps": 2}}}},
        "changes nothing",
    ),
    ("reference that trains", {"references": {"t": {"train.updates": 4}}}, "belongs to a training"),
    ("reference of a student", {"references": {"t": {"evaluation.num_inference_steps": 25}}}, "evaluates a student"),
    ("arm of the teacher", {"arms": {"t": {"evaluation.subject": "teacher"}}}, "Use references"),
    ("two numbers of images", {"arms": {"t": {"evaluation.num_images": 9}}}, "the same evaluation.num_images"),
    ("one name twice", {"references": {"baseline": {"evaluation.subject": "teacher"}}}, "two rows"),
    ("the same arm twice", {"arms": {"again": {"model.trajectory": "Forward"}}}, "the same experiment"),
    (
        "set that is never used",
        {
            "set": {"model.trajectory": "Mixed"},
            "factors": {
                "trajectory": {"backward": {"model.trajectory": "Backward"}, "forward": {"model.trajectory": "Forward"}}
            },
        },
        "never used",
    ),
    (
        "two factors, one key",
        {
            "factors": {"a": {"x": {}, "y": {"train.updates": 5}}, "b": {"x": {}, "y": {"train": {"updates": 6}}}},
            "baseline": {"a": "x", "b": "x"},
        },
        "write the same key",
    ),
    (
        "cumulative with three levels",
        {
            "factors": {"a": {"x": {}, "y": {"train.updates": 5}, "z": {"train.updates": 6}}},
            "baseline": {"a": "x"},
            "design": "cumulative",
        },
        "switches each factor once",
    ),
    (
        "under nothing",
        {
            "factors": {**SHIFTS, "strength": {"under": {"shaft": "scale"}, "a": {}}},
            "baseline": {"trajectory": "backward", "shift": "none"},
        },
        'Did you mean "shift"?',
    ),
    (
        "under no level",
        {
            "factors": {**SHIFTS, "strength": {"under": {"shift": "scael"}, "a": {}}},
            "baseline": {"trajectory": "backward", "shift": "none"},
        },
        'Did you mean "scale"?',
    ),
    ("signed objective", {"metrics": {"FD[judge]": "zero"}}, "must be min or max"),
    ("signed metric", {"metrics": {"FD[judge]": "min", "teacher/saturation": "max"}}, "write zero"),
    ("primary metric", {"primary": {"trajectory": "FD[juge]"}}, 'Did you mean "FD[judge]"?'),
    ("primary of nothing", {"primary": {"trajectry": "FD[judge]"}}, 'Did you mean "trajectory"?'),
    ("a list of primaries", {"primary": ["FD[judge]"]}, "must be a mapping"),
    ("nothing to compare", {"factors": None, "baseline": None}, "nothing to compare"),
    ("a list of factors", {"factors": ["a"]}, "must be a mapping"),
    ("level that is no mapping", {"factors": {"a": {"x": 3}}}, "must be a mapping"),
]


@pytest.mark.parametrize(("changes", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError) as caught:
        plan_of(tmp_path, sweep(**changes))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "shifts.yaml"))


TRAVERSALS = [
    "..", ".", "../x", "x/../y", "/etc", "a/b", "a\\b", "", " ", "-rf", ".hidden", "a..b", "x\0y", "x\ny", "~", "~root",
    "c:", "%2e%2e", "a b", "*", "?", "$HOME", "`id`", "|x", "x;y", "é" * 3, "a" * 81, "nul", "CON", "figures",
    "reference", "a.",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
@pytest.mark.parametrize("place", ["arm", "level", "factor", "reference"])
def test_no_name_becomes_a_path(tmp_path: Path, name: str, place: str) -> None:
    forward = {"model.trajectory": "Forward"}
    changes: dict[str, dict[str, Any]] = {
        "arm": {"arms": {name: {"train.updates": 8}}},
        "level": {"factors": {"trajectory": {"backward": {}, name: forward}}},
        "factor": {"factors": {name: {"backward": {}, "forward": forward}}, "baseline": {name: "backward"}},
        "reference": {"references": {name: {"evaluation.subject": "teacher"}}},
    }
    with pytest.raises(SweepError):
        plan_of(tmp_path, sweep(**changes[place]))


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, big_sweep(run={"hours": 1, "launch": "srun -n 2"}))
    save(plan, tmp_path)
    assert load(tmp_path) == plan


def test_only_keeps_the_baseline_and_what_is_asked_for(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, big_sweep())
    part = plan.only(["shift-constant"])
    assert [row.name for row in part.rows] == ["baseline", "shift-constant"]
    assert len(part.cells) == 6 and part.keys < plan.keys
    with pytest.raises(SweepError, match='Did you mean "shift-constant"'):
        plan.only(["shift-constnat"])


def test_a_training_that_moved_to_another_arm_keeps_its_folder(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, sweep())
    old = tmp_path / "results" / "old-name" / Path(plan.cells[0].folder).name
    old.mkdir(parents=True)
    assert adopt(plan, tmp_path / "results").cells[0].folder == f"old-name/{old.name}"
    assert adopt(plan, tmp_path / "results").cells[1] == plan.cells[1]


def test_a_reference_that_comes_later_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    """References of one study end in the same name, since they differ in their evaluations alone."""
    references = {"teacher-25": REFERENCES["teacher-25"], "teacher-few": REFERENCES["teacher-few"]}
    plan = plan_of(tmp_path, sweep(references=references))
    folders = [cell.folder for cell in plan.cells if cell.training is None]
    assert len({Path(folder).name for folder in folders}) == 1 and len(folders) == 2
    for before in (folders[0], "teacher-before/" + Path(folders[0]).name):  # which the study ran with, alone
        (tmp_path / before / before).mkdir(parents=True)
        assert adopt(plan, tmp_path / before) == plan


factor_names = st.sampled_from(["a", "b", "c", "d"])


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    """A random sweep: up to four factors with up to three levels, some conditional, any design, any seeds."""
    keys = ["model.trajectory", "model.correction", "train.updates", "model.shift"]
    design = draw(st.sampled_from(["one_at_a_time", "factorial", "cumulative", "leave_one_out"]))
    factors: dict[str, Any] = {}
    for index in range(draw(st.integers(1, 4))):
        levels: dict[str, Any] = {"base": {}}
        most = 2 if design in ("cumulative", "leave_one_out") else 3
        for level in range(1, draw(st.integers(2, most))):
            levels[f"l{level}"] = {keys[index]: f"{keys[index]}-{level}"}
        if index and draw(st.booleans()):
            parent = draw(st.sampled_from([name for name in factors if "under" not in factors[name]]))
            choices = [level for level in factors[parent] if level != "under"]
            levels = {"under": {parent: draw(st.sampled_from(choices))}, **levels}
        factors["abcd"[index]] = levels
    baseline: dict[str, str] = {}
    for name, levels in factors.items():
        if all(baseline.get(parent) == level for parent, level in levels.get("under", {}).items()):
            baseline[name] = draw(st.sampled_from([level for level in levels if level != "under"]))
    return sweep(
        factors=factors,
        baseline=baseline,
        design=design,
        seeds=draw(st.integers(1, 3)),
        evaluate=draw(st.sampled_from([None, EVALUATE])),
        references=draw(st.sampled_from([{}, REFERENCES])),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=sweeps())
def test_every_plan_keeps_its_promises(tmp_path: Path, raw: dict[str, Any]) -> None:
    plan = plan_of(tmp_path, deepcopy(raw))
    assert plan == plan_of(tmp_path, deepcopy(raw)), "a plan is a function of its file"
    names = [row.name for row in plan.rows]
    assert len(set(names)) == len(names) and plan.baseline in names
    # Every row has an entry for every evaluation and seed, and every entry finds its task in its cell.
    arms = rows(plan)
    expected = Counter({name: len(plan.evaluations) * (len(plan.seeds) if name in arms else 1) for name in names})
    assert Counter(entry.row for entry in plan.entries) == expected
    cells = {cell.key: cell for cell in plan.cells}
    assert len(cells) == len(plan.cells) == len({cell.folder for cell in plan.cells})
    for entry in plan.entries:
        assert entry.task in {task.key for task in cells[entry.cell].tasks}
        assert cells[entry.cell].seed == entry.seed
    # No training and no evaluation is done twice.
    trainings = [cell.training for cell in plan.cells if cell.training]
    assert len(set(trainings)) == len(trainings)
    tasks = [task.key for cell in plan.cells for task in cell.tasks]
    assert len(set(tasks)) == len(tasks)
    # Balanced under any early stop: the seeds of the trainings never decrease.
    seeds = [cell.seed for cell in plan.cells if cell.seed is not None]
    assert seeds == sorted(seeds)
    # A row names exactly the factors that exist in it.
    for row in plan.rows:
        if row.kind == "arm":
            present = {
                name
                for name, levels in raw["factors"].items()
                if all(row.levels.get(parent) == level for parent, level in levels.get("under", {}).items())
            }
            assert set(row.levels) == present
    if raw["design"] == "one_at_a_time":
        base = next(row.levels for row in plan.rows if row.name == "baseline")
        for row in plan.rows:
            if row.kind == "arm":
                assert sum(base[name] != row.levels.get(name) for name in base if name in row.levels) <= 1


def test_a_hash_follows_config_assets_and_nothing_else(tmp_path: Path) -> None:
    weights = tmp_path / "teacher" / "weights"
    weights.parent.mkdir()
    weights.write_bytes(b"one")
    path = write(tmp_path, sweep())
    (tmp_path / "base.yaml").write_text(
        __import__("yaml").safe_dump({**BASE, "teacher": {"path": str(weights.parent)}})
    )

    def trainings() -> set[str | None]:
        return {cell.training for cell in make_plan(read_sweep(path), resolve).cells}

    before = trainings()
    assert trainings() == before
    weights.write_bytes(b"two")
    assert trainings().isdisjoint(before)
