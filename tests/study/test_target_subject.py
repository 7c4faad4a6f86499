"""Arms that score the student that fits its target: planned without a training, told as arms are."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.conftest import tiny_clip_path  # noqa: F401
from tests.study import test_real_sweep as real
from tests.study.fakes import BASE, REFERENCES, resolve, sweep, write
from tests.study.test_figures import finish
from workbench.evaluation.exact import ITERATIONS
from workbench.study.cost import FIXED_POINT, evaluation_passes
from workbench.study.errors import SweepError
from workbench.study.figures.guidance import guidance_curves
from workbench.study.figures.lines import against_steps
from workbench.study.plan import Plan, adopt, load
from workbench.study.plan_view import plan_grid, scoring_of, training_of
from workbench.study.planning import make_plan
from workbench.study.publish import publish
from workbench.study.reference import copy_reference
from workbench.study.results import cell_result, collect
from workbench.study.sweep_file import parse_sweep
from workbench.study.tables import build_table, values_csv
from workbench.sweep import main

FD = "FD[judge]"
TARGET = "model.losses.main.init_args.target.init_args"
LOSS = "model.losses.main.init_args.weight"
SCORED = {"evaluation.subject": "target"}
GUIDANCE = {str(g): {f"{TARGET}.guidance": g} if g != 2 else {} for g in (2, 1, 3)}
STEPS = {str(n): {"evaluation.num_inference_steps": n} for n in (3, 2)}
SNAPSHOTS = {"whole": {}, "half": {"evaluation.snapshot": 0.5}}


def plan_of(folder: Path, **changes: Any) -> Plan:
    base: dict[str, Any] = deepcopy(BASE)
    target = {"class_path": "TeacherTarget", "init_args": {"steps": 5, "guidance": None, "shift": "IdentityShift"}}
    arguments = {"target": target, "weight": 1.0}
    base["model"] |= {"losses": {"main": {"class_path": "Reconstruction", "init_args": arguments}}}
    base["model"] |= {"num_steps": [3], "ema": {"decay": 0.9}, "sampler": "DDIM"}
    base["evaluation"] |= {"seed": 0, "guidance_scale": None}
    chosen = {"factors": {"guidance": GUIDANCE}, "baseline": {"guidance": "2"}, "set": SCORED, **changes}
    raw = sweep(**chosen)
    path = write(folder, raw)
    path.with_name("base.yaml").write_text(json.dumps(base))
    return make_plan(parse_sweep(raw, path), resolve, lambda config: True)


def test_nothing_is_trained_and_a_seed_is_the_noise(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, evaluate={"steps": STEPS}, seeds=[4, 7], references=REFERENCES)
    cells = [cell for cell in plan.cells if cell.seed is not None]
    assert [(cell.arm, cell.seed) for cell in cells] == [
        (arm, seed) for seed in (4, 7) for arm in ("baseline", "guidance-1", "guidance-3")
    ]
    assert {cell.training for cell in plan.cells} == {None}
    for cell in cells:
        assert cell.config["seed"] == 0 and cell.config["evaluation"]["seed"] == cell.seed
        assert [task.settings["seed"] for task in cell.tasks] == [cell.seed] * 2
        assert cell.folder.startswith(f"{cell.arm}/seed{cell.seed}-")
    assert {entry.subject for entry in plan.entries if entry.seed is not None} == {"target"}
    assert {row.real_data for row in plan.rows} == {None}, "nothing is trained on them"
    assert len({cell.key for cell in plan.cells}) == len(plan.cells) == len({cell.folder for cell in plan.cells})
    references = [task.settings for cell in plan.cells if cell.seed is None for task in cell.tasks]
    assert {settings["seed"] for settings in references} == {0}
    assert adopt(plan, tmp_path / "fresh") == plan


def test_what_only_a_training_reads_gives_no_other_cell_and_what_the_target_reads_does(tmp_path: Path) -> None:
    names = {key: {key: value} for key, value in {
        f"{TARGET}.steps": 4, "model.sampler": "Renoise", "teacher.path": "other", "evaluation.num_inference_steps": 2,
    }.items()}  # fmt: skip
    arms = {"own": {}, **{key.replace(".", "-"): value for key, value in names.items()}}
    plan = plan_of(tmp_path, factors=None, baseline="own", arms=arms, set=SCORED, seeds=2)
    of = {row.name: [(e.cell, e.task) for e in plan.of(row.name)] for row in plan.rows}
    assert [name for name, found in of.items() if found == of["own"]] == ["own"]
    together = {name for name, found in of.items() if [cell for cell, _ in found] == [cell for cell, _ in of["own"]]}
    assert together == {"own", "evaluation-num_inference_steps"}, "one cell does all evaluations of a target"
    assert len(plan.cells) == 2 * (len(arms) - 1)
    idle = {"train.updates": 9, "model.ema.decay": 0.5, "model.num_steps": [2], LOSS: 3.0}
    other = plan_of(tmp_path, factors=None, baseline="own", arms={"own": {}}, set={**SCORED, **idle})
    assert [cell.folder for cell in other.cells][:2] == [cell.folder for cell in plan.cells if cell.arm == "own"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"passes": 1000}}, "budget: is of trainings"),
        ({"select": {"snapshots": [0.5, 1], "on": FD}}, "select: is of trainings"),
        ({"set": {**SCORED, "evaluation.seed": 3}}, "Remove evaluation.seed"),
        ({"evaluate": {"noise": {"a": {}, "b": {"evaluation.seed": 1}}}}, "Remove evaluation.seed"),
        ({"arms": {"t": {"evaluation": {"subject": "target", "seed": 1}}}}, "Remove evaluation.seed"),
        ({"set": {}, "evaluate": {"who": {"a": {}, "b": SCORED}}}, "the same for every evaluation"),
        ({"evaluate": {"who": {"a": {}, "b": {"evaluation.subject": "teacher"}}}}, "Use references"),
        ({"arms": {"t": {"evaluation.subject": "real"}}}, "Use references"),
        ({"references": {"t": {"evaluation.num_inference_steps": 25}}}, "evaluates a target, which only an arm has"),
        ({"arms": {"long": {"train.updates": 9}}}, "the same experiment"),
        ({"arms": {"raw": {"model.ema.decay": 0.0}}}, "the same experiment"),
        ({"arms": {"forward": {"model.trajectory": "Forward"}}}, "the same experiment"),
        ({"arms": {"heavy": {LOSS: 3.0}}}, "the same experiment"),
        ({"arms": {"two": {"model.num_steps": [2]}}}, "the same experiment"),
        ({"evaluate": {"share": SNAPSHOTS}}, "evaluate.share: whole and half give the same evaluation"),
        (
            {"factors": {"updates": {"3": {}, "9": {"train.updates": 9}}}, "baseline": {"updates": "3"}},
            "factors.updates.9: changes nothing. Without a training",
        ),
    ],
)
def test_what_has_no_meaning_without_a_training_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError) as caught:
        plan_of(tmp_path, **changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_as_many_looks_are_counted_as_are_taken() -> None:
    assert FIXED_POINT == ITERATIONS + 1


SEARCH = """
base: {base}
set: {{evaluation.subject: target}}
search:
  trials: 2
  minimise: FD[judge]
  space: {{k: {{key: model.losses.reconstruction.target.steps, low: 1, high: 3}}}}
