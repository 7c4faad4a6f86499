"""Whole searches with real processes: counts, kills, pruning, resume, and what comes out."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from tests.study.search.fakes import (
    optuna_states,
    raw_search,
    read,
    root_of,
    run,
    standings,
    start,
    starts,
    states,
    steps,
    until,
    values,
    write,
)
from tests.study.test_engine import processes, workers
from tests.study.test_postgres import server  # noqa: F401
from workbench.notebook.study import open_study
from workbench.report import main as report
from workbench.study import plan as plans
from workbench.study.results import cell_result

UPPER = 15.5  # of the distance half-way: some points of the space are above, some below


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of one worker that nobody disturbs."""
    path = write(tmp_path_factory.mktemp("calm"), raw_search(trials=8))
    run(path, "--workers", "1")
    return path


def test_one_worker_runs_every_trial_once_and_confirms_the_best_on_other_seeds(calm: Path) -> None:
    root = root_of(calm)
    assert len(standings(calm)) == 8 and states(calm)["complete"] + states(calm)["diverged"] == 8
    assert starts(calm) == {f"trial-{n:03d}": 1 for n in range(8)}
    best = min((s for s in standings(calm) if s.scores), key=lambda s: s.scores["FD[judge]"]).trial
    below = root / "tune-confirm"
    plan = plans.load(below)
    assert [row.name for row in plan.rows] == ["baseline", best.name] and plan.seeds == (1, 2)
    for cell in plan.cells:
        assert cell_result(plan, cell, below) is not None
        assert {task.settings["prompts"] for task in cell.tasks} == {"report"}
    assert {t.settings["prompts"] for s in standings(calm) for t in s.trial.cell.tasks} == {"tune"}
    assert "Confirmed on 2 other seeds and the report half" in (root / "table.md").read_text()


def test_the_verdict_is_about_the_number_of_steps_that_was_searched(tmp_path: Path) -> None:
    """Whatever the confirmation is scored at as well, and in whichever order."""
    steps = {str(n): {"evaluation.num_inference_steps": n} for n in (3, 2, 1)}
    path = write(tmp_path, raw_search(trials=2, evaluate={"steps": steps}))
    run(path, "--workers", "2")
    for name in ("table.md", "best.yaml"):
        text = (root_of(path) / name).read_text()
        assert "Confirmed on 2 other seeds and the report half, steps = 2: FD[judge]" in text


def test_a_trials_folder_is_a_cell_like_others(calm: Path) -> None:
    for found in standings(calm):
        folder = root_of(calm) / found.trial.cell.folder
        assert folder.parent.name == found.trial.name and folder.name.startswith("seed0-")
        assert {"config.yaml", "evaluations.yaml", "provenance.json", "result.json"} <= set(os.listdir(folder))
        written = yaml.safe_load((folder / "config.yaml").read_text())
        assert written["train"]["learning_rate"] == found.trial.values["train.learning_rate"]
        assert written["model"]["shift"]["kind"] == found.trial.values["shift"]
        assert ("factor" in found.trial.values) == (found.trial.values["shift"] == "scale")


def test_the_best_configuration_is_written_for_training(calm: Path) -> None:
    best = min((s for s in standings(calm) if s.scores), key=lambda s: s.scores["FD[judge]"])
    text = (root_of(calm) / "best.yaml").read_text()
    assert text.splitlines()[2].startswith("# Confirmed on 2 other seeds and the report half: FD[judge] ")
    written = yaml.safe_load(text)
    assert written["evaluation"]["prompts"] == "report"
    assert written["train"] == best.trial.cell.config["train"] and written["model"] == best.trial.cell.config["model"]


