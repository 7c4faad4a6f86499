"""Hostile search files, and folders of searches that somebody has written into: one line each, and nothing runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.security.watch import CANARY, watching
from tests.study.search.fakes import raw_search, root_of, run, write
from workbench.report import main as report
from workbench.study.errors import SweepError
from workbench.study.search.spec import parse_search

SHIFT = "model.shift"
FILES: dict[str, dict[str, Any]] = {  # changes of a sound search
    "a sampler from elsewhere": {"sampler": {"class_path": f"{CANARY}_module.Sampler"}},
    "a sampler that is a function": {"sampler": "os.system"},
    "a sampler's module": {"sampler": "optuna.samplers._base.os.system"},
    "a sampler that runs": {"sampler": {"class_path": "PartialFixedSampler", "base_sampler": "os.system"}},
    "a sampler of arguments that run": {"sampler": {"class_path": "TPESampler", "gamma": f"{CANARY}.gamma"}},
    "a sampler's constraints": {"sampler": {"class_path": "TPESampler", "constraints_func": "os.system"}},
    "a pruner from elsewhere": {"pruner": {"class_path": f"{CANARY}.Pruner"}},
    "a pruner around another": {"pruner": {"class_path": "PatientPruner", "wrapped_pruner": f"{CANARY}.P"}},
    "a pruner of a list": {"pruner": ["os.system"]},
    "a dunder": {"pruner": "__class__"},
    "a parameter elsewhere": {"space": {"../../x": {"key": "train.learning_rate", "low": 1e-5, "high": 1e-3}}},
    "a key that is none": {"space": {"x": {"key": "__class__.__init__", "low": 1, "high": 2}}},
    "a range of words": {"space": {"train.learning_rate": {"low": "os.system", "high": 1}}},
    "a range without end": {"space": {"train.learning_rate": {"low": 1e-5, "high": float("inf")}}},
    "a range of more than memory": {"space": {"train.updates": {"low": 0, "high": 2**70, "step": 1}}},
    "a choice elsewhere": {"space": {"s": {"choices": {"../../x": {SHIFT: "none"}, "b": {SHIFT: "scale"}}}}},
    "a hundred thousand choices": {"space": {"s": {"choices": {f"c{i}": {SHIFT: "none"} for i in range(100_000)}}}},
    "a start elsewhere": {"start": [{"../../x": 3}]},
    "a start of words": {"start": [{"train.learning_rate": "os.system"}]},
    "trials without end": {"trials": 2**70},
    "trials of words": {"trials": "os.system"},
    "an objective elsewhere": {"minimise": "../../etc/passwd"},
    "a confirmation of words": {"confirm": {"seeds": "os.system"}},
    "looks without end": {"intermediate": {"at": [i / 10**6 for i in range(10**5)]}},
    "a key more": {"callbacks": [f"{CANARY}.run"]},
}


@pytest.mark.parametrize("name", FILES)
def test_a_search_file(name: str, tmp_path: Path) -> None:
    raw = raw_search(**{key: value for key, value in FILES[name].items() if key != "callbacks"})
    raw["search"] |= {key: value for key, value in FILES[name].items() if key == "callbacks"}
    path = write(tmp_path, {"base": "base.yaml"})
    with watching(tmp_path) as seen, pytest.raises(SweepError) as caught:
        parse_search(raw, path)
    seen.check()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1_500


def test_a_sound_one_is_taken(tmp_path: Path) -> None:
    assert parse_search(raw_search(), write(tmp_path, raw_search())).space.parameters


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write(tmp_path_factory.mktemp("search"), raw_search(trials=2, confirm="none"))
    run(path, "--workers", "2")
    return root_of(path)


def _pairs(file: dict[str, Any], *keys: str) -> list[list[Any]]:
    """The pairs below these keys of search.json's file."""
    found: Any = file
    for key in keys:
        found = dict(map(tuple, found["pairs"]))[key]
    return found["pairs"]


def put(pairs: list[list[Any]], key: str, value: Any) -> None:
    pairs[:] = [[k, v] for k, v in pairs if k != key] + [[key, value]]


SEARCH: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no file": lambda raw: raw.pop("file"),
    "a file of a list": lambda raw: raw.update(file=[1, 2]),
    "a file of words": lambda raw: raw.update(file="os.system"),
    "pairs that are none": lambda raw: raw.update(file={"pairs": [1, [2], [3, 4, 5]]}),
    "no pairs": lambda raw: raw.update(file={"base": "x"}),
    "no study": lambda raw: raw.pop("study"),
    "a study elsewhere": lambda raw: raw.update(study="../../outside/x"),
    "a study of a list": lambda raw: raw.update(study=["x"]),
    "no key": lambda raw: raw.pop("key"),
    "another format": lambda raw: raw.update(format=99),
    "a sampler from elsewhere": lambda raw: put(_pairs(raw["file"], "search"), "sampler", f"{CANARY}.Sampler"),
    "a space elsewhere": lambda raw: put(_pairs(raw["file"], "search", "space"), "../x", {"pairs": [["low", 1]]}),
    "deep": lambda raw: raw.update(file=_deep()),
}


def _deep() -> Any:
    value: Any = 1
    for _ in range(2_000):
        value = {"pairs": [["a", value]]}
    return value


@pytest.mark.parametrize("name", SEARCH)
def test_a_folders_search_json(name: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "results" / "tune"
    shutil.copytree(finished, root)
    raw = json.loads((root / "search.json").read_text())
    SEARCH[name](raw)
    try:
        (root / "search.json").write_text(json.dumps(raw))
    except RecursionError:
        (root / "search.json").write_text(
            '{"format": 1, "key": "x", "study": "tune", "file": ' + '{"pairs": [["a", ' * 99_999
        )
    refused(root, tmp_path, capsys, "search.json")


TRIAL: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no values": lambda raw: raw.pop("values"),
    "values of a list": lambda raw: raw.update(values=[1]),
    "values of words": lambda raw: raw.update(values={"train.learning_rate": "os.system"}),
    "a value more": lambda raw: raw.update(values={**raw["values"], "../../x": 1}),
    "a number of words": lambda raw: raw.update(trial="../../x"),
    "a negative number": lambda raw: raw.update(trial=-1),
    "refused by a list": lambda raw: raw.update(refused=["x"]),
    "no number": lambda raw: raw.pop("trial"),
}


@pytest.mark.parametrize("name", TRIAL)
def test_a_folders_trial_json(name: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trial that is none is none; everything else is reported, and nothing runs."""
    root = tmp_path / "results" / "tune"
    shutil.copytree(finished, root)
    file = root / "trial-000" / "trial.json"
    raw = json.loads(file.read_text())
    TRIAL[name](raw)
    file.write_text(json.dumps(raw))
    with watching(tmp_path / "results") as seen:
        status = report([str(root)])
    seen.check()
    error = capsys.readouterr().err
    assert status == 0 or (status == 2 and len(error.splitlines()) == 1), error


def refused(root: Path, folder: Path, capsys: pytest.CaptureFixture[str], says: str) -> None:
    before = sorted(folder.rglob("*"))
    with watching(folder / "results") as seen:
        assert report([str(root)]) == 2
    seen.check()
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line and len(line) < 1_500, line
    assert sorted(folder.rglob("*")) == before
