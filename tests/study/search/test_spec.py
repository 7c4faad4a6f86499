"""What a search file may say, and what it is told where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import resolve
from tests.study.search.fakes import SPACE, raw_search, run, search_of, write
from workbench.study.errors import SweepError
from workbench.study.search.folder import read_folder, write_folder
from workbench.study.search.planning import TrialPlanner
from workbench.study.search.spec import parse_search

POINT = {"train.learning_rate": 1e-3, "model.decay": 0.8, "shift": "none"}
LR = {"train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}


def message(folder: Path, **changes: Any) -> str:
    with pytest.raises(SweepError) as caught:
        search_of(folder, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minimise": "aling/colour"}, 'Did you mean "align/colour"?'),
        ({"minimise": "FD"}, "name the extractor, as FD[judge]"),
        ({"minimise": None}, "say what is best"),
        ({"maximise": "FD[judge]"}, "named twice"),
        ({"sampler": "TPESamplr"}, 'Did you mean "TPESampler"?'),
        ({"sampler": "GridSampler"}, "several workers repeat"),
        ({"sampler": "CmaEsSampler"}, "pickle"),
        ({"sampler": {"class_path": "TPESampler", "n_startup_trial": 3}}, 'Did you mean "n_startup_trials"?'),
        ({"pruner": "MedianPrunner"}, 'Did you mean "MedianPruner"?'),
        ({"pruner": {"class_path": "MedianPruner", "n_min_trials": 0}}, "MedianPruner"),
        ({"pruner": "MedianPruner", "maximise": "CLIP[wardrobe]", "metrics": None}, "Remove the pruner"),
        ({"intermediate": {"at": [0.5], "images": 3}}, "no key 'images'"),
        ({"intermediate": {"at": [0.5, 0.2]}}, "growing shares"),
        ({"trials": 0}, "search.trials"),
        ({"confirm": {"seeds": [0, 1]}}, "not 0, with which the trials train"),
        ({"factors": {"x": {"a": {}}}}, "exclude each other"),
        ({"set": {"evaluation.prompts": "report"}}, "chooses on the tune half"),
        ({"metrics": {"FD[judge]": "max"}}, "is max here, and min under search"),
        ({"space": {}}, "at least one parameter"),
        ({"space": {"lr": {"low": 1, "high": 2}}}, "which key of the configuration"),
        ({"space": {"train.learning_rate": {"low": 2, "hihg": 3}}}, 'Did you mean "high"?'),
        ({"space": {"train.learning_rate": {"low": 3.0, "high": 2.0}}}, "low must be below high"),
        ({"space": {"train.learning_rate": {"low": 0.0, "high": 2.0, "log": True}}}, "above 0 on a logarithmic"),
        ({"space": {"train.updates": {"low": 1, "high": 2, "step": 0.5}}}, "step is not"),
        ({"space": {"model.shift": {"choices": ["none"]}}}, "at least two"),
        ({"space": {"seed.x": {"low": 1, "high": 2}, **LR}}, "cannot choose seed.x"),
        ({"space": {"evaluation.num_images": {"low": 8, "high": 9}, **LR}}, "cannot choose evaluation"),
        ({"space": {**LR, "again": {"key": "train.learning_rate", "low": 0.1, "high": 0.2}}}, "write the same key"),
        ({"space": {"train.updates": {"low": 1, "high": 3}}}, "the space has 3 points"),
        ({"space": {**LR, "model.decay": {"low": 0.1, "high": 0.9, "under": {"shfit": "a"}}}}, "no factor 'shfit'"),
        ({"start": {"shift": "none"}}, "a list of points"),
        ({"start": [{"shfit": "none"}]}, 'Did you mean "shift"?'),
        ({"start": [{**POINT, "shift": "both"}]}, "must be none, scale, but is 'both'"),
        ({"start": [{**POINT, "model.decay": 1.5}]}, "must be 0.5 to 0.99, but is 1.5"),
        ({"start": [{**POINT, "factor": 0.5}]}, "factor exists only with shift = scale"),
        ({"start": [{**POINT, "shift": "scale"}]}, "no value of factor"),
        ({"start": [POINT, POINT]}, "no point runs twice"),
        ({"start": [POINT], "space": {"train.updates": {"low": 1, "high": 9}}}, "no parameter 'train.learning_rate'"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_a_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in message(tmp_path, **changes)


def test_corners_hold_every_bound_and_every_choice_under_what_it_needs(tmp_path: Path) -> None:
    corners = search_of(tmp_path).space.corners()
    for name, spec in SPACE.items():
        bounds = list(spec["choices"]) if "choices" in spec else [spec["low"], spec["high"]]
        assert {corner[name] for corner in corners if name in corner} == set(bounds)
    assert all(("factor" in corner) == (corner["shift"] == "scale") for corner in corners)


def test_many_parameters_are_tried_one_at_a_time(tmp_path: Path) -> None:
    many = {f"p{n}": {"key": f"model.p{n}", "low": 0.0, "high": 1.0} for n in range(10)}
    nested = {
        "kind": {"choices": {"a": {"model.kind": "a"}, "b": {"model.kind": "b"}}},
        "inner": {"under": {"kind": "b"}, "choices": {"c": {"model.inner": "c"}, "d": {"model.inner": "d"}}},
        "deep": {"under": {"inner": "d"}, "key": "model.deep", "low": 2, "high": 5},
    }
    corners = search_of(tmp_path, space={**many, **nested}).space.corners()
    assert len(corners) < 40
    assert {corner["deep"] for corner in corners if "deep" in corner} == {2, 5}
    for name in many:
        assert {corner[name] for corner in corners} == {0.0, 1.0}


def test_a_corner_that_the_parser_refuses_is_found_before_anything_starts(tmp_path: Path) -> None:
    factor = {**SPACE, "factor": {**SPACE["factor"], "high": 1.5}}
    out = run(write(tmp_path, raw_search(space=factor)), status=2)
    assert "search.space: at " in out and "factor = 1.5" in out and "between 0 and 1" in out
    assert "Traceback" not in out and len(out.strip().splitlines()) == 1
    assert not (tmp_path / "results").is_dir() or not list((tmp_path / "results").glob("tune/*"))


def test_an_unknown_key_of_the_configuration_is_found_before_anything_starts(tmp_path: Path) -> None:
    out = run(write(tmp_path, raw_search(space={"train.learning_rat": {"low": 0.1, "high": 0.2}})), status=2)
    assert "there is no key train.learning_rat" in out and len(out.strip().splitlines()) == 1


def test_an_objective_of_an_extractor_that_is_not_loaded_is_refused(tmp_path: Path) -> None:
    raw = raw_search(minimise="FD[other]")
    search = parse_search(raw, write(tmp_path, raw))

    def with_extractors(base: Path, overrides: Any) -> dict[str, Any]:
        config = resolve(base, overrides)
        return {**config, "evaluation": {**config["evaluation"], "extractors": ["judge"]}}

    with pytest.raises(SweepError, match="no evaluation loads"):
        TrialPlanner(search, with_extractors).check()


def test_search_json_gives_the_search_back_in_its_order(tmp_path: Path) -> None:
    search = search_of(tmp_path, metrics={"recall[judge]": "max", "CLIP[wardrobe]": "max"})
    write_folder(tmp_path, search, "abc")
    again, key = read_folder(tmp_path)
    assert key == "abc" and again.space == search.space and again.study == search.study
    assert list(again.sweep.metrics) == ["FD[judge]", "recall[judge]", "CLIP[wardrobe]"]
    assert (again.trials, again.sampler, again.confirm) == (search.trials, search.sampler, search.confirm)


def test_a_file_of_overrides_is_written_out_for_whoever_has_it_not(tmp_path: Path) -> None:
    (tmp_path / "method.yaml").write_text("base: base.yaml\nset: {model.shift: scale}\n")
    space = {"shift": {"choices": {"none": {}, "scale": {"file": "method.yaml"}}}, **LR}
    search = search_of(tmp_path, space=space, set={"file": "method.yaml", "train.updates": 4})
    root = tmp_path / "elsewhere"
    root.mkdir()
    write_folder(root, search, "abc")
    (tmp_path / "method.yaml").unlink()
    again, _ = read_folder(root)
    assert (
        again.space.overrides({"shift": "scale"})
        == {"model.shift": "scale"}
        == search.space.overrides({"shift": "scale"})
    )
    assert again.sweep.set == {"model.shift": "scale", "train.updates": 4}


def test_a_trial_is_hashed_as_an_arm_of_an_ablation_would_be(tmp_path: Path) -> None:
    """The same configuration written as a level has the same training: a search and a sweep agree on what is what."""
    from tests.study.fakes import sweep
    from workbench.study.planning import make_plan
    from workbench.study.sweep_file import parse_sweep

    raw = raw_search()
    path = write(tmp_path, raw)
    values = {"train.learning_rate": 3e-4, "model.decay": 0.7, "shift": "scale", "factor": 0.5}
    trial = TrialPlanner(parse_search(raw, path), resolve).trial(4, values).cells[0]
    arm = {"model.shift": {"kind": "scale", "factor": 0.5}, "train.learning_rate": 3e-4, "model.decay": 0.7}
    ablation = sweep(factors=None, baseline=None, arms={"one": arm}, seeds=1, set={"evaluation.prompts": "tune"})
    cell = make_plan(parse_sweep(ablation, path), resolve).cells[0]
    assert (trial.training, [t.key for t in trial.tasks]) == (cell.training, [t.key for t in cell.tasks])


def test_the_confirmation_may_score_at_other_values_than_the_trials(tmp_path: Path) -> None:
    """The objective is at one number of images, the confirmation at two: what `set` says is the trials'."""
    levels = {"few": {"evaluation.num_images": 16}, "many": {"evaluation.num_images": 32}}
    search = search_of(tmp_path, set={"evaluation.num_images": 24}, evaluate={"images": levels})
    trial = TrialPlanner(search, resolve).trial(0, POINT)
    assert [task.settings["num_images"] for task in trial.cells[0].tasks] == [24]
    assert [list(factor.levels) for factor in search.sweep.evaluate] == [["few", "many"]]