def test_the_same_command_again_does_nothing(calm: Path) -> None:
    names = ("table.md", "trials.csv", "best.yaml", "plan.json", "figures/history.png", "figures/slices.png")
    before = {name: (root_of(calm) / name).read_bytes() for name in names}
    run(calm)
    assert starts(calm) == {f"trial-{n:03d}": 1 for n in range(8)}
    assert {name: (root_of(calm) / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_more_trials_go_on_from_the_ones_that_are_there(calm: Path, tmp_path: Path) -> None:
    shutil.copytree(root_of(calm), tmp_path / "results" / "tune")
    path = write(tmp_path, raw_search(trials=9))
    run(path, "--workers", "1")
    assert values(path)[:8] == values(calm) and len(values(path)) == 9
    assert sum(starts(path).values()) == 9


def test_another_space_is_another_search(calm: Path, tmp_path: Path) -> None:
    shutil.copytree(root_of(calm), tmp_path / "results" / "tune")
    space = {"train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
    out = run(write(tmp_path, raw_search(trials=8, space=space)), status=2)
    assert "trial-000: is a trial of another search" in out and "--fresh" in out and "Traceback" not in out


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_more_workers_run_as_many_trials_each_once(tmp_path: Path, count: int) -> None:
    path = write(tmp_path, raw_search(trials=10, confirm="none"))
    run(path, "--workers", str(count))
    assert starts(path) == {f"trial-{n:03d}": 1 for n in range(10)}
    assert len({tuple(sorted(v.items(), key=str)) for v in values(path)}) == 10, "no point twice"
    assert sum(optuna_states(path).values()) == 10


def test_a_lost_record_is_rebuilt_and_the_search_goes_on_as_if_nothing_were(calm: Path, tmp_path: Path) -> None:
    shutil.copytree(root_of(calm), tmp_path / "results" / "tune")
    path = write(tmp_path, raw_search(trials=8))
    for number in (6, 7):
        shutil.rmtree(root_of(path) / f"trial-{number:03d}")
    (root_of(path) / "study.journal").unlink()
    run(path, "--workers", "1")
    assert values(path) == values(calm), "the same points, proposed from the files"
    assert optuna_states(path) == optuna_states(calm)


def test_kills_of_workers_and_of_the_search_lose_and_repeat_nothing(tmp_path: Path) -> None:
    raw = raw_search(trials=7, confirm="none")
    path = write(tmp_path, raw, sleep=0.1)
    generator, kills = random.Random(3), 0
    while kills < 4:
        process = start(path, "--workers", "1")
        while process.poll() is None and kills < 4:
            time.sleep(generator.uniform(0.4, 1.2))
            alive = workers(path)
            if kills % 2 == 0 and alive:
                os.kill(alive[0], signal.SIGKILL)
                kills += 1
            elif process.poll() is None and starts(path):
                process.kill()
                kills += 1
        process.communicate() if kills < 4 else None
        if process.poll() == 0:
            break
        if kills == 4 and process.poll() is None:
            process.kill()
        process.wait()
        until(lambda: processes(path) == {}, seconds=20)
    assert kills >= 3
    out = run(path, "--workers", "1")
    assert len(standings(path)) == 7 and set(states(path)) <= {"complete", "diverged"}, out
    assert sum(optuna_states(path).values()) == 7
    for name, made in steps(path).items():
        assert made == sorted(set(made)), f"{name} repeated a step that its checkpoint had"
    undisturbed = tmp_path / "calm"
    undisturbed.mkdir()
    twin = write(undisturbed, raw)
    run(twin, "--workers", "1")
    assert values(path) == values(twin), "the same search, killed or not"


def pruning(folder: Path, **run_keys: Any) -> Path:
    raw = raw_search(
        trials=6,
        confirm="none",
        pruner={"class_path": "ThresholdPruner", "upper": UPPER},
        intermediate={"at": [0.5], "num_images": 16},
        run={"retries": 0, **run_keys},
        space={"train.learning_rate": {"low": 1e-5, "high": 9e-3, "log": True}},
    )
    return write(folder, raw, updates=10)


def check_pruned(path: Path, storage: str | None = None) -> None:
    """Trials whose value at half of the way was too high stopped there, and no other did."""
    found = standings(path)
    assert {s.state for s in found} == {"complete", "pruned"} and len(found) == 6
    for s in found:
        ((percent, value),) = s.looks
        assert percent == 50 and (s.state == "pruned") == (value > UPPER)
        made = len((root_of(path) / s.trial.cell.folder / "steps.txt").read_text().split())
        assert made < 10 if s.state == "pruned" else made == 10
        result = read(root_of(path) / s.trial.cell.folder / "result.json")
        if s.state == "pruned":
            assert result["status"] == "pruned" and result["value"] == value
        wanted = yaml.safe_load((root_of(path) / s.trial.cell.folder / "evaluations.yaml").read_text())
        settings = wanted["intermediate"]["evaluation"]
        assert settings["prompts"] == "tune" and settings["num_images"] == 16 and settings["teacher_steps"] == 0
    assert optuna_states(path, storage) == {"COMPLETE": states(path)["complete"], "PRUNED": states(path)["pruned"]}


def test_pruning_is_the_same_on_postgresql(tmp_path: Path, server: str) -> None:  # noqa: F811
    path = pruning(tmp_path)
    run(path, "--workers", "2", "--storage", server, LOOK_SECONDS="0.4")
    check_pruned(path, server)
    for name in optuna.get_all_study_names(storage=server):
        optuna.delete_study(study_name=name, storage=server)
    run(path, "--storage", server)
    assert set(starts(path).values()) == {1}, "a deleted study is made of the files again"
    check_pruned(path, server)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("NSGAIISampler", {"class_path": "SuccessiveHalvingPruner", "min_resource": 25}),
        ("RandomSampler", {"class_path": "HyperbandPruner", "min_resource": 25, "reduction_factor": 2}),
        ("TPESampler", {"class_path": "PercentilePruner", "percentile": 50.0, "n_startup_trials": 2}),
    ],
)
def test_other_samplers_and_pruners_end_every_trial(sampler: str, pruner: dict[str, Any], tmp_path: Path) -> None:
    looks = {"at": [0.25, 0.5, 0.75], "num_images": 16}
    raw = raw_search(trials=8, confirm="none", sampler=sampler, pruner=pruner, intermediate=looks)
    path = write(tmp_path, raw, updates=8)
    run(path, "--workers", "2", LOOK_SECONDS="0.1")
    assert len(standings(path)) == 8 and {s.state for s in standings(path)} <= {"complete", "pruned", "diverged"}
    assert set(starts(path).values()) == {1} and "complete" in states(path)


def test_pruning_stops_a_training_on_its_way_and_counts_it(tmp_path: Path) -> None:
    path = pruning(tmp_path)
    run(path, "--workers", "2", LOOK_SECONDS="0.4")
    check_pruned(path)
    run(path)
    assert set(starts(path).values()) == {1}, "a pruned trial is over"
    (root_of(path) / "study.journal").unlink()
    run(path)
    check_pruned(path)


def test_pruning_stops_every_rank_of_a_group(tmp_path: Path) -> None:
    path = pruning(tmp_path, devices=2)
    run(path, "--workers", "1", LOOK_SECONDS="0.4")
    check_pruned(path)
    ranks = {s.trial.name: (root_of(path) / s.trial.cell.folder / "rank1.txt").read_text() for s in standings(path)}
    assert ranks == {s.trial.name: "stopped" if s.state == "pruned" else "over" for s in standings(path)}
    assert processes(path) == {}


def test_several_objectives_give_a_front_and_confirm_its_members(tmp_path: Path) -> None:
    raw = raw_search(trials=8, maximise="CLIP[wardrobe]", confirm={"seeds": 1, "most": 2}, metrics=None)
    path = write(tmp_path, raw)
    out = run(path, "--workers", "2")
    front = [s for s in standings(path) if s.scores and not any(better(o.scores, s.scores) for o in standings(path))]
    text = (root_of(path) / "table.md").read_text()
    assert len(front) > 1 and all(f"{s.trial.name} (Pareto)" in text for s in front), out
    confirmed = [row.name for row in plans.load(root_of(path) / "tune-confirm").rows]
    assert len(confirmed) == 3 and set(confirmed[1:]) <= {s.trial.name for s in front}
    assert (root_of(path) / "figures" / "pareto.png").stat().st_size > 1000


def better(a: Any, b: Any) -> bool:
    if not a:
        return False
    pairs = [(a["FD[judge]"], b["FD[judge]"]), (-a["CLIP[wardrobe]"], -b["CLIP[wardrobe]"])]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


@pytest.mark.slow
def test_a_trial_that_diverges_is_a_result(tmp_path: Path) -> None:
    space = {"train.learning_rate": {"low": 8.9e-3, "high": 9.5e-3}}
    path = write(tmp_path, raw_search(trials=4, space=space, confirm="none"))
    run(path, "--workers", "1")
    assert states(path)["diverged"] >= 1 and sum(states(path).values()) == 4
    assert "diverged" in (root_of(path) / "table.md").read_text()


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, raw_search(trials=3, confirm="none"), sleep=0.2)
    process = start(path, "--workers", "1")
    until(lambda: len(steps(path).get("trial-000", [])) >= 2)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 130 and "save first" in out, out
    assert states(path) == {"open": 1}
    run(path, "--workers", "1")
    assert len(standings(path)) == 3 and all(made == list(range(1, 7)) for made in steps(path).values())


def test_report_notebook_and_copy_read_the_folder(calm: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "reference"
    assert report([str(root_of(calm)), "--copy-to", str(target)]) == 0
    assert "8 trials" in capsys.readouterr().out
    for name in ("table.md", "trials.csv", "best.yaml", "tune-confirm/table.md"):
        assert (target / name).read_bytes() == (root_of(calm) / name).read_bytes()
    assert not list(target.rglob("steps.txt")) and str(tmp_path.parent) not in (target / "search.json").read_text()
    study = open_study(root_of(calm))
    assert len(study.plan.rows) == 8
    confirmed = open_study(root_of(calm) / "tune-confirm")
    assert confirmed.table.columns[0].metric == "FD[judge]"


def test_plan_prints_the_cost_and_starts_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, raw_search(trials=24, pruner="MedianPruner", confirm={"seeds": 3}))
    out = run(path, "--plan")
    assert "24 of 24 trials, at most" in out and "6 trainings" in out and "seeds 1, 2, 3" in out
    assert not (tmp_path / "results").exists()
