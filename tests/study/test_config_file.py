"""A level that is a configuration file: its overrides, with the level's own after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.study.config_file import with_files
from workbench.study.errors import SweepError
from workbench.study.sweep_file import parse_sweep


def write(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_its_own_keys_win_and_what_belonged_to_a_replaced_part_goes(tmp_path: Path) -> None:
    write(
        tmp_path,
        base={"seed": 3},
        method={"base": "base.yaml", "set": {"model.trajectory": {"class_path": "Staged", "stages": [4, 2]}, "a.b": 1}},
        variant={"base": "method.yaml", "set": {"a.b": 2, "a.c": 5}},
    )
    deeper = with_files({"file": "variant.yaml", "model.trajectory.stages": [8, 4]}, "here", tmp_path)
    assert list(deeper.items()) == [
        ("model.trajectory", {"class_path": "Staged", "stages": [4, 2]}), ("a.b", 2), ("a.c", 5),
        ("model.trajectory.stages", [8, 4]),
    ]  # fmt: skip
    other = with_files({"model.trajectory": "Forward", "file": "method.yaml"}, "here", tmp_path)
    assert dict(other) == {"model.trajectory": "Forward", "a.b": 1}
    assert with_files({"a.b": 1}, "here", tmp_path) == {"a.b": 1}


def test_it_may_stand_wherever_overrides_stand(tmp_path: Path) -> None:
    write(tmp_path, base={}, method={"base": "base.yaml", "set": {"a.b": 1}})
    sweep = parse_sweep(
        {
            "base": "base.yaml",
            "set": {"file": "method.yaml", "c": 2},
            "factors": {"method": {"mine": {"file": "method.yaml", "d": 3}, "none": {}}},
            "baseline": {"method": "none"},
            "arms": {"extra": {"method": "mine", "file": "method.yaml", "e": 4}},
            "metrics": {"FD[judge]": "min"},
        },
        tmp_path / "study.yaml",
    )
    assert sweep.set == {"a.b": 1, "c": 2}
    assert sweep.factors[0].levels["mine"] == {"a.b": 1, "d": 3}
    assert sweep.arms["extra"] == {"a.b": 1, "method": "mine", "e": 4}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("none.yaml", "none.yaml: cannot be read"),
        (3, "must name a configuration file"),
        ("base.yaml", "complete configuration"),
        ("loop.yaml", "build on each other"),
        ("wrong.yaml", "set: a mapping"),
    ],
)
def test_what_is_wrong_names_the_level_or_the_file(tmp_path: Path, given: Any, says: str) -> None:
    write(tmp_path, base={"seed": 3}, loop={"base": "loop.yaml"}, wrong={"base": "base.yaml", "set": [1]})
    with pytest.raises(SweepError, match=says):
        with_files({"file": given}, "factors.method.mine", tmp_path)
