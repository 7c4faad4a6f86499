"""Figures show the numbers of the files: what stands where, with which interval, and what is left out."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from PIL import Image

from tests.study.fakes import BASE, resolve, sweep, write
from workbench.study.facts import trained_passes
from workbench.study.figures import draw
from workbench.study.figures.differences import paired_dots
from workbench.study.figures.guidance import guidance_curves
from workbench.study.figures.lines import against_passes, against_steps
from workbench.study.figures.style import MOST_COLOURED
from workbench.study.plan import Cell, Plan
from workbench.study.planning import make_plan
from workbench.study.results import collect
from workbench.study.statistics import interval_of_mean
from workbench.study.sweep_file import read_sweep
from workbench.study.tables import build_table

FD, CLIP = "FD[judge]", "CLIP[wardrobe]"
GUIDANCE = "model.losses.main.init_args.target.init_args.guidance"
METHODS = {"flash": 1.0, "lcm": 1.6, "add": 1.25}  # how much worse than the first


def plan_of(folder: Path, raw: dict[str, Any]) -> Plan:
    base: dict[str, Any] = deepcopy(BASE)
    target = {"class_path": "TeacherTarget", "init_args": {"steps": 5, "guidance": None}}
    base["model"]["losses"] = {"main": {"class_path": "Reconstruction", "init_args": {"target": target}}}
    base["train"]["snapshots"] = [0.25, 0.5]
    base["evaluation"] |= {"snapshot": None, "guidance_scale": None, "num_images": 512}
    path = write(folder, raw)
    path.with_name("base.yaml").write_text(json.dumps(base))
    return make_plan(read_sweep(path), resolve, lambda config: config["model"]["trajectory"] == "Forward")


def finish(plan: Plan, root: Path) -> None:
    """Results that follow from the settings: fewer steps, earlier snapshots and less guidance are worse in FD."""
    for cell in plan.cells:
        folder = root / cell.folder
        evaluations = {}
        for task in cell.tasks:
            evaluations[task.key] = {"metrics": _metrics(cell, task.settings), "n": 512, "extractors": {}}
            scale = task.settings.get("guidance_scale")
            facts = {"subject": {"guidance_scale": 2.0 if scale is None else scale}, "seconds": {"per_image": 0.004}}
            (folder / "evaluations" / task.key).mkdir(parents=True)
            (folder / "evaluations" / task.key / "evaluation.json").write_text(json.dumps(facts))
            Image.new("RGB", (8 * 32 + 7 * 4, 32), "teal").save(folder / "evaluations" / task.key / "grid.png")
        (folder / "provenance.json").write_text(json.dumps({"training_seconds": 50.0 + (cell.seed or 0)}))
        result = {"training": cell.training, "status": "complete", "evaluations": evaluations}
        (folder / "result.json").write_text(json.dumps(result))


def _metrics(cell: Cell, settings: Any) -> dict[str, float]:
    if settings["subject"] == "real":
        return {FD: 4.7, CLIP: 67.0}
    steps = settings["num_inference_steps"]
    if settings["subject"] == "teacher":
        scale = settings.get("guidance_scale") or 2.0
        return {FD: 7.6 + 40 / steps**1.6 + (scale - 1.8) ** 2, CLIP: 64 + 2.2 * scale - 0.25 * scale**2}
    guidance = cell.config["model"]["losses"]["main"]["init_args"]["target"]["init_args"]["guidance"] or 2.0
    share = settings.get("snapshot") or 1.0
    worse = METHODS.get(cell.levels.get("method", ""), 1.0)
    fd = (8.0 + 12 / steps**1.5) * worse * share**-0.25 + 0.2 * (cell.seed or 0) + 0.6 * (guidance - 2.0) ** 2
    return {FD: fd, CLIP: 62 + 3 * guidance - 0.5 * guidance**2 - fd / 20}


RAW: dict[str, Any] = sweep(
    factors={
        "method": {
            "flash": {},
            "lcm": {"model.trajectory": "Forward"},
            "add": {"model.correction": False},
        }
    },
    baseline={"method": "flash"},
    budget={"passes": 20_000},
    columns=["real_data", "updates", "passes", "train_seconds", "image_seconds", "snapshot"],
    evaluate={
        "steps": {str(n): {"evaluation.num_inference_steps": n} for n in (4, 3, 2, 1)},
        "budget": {
            "under": {"steps": "3"},
            "all": {},
            "half": {"evaluation.snapshot": 0.5},
            "quarter": {"evaluation.snapshot": 0.25},
        },
    },
    references={
        "teacher-25": {"evaluation.subject": "teacher", "evaluation.num_inference_steps": 25},
        "teacher-n": {"evaluation.subject": "teacher"},
        "real": {"evaluation.subject": "real"},
    },
)


@pytest.fixture
def methods(tmp_path: Path) -> tuple[Plan, Path]:
    plan = plan_of(tmp_path, RAW)
    finish(plan, tmp_path / "study")
    return plan, tmp_path / "study"


def lines(canvas: Any) -> dict[str, Any]:
    """Label -> its line of points; bars and grid lines left out."""
    (axes,) = canvas.axes
    return {c.get_label(): c.lines[0] for c in axes.containers}


def test_the_lines_against_steps_are_the_means_and_the_bars_their_intervals(methods: tuple[Plan, Path]) -> None:
    plan, root = methods
    values = collect(plan, root)
    table = build_table(plan, values)
    canvas = against_steps(plan, table, values, FD)
    assert canvas is not None
    found = lines(canvas)
    assert list(found) == ["method = flash (baseline)", "method = lcm", "method = add", "teacher-n"]
    assert {line.get_label() for line in canvas.axes[0].get_lines()} >= {"teacher-25", "real"}
    for block in table.blocks:
        if block.evaluation.get("budget", "all") != "all":
            continue
        place = 4 - [4, 3, 2, 1].index(int(block.evaluation["steps"])) - 1
        for line in block.lines:
            if line.row.label in found:
                assert found[line.row.label].get_ydata()[place] == pytest.approx(line.figures[FD].mean)
    first: Any = canvas.axes[0].containers[0]
    (bars,) = first.lines[2]
    (_, low), (_, high) = bars.get_segments()[2]
    at_3 = [v.metrics[FD] for v in values if v.entry.row == "baseline" and v.entry.evaluation == plan.evaluations[1]]
    assert (low, high) == pytest.approx(interval_of_mean(at_3))
    assert canvas.axes[0].get_yscale() == "log", "the teacher at one step is many times worse"
    only_at_3 = [value for value in values if value.entry.evaluation.get("steps") == "3"]
    assert only_at_3 and against_steps(plan, table, only_at_3, FD) is None, "one number of steps is no line"


def test_the_curve_over_passes_has_the_cost_of_each_snapshot(methods: tuple[Plan, Path]) -> None:
    plan, root = methods
    values = collect(plan, root)
    canvas = against_passes(plan, build_table(plan, values), values, FD)
    assert canvas is not None and "3 steps" in canvas.axes[0].get_xlabel()
    configs = {cell.arm: cell.config for cell in plan.cells}
    for label, row in (("method = flash (baseline)", "baseline"), ("method = lcm", "method-lcm")):
        xs = [trained_passes(configs[row], share) for share in (0.25, 0.5, None)]
        assert list(lines(canvas)[label].get_xdata()) == xs and xs[-1] <= 20_000
        ys = list(lines(canvas)[label].get_ydata())
        assert ys == sorted(ys, reverse=True)
    drawn: list[Any] = list(canvas.axes[0].get_lines())
    flat = {line.get_label(): line.get_ydata()[0] for line in drawn}
    few = 7.6 + 40 / 3**1.6 + 0.04
    assert flat["teacher-n"] == pytest.approx(few), "the teacher at the students' steps"


def test_the_curve_over_passes_ends_with_the_end_and_not_with_the_chosen_student(tmp_path: Path) -> None:
    """Both stand at the same passes: pooled they would be twice as many values as there are seeds."""
    raw = deepcopy(RAW)
    raw["select"] = {"snapshots": [0.5, 1], "on": FD, "num_images": 64}
    raw["evaluate"]["budget"] |= {"all": {"evaluation.snapshot": 1}, "chosen": {}}
    plan = plan_of(tmp_path, raw)
    finish(plan, tmp_path / "study")
    for cell in plan.cells:
        file = tmp_path / "study" / cell.folder / "result.json"
        result = json.loads(file.read_text())
        for task in cell.tasks:
            if task.select is not None:
                result["evaluations"][task.key]["metrics"][FD] -= 5.0
        file.write_text(json.dumps(result))
    values = collect(plan, tmp_path / "study")
    table = build_table(plan, values)
    canvas = against_passes(plan, table, values, FD)
    (all_of_it,) = [block for block in table.blocks if block.title == "steps = 3, budget = all"]
    for line in all_of_it.lines:
        if line.row.kind == "arm":
            assert lines(canvas)[line.row.label].get_ydata()[-1] == pytest.approx(line.figures[FD].mean)


def test_facts_stand_in_the_table(methods: tuple[Plan, Path]) -> None:
    plan, root = methods
    table = build_table(plan, collect(plan, root))
    rows = {(line.row.name, block.title): line.facts for block in table.blocks for line in block.lines}
    forward, half = rows["method-lcm", "steps = 1"], rows["baseline", "steps = 3, budget = half"]
    assert (forward["real_data"], half["real_data"], rows["teacher-25", "steps = 4"]["real_data"]) == ("yes", "no", "")
    updates = next(c for c in plan.cells if c.arm == "baseline").config["train"]["student_updates"]
    assert half["updates"] == f"{updates // 2:,}" and half["snapshot"] == "0.5"
    assert forward["train_seconds"] == "51" and forward["image_seconds"] == "4.0"


def test_guidance_gives_the_teacher_and_its_students_a_curve_each(tmp_path: Path) -> None:
    raw = sweep(
        factors={
            "guidance": {"2": {}, "1": {GUIDANCE: 1.0}, "3": {GUIDANCE: 3.0}},
            "other": {"a": {}, "b": {"train.updates": 9}},
        },
        baseline={"guidance": "2", "other": "a"},
        references={
            f"teacher-{g}": {"evaluation.subject": "teacher", "evaluation.num_inference_steps": 25,
                             "evaluation.guidance_scale": None if g == 2 else g}
            for g in (1, 2, 3, 5)
        },
    )  # fmt: skip
    plan = plan_of(tmp_path, raw)
    finish(plan, tmp_path / "study")
    values = collect(plan, tmp_path / "study")
    canvas = guidance_curves(plan, build_table(plan, values), values, tmp_path / "study")
    assert canvas is not None
    curves: dict[Any, Any] = {line.get_label(): line for line in canvas.axes[0].get_lines()}
    assert set(curves) == {"teacher, 25 steps", "students, 3 steps"}
    assert len(curves["teacher, 25 steps"].get_xdata()) == 4
    assert len(curves["students, 3 steps"].get_xdata()) == 3, "the other factor's level is no point of the curve"
    first = [v for v in values if v.entry.row == "guidance-1"]
    assert curves["students, 3 steps"].get_ydata()[0] == pytest.approx(sum(v.metrics[FD] for v in first) / 3)
    assert {text.get_text() for text in canvas.axes[0].texts} == {"1", "2", "3", "5"}
    two = [v for v in values if v.entry.row in ("teacher-2", "teacher-3", "baseline", "guidance-3")]
    assert guidance_curves(plan, build_table(plan, two), two, tmp_path / "study") is None, "two scales are no curve"


def test_many_arms_are_pale_but_for_the_best_and_those_that_leave_the_baseline_furthest(tmp_path: Path) -> None:
    factors = {"g": {str(i): {GUIDANCE: 2.0 + i / 10} if i else {} for i in range(12)}}
    evaluate = {"steps": {str(n): {"evaluation.num_inference_steps": n} for n in (3, 1)}}
    plan = plan_of(tmp_path, sweep(factors=factors, baseline={"g": "0"}, evaluate=evaluate))
    finish(plan, tmp_path / "study")
    values = collect(plan, tmp_path / "study")
    canvas = against_steps(plan, build_table(plan, values), values, FD)
    assert canvas is not None
    labels = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert labels[0] == "g = 0 (baseline)" and labels[-1] == f"{11 - (MOST_COLOURED - 1)} other arms"
    means = {g: [mean(v.metrics[FD] for v in values if v.entry.row == f"g-{g}" and v.entry.evaluation == e)
                 for e in plan.evaluations] for g in range(1, 12)}  # fmt: skip
    best = {min(means, key=lambda g: means[g][k]) for k in (0, 1)}
    furthest = [g for g in range(11, 0, -1) if g not in best][: MOST_COLOURED - 1 - len(best)]
    assert set(labels[1:-1]) == {f"g = {g}" for g in [*best, *furthest]}


def test_all_figures_are_written_named_and_the_same_again(methods: tuple[Plan, Path]) -> None:
    plan, root = methods
    values = collect(plan, root)
    table = build_table(plan, values)
    drawn = draw(plan, table, root)
    names = [figure.path.stem for figure in drawn]
    assert names[:2] == ["differences", "differences-1"] and {"steps-fd-judge", "passes-fd-judge", "samples"} <= set(
        names
    )
    assert all("512" in figure.caption for figure in drawn if not figure.path.stem.startswith("samples"))
    before = {figure.path: figure.path.read_bytes() for figure in drawn}
    assert all(before[figure.path] == figure.path.read_bytes() for figure in draw(plan, table, root, values))
    assert paired_dots(table, table.blocks[0], 3) is not None


def test_prompts_stand_above_the_columns_where_all_rows_share_them(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    from workbench.study.figures.samples import compose

    def strip(name: str, prompts: list[str]) -> tuple[str, Path]:
        info = PngInfo()
        info.add_itxt("prompts", "\n".join(prompts))
        Image.new("RGB", (8 * 96 + 7 * 4, 96), "teal").save(tmp_path / f"{name}.png", pnginfo=info)
        return name, tmp_path / f"{name}.png"

    same, other = ["a white coat at the top of a green background"] * 8, ["a bag"] * 8

    def height(*strips: tuple[str, Path]) -> int:
        import io

        return Image.open(io.BytesIO(compose(strips))).height

    assert height(strip("a", same), strip("b", same)) > height(strip("a", same), strip("b", other)) >= 2 * 100