"""


def test_a_search_of_targets_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = Path(__file__).resolve().parents[2] / "sweeps/methods/forward_distillation.yaml"
    (tmp_path / "search.yaml").write_text(SEARCH.format(base=base))
    assert main([str(tmp_path / "search.yaml"), "--plan", "--results", str(tmp_path)]) == 2
    assert "evaluation.subject: target trains nothing" in capsys.readouterr().err


HERE, OWN = {"class_path": "IdentityShift"}, {"class_path": "StudentNoise", "init_args": {}}
HALF = {"class_path": "ScaleShift", "init_args": {"factor": 0.5}}
WHOLE = {"class_path": "ScaleShift", "init_args": {"factor": 1.0}}


@pytest.mark.parametrize(
    ("target", "each"),
    [
        ({"shift": HERE, "noise": OWN}, 1 + 10),  # the teacher's own prediction, and 2 x 5 guided steps once
        ({"shift": WHOLE, "noise": {"class_path": "MixedNoise", "init_args": {"rho": 0}}}, 1 + 10),
        ({"shift": HALF, "noise": "StudentNoise"}, 1 + 9 * 10),
        ({"shift": HERE, "noise": "FreshNoise"}, 1 + 9 * 10),
        ({"shift": HERE, "noise": {"class_path": "MixedNoise", "init_args": {"rho": 0.3}}}, 1 + 9 * 10),
        ({}, 1 + 9 * 10),  # the defaults
        ({"shift": HERE, "noise": OWN, "guidance": 1.0, "steps": 2}, 1 + 2),
    ],
)
def test_an_image_costs_its_targets_as_often_as_they_are_asked(target: dict[str, Any], each: float) -> None:
    named = {"class_path": "TeacherTarget", "init_args": {"steps": 5, **target}}
    losses = {"removed": None, "main": {"class_path": "Reconstruction", "init_args": {"target": named}}}
    config = {"model": {"losses": losses}}
    settings = {"subject": "target", "num_images": 100, "num_inference_steps": 3, "diversity_prompts": 0}
    assert evaluation_passes(settings, config) == 100 * 3 * each
    assert evaluation_passes({**settings, "diversity_prompts": 5, "diversity_images": 2}, config) == 110 * 3 * each
    assert evaluation_passes(settings) == 100 * 3 * 91


def test_the_plan_shows_what_sampling_costs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    images = 8 + 16 * 8
    by_arm = {cell.arm: (training_of(cell), scoring_of(cell)) for cell in plan.cells}
    assert by_arm["baseline"] == (0, images * 3 * 91) and by_arm["guidance-1"] == (0, images * 3 * 46)
    grid = plan_grid(plan)
    shown = {str(column.header): str(next(iter(column.cells))) for column in grid.columns}
    assert (shown["updates"], shown["passes each"], shown["trainings"]) == ("", "", "0")
    assert shown["passes in all"] == f"{3 * images * 3 * 91:,}"


def test_tables_and_figures_take_a_target_for_an_arm(tmp_path: Path) -> None:
    columns = ["real_data", "updates", "passes", "train_seconds", "image_seconds", "snapshot"]
    plan = plan_of(tmp_path, evaluate={"steps": STEPS}, references=REFERENCES, columns=columns)
    root = tmp_path / "study"
    finish(plan, root)
    values = collect(plan, root)
    table = build_table(plan, values)
    lines = {line.row.name: line for line in table.blocks[0].lines}
    figure = lines["guidance-1"].figures[FD]
    assert (
        figure.comparison is not None
        and figure.comparison.n == 3
        and figure.comparison.difference == pytest.approx(0.6)
    )
    assert figure.gap_closed is not None and figure.percent_of_teacher is not None
    assert lines["guidance-1"].seeds == 3 and lines["teacher-25"].figures[FD].comparison is None
    assert lines["baseline"].facts == {**dict.fromkeys(columns, ""), "image_seconds": "4.0"}
    assert table.notes[0].startswith("Mean over 3 evaluation seeds; below it the paired difference to ")
    assert "Intervals are over evaluation seeds: targets are scored without a training" in table.notes[1]
    steps, guided = against_steps(plan, table, values, FD), guidance_curves(plan, table, values, root)
    assert steps is not None and len(steps.axes[0].containers) >= 3
    assert guided is not None
    assert "targets, 3 steps" in {line.get_label() for line in guided.axes[0].get_lines()}
    assert "guidance-1,arm,0," in values_csv(plan, values) and ",target,3," in values_csv(plan, values)
    publish(plan, root)
    assert "3 arms × 3 seeds, 0 trainings" in (root / "report.html").read_text()
    alone = build_table(replace(plan, seeds=(0,)), [v for v in values if v.entry.seed in (0, None)])
    assert "nothing can be concluded about other noise" in alone.notes[0]


def test_students_beside_targets_say_what_their_seeds_are(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, set={}, factors={"who": {"student": {}, "exact": SCORED}}, baseline={"who": "student"})
    assert [cell.training is None for cell in plan.cells] == [False, True] * 3
    notes = build_table(plan, []).notes
    assert notes[0].startswith("Mean over 3 seeds; ") and "; but targets are scored without a training" in notes[1]


KEY = "model.losses.reconstruction.target.noise"
REAL = f"""
base: base.yaml
set:
  evaluation: {{subject: target, num_reference: 64, teacher_steps: 0, diversity_prompts: 0, num_inference_steps: 1}}
factors:
  noise: {{own: {{{KEY}: StudentNoise}}, initial: {{{KEY}: InitialNoise}}}}
baseline: {{noise: own}}
seeds: 2
metrics: {{"FD[judge]": min}}
run: {{retries: 0}}
"""


def test_the_real_thing_trains_nothing_and_every_seed_has_its_noise(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,  # noqa: F811
) -> None:
    path = real.write(tmp_path, tiny_teacher_path, REAL)
    real.run(path, tiny_clip_path)
    root = tmp_path / "results" / "tiny"
    plan = load(root)
    assert len(plan.cells) == 4 and not list(root.glob("*/*/*.safetensors"))
    found = {}
    for cell in plan.cells:
        result = cell_result(plan, cell, root)
        assert result is not None and (root / cell.folder / "config.yaml").is_file()
        (evaluation,) = result["evaluations"].values()
        found[cell.arm, cell.seed] = evaluation["metrics"][FD]
    assert len(set(found.values())) == 4
    assert "Mean over 2 evaluation seeds" in (root / "table.md").read_text()
    copy_reference(plan, root, tmp_path / "copy")
    assert load(tmp_path / "copy") == plan and (tmp_path / "copy" / "report.html").is_file()
