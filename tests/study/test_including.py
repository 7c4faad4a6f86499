"""Levels that are files of overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.study.fakes import plan_of, sweep
from workbench.study.errors import SweepError
from workbench.study.including import flat


def method(folder: Path, name: str, content: Any) -> None:
    (folder / "methods").mkdir(exist_ok=True)
    (folder / "methods" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_a_level_from_a_file_is_the_level_written_out(tmp_path: Path) -> None:
    content = {"base": "../base.yaml", "model": {"trajectory": "Forward", "shift": {"factor": 0.4}}, "train.updates": 5}
    method(tmp_path, "lcm", content)
    written = {"model.trajectory": "Forward", "model.shift.factor": 0.4, "train.updates": 5}
    plans = [
        plan_of(tmp_path, sweep(factors={"method": {"ours": {}, "lcm": level}}, baseline={"method": "ours"}))
        for level in ({"include": "methods/lcm.yaml"}, written)
    ]
    assert plans[0] == plans[1], "hashed by what it says, wherever it says it"


def test_keys_beside_the_file_and_later_files_win(tmp_path: Path) -> None:
    method(tmp_path, "a", {"train": {"updates": 5}, "model": {"trajectory": "Forward"}})
    method(tmp_path, "b", {"train": {"updates": 6}})
    arms = {
        "both": {"include": ["methods/a.yaml", "methods/b.yaml"]},
        "own": {"include": "methods/a.yaml", "train.updates": 7},
        "plain": {},
    }
    plan = plan_of(tmp_path, sweep(factors=None, baseline="plain", arms=arms, seeds=1))
    found = {c.arm: (c.config["train"]["updates"], c.config["model"]["trajectory"]) for c in plan.cells}
    assert found == {"both": (6, "Forward"), "own": (7, "Forward"), "plain": (3, "Backward")}


def test_a_methods_own_length_gives_way_to_the_budget(tmp_path: Path) -> None:
    method(tmp_path, "long", {"train": {"student_updates": 10_000}})
    factors = {"method": {"ours": {}, "long": {"include": "methods/long.yaml", "model.trajectory": "Forward"}}}
    raw = sweep(factors=factors, baseline={"method": "ours"}, budget={"passes": 1000})
    plan = plan_of(tmp_path, raw)
    assert {c.config["train"]["student_updates"] for c in plan.cells} == {1000 // 128, 1000 // 96}


def test_classes_stay_whole() -> None:
    raw = {"model": {"losses": {"gan": {"class_path": "A", "init_args": {"r1": 1}}, "old": None}, "steps": [1, 2]}}
    assert flat(raw) == {
        "model.losses.gan": {"class_path": "A", "init_args": {"r1": 1}},
        "model.losses.old": None,
        "model.steps": [1, 2],
    }


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ({"include": "methods/lmc.yaml"}, "there is no file"),
        ({"include": 3}, "must be a file's name"),
        ({"include": "methods/nested.yaml"}, "includes another file"),
        ({"include": "methods/broken.yaml"}, "is no valid YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, level: dict[str, Any], message: str) -> None:
    method(tmp_path, "nested", {"include": "lcm.yaml"})
    (tmp_path / "methods" / "broken.yaml").write_text("a: [")
    with pytest.raises(SweepError) as caught:
        plan_of(tmp_path, sweep(factors={"method": {"ours": {}, "x": level}}, baseline={"method": "ours"}))
    assert message in str(caught.value)
