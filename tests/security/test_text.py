"""YAML and JSON that no person writes: refused in one line and at once, whoever reads it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.security.watch import CANARY, watching
from tests.study.fakes import plan_of, sweep
from workbench.config import ConfigError, load_yaml, parse_yaml, resolve
from workbench.files import ReadingError
from workbench.intermediate import Looks
from workbench.report import main as report
from workbench.safe_json import parse_json, read_json
from workbench.safe_yaml import dump_yaml
from workbench.safe_yaml import parse_yaml as parse
from workbench.safe_yaml import read_yaml as read
from workbench.study import plan as plans
from workbench.study.errors import SweepError
from workbench.study.reading import read_yaml
from workbench.study.search.trials import read_looks
from workbench.study.sweep_file import read_sweep
from workbench.training.clock import read_clock

NINE = ", ".join
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{NINE([f'*a{i}'] * 9)}]\n" for i in range(10)
)
YAML: dict[str, str] = {
    "object": f"a: !!python/object/apply:os.system ['echo {CANARY}']",
    "object new": f"a: !!python/object/new:subprocess.Popen [['echo', {CANARY}]]",
    "name": "a: !!python/name:os.system",
    "module": f"a: !!python/module:{CANARY}",
    "verbatim tag": "a: !<tag:yaml.org,2002:python/object/apply:os.system> ['true']",
    "tag handle": "%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system x",
    "local tag": "a: !include /etc/passwd",
    "binary": "a: !!binary aGVsbG8=",
    "timestamp": "a: !!timestamp 2026-01-01",
    "lying int": "a: !!int os.system",
    "lying bool": "a: !!bool 7",
    "bomb": BOMB,
    "merge bomb": "a0: &a0 {k0: 1}\n"
    + "".join(f"a{i + 1}: &a{i + 1} {{<<: [{NINE([f'*a{i}'] * 9)}], k{i + 1}: 1}}\n" for i in range(10)),
    "chain of aliases": "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(400)),
    "cycle": "a: &a [*a]",
    "merge cycle": "a: &a {<<: *a}",
    "deep flow": "[" * 500_000,
    "deep maps": "{a: " * 200_000,
    "deep block": "- " * 400_000,
    "deep keys": "? " * 400_000,
    "many": "a: [" + "1," * 100_000 + "1]",
    "large": "a: " + "x" * 1_000_001,
    "huge int": "a: " + "9" * 900_000,
    "int of 65 bits": "a: 99999999999999999999",
    "infinite": "a: .inf",
    "infinite by size": "a: 1e999",
    "not a number": "a: .nan",
    "twice": "a: 1\na: 2",
    "escape": 'a: "\\e]0;owned\\a"',
    "nul": 'a: "x\\0y"',
    "half a character": 'a: "\\ud800"',
    "key with an escape": '{"\\e[2J": 1}',
    "list as key": "? [a, b]\n: 1",
    "two documents": "a: 1\n---\nb: 2",
    "unclosed": "a: [1",
    "raw control": "a: \x07",
    "undefined alias": "a: *b",
}  # fmt: skip


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str, tmp_path: Path) -> None:
    """The same answer for a sweep file, a configuration, a file of a cell and a word of the command line."""
    file = tmp_path / "file.yaml"
    file.write_text(YAML[name])
    readers: list[Callable[[Path], Any]] = [
        read,
        read_yaml,
        load_yaml,
        lambda path: parse_yaml(path.read_text(), "--x"),
    ]
    for index, reader in enumerate(readers):
        started = time.process_time()
        with watching(tmp_path) as seen, pytest.raises(ValueError, match=r"file\.yaml|--x") as caught:
            reader(file)
        seen.check()
        message = str(caught.value)
        assert "\n" not in message and len(message) < 500, message
        assert time.process_time() - started < 30, "refused, but not before it had been read"
        if name == "many" and index == 0:
            break  # seconds each, and the same code


def test_what_a_person_writes_is_read(tmp_path: Path) -> None:
    """Anchors, merges, hundreds of aliases, and texts that look like something else."""
    text = "base: &b {k: 1}\nuse: {<<: *b, l: 2}\nlist: [" + "*b, " * 300 + "*b]\nwhen: 2026-01-01\non: off\n"
    value = parse(text)
    assert value["use"] == {"k": 1, "l": 2} and len(value["list"]) == 301
    assert value["when"] == "2026-01-01" and value["on"] == "off"
    assert parse("") is None and load_yaml("") == {}


@pytest.mark.parametrize(
    "text", ["1e-4", "1E5", "010", "0x1F", "on", "null", "~", "2026-01-01", "1:30", "1_0", ".5", "-", "a: b", "é\n"]
)
def test_what_is_written_is_read_as_it_was(text: str) -> None:
    for value in (text, {text: [text, 1e-05, 3, True, None]}):
        assert parse(dump_yaml(value)) == value == yaml.safe_load(dump_yaml(value))


def test_a_mistake_in_a_configurations_yaml_names_the_file_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train:\n  batch_size: [1\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 3: is not valid YAML"):
        resolve(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match=r"mine\.yaml: a configuration must be a mapping"):
        resolve(tmp_path / "mine.yaml")


@pytest.mark.parametrize("reader", [read_yaml, load_yaml])
def test_what_is_no_file_is_not_waited_for(reader: Callable[[Path], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ValueError, match=str(path)):
            reader(path)


JSON: dict[str, str | bytes] = {
    "not a number": '{"a": NaN}',
    "infinite": '{"a": -Infinity}',
    "infinite by size": '{"a": 1e999}',
    "int of 65 bits": '{"a": 99999999999999999999}',
    "huge int": '{"a": ' + "9" * 1_000_000 + "}",
    "deep lists": "[" * 1_000_000,
    "deep and closed": "[" * 500 + "]" * 500,
    "deep maps": '{"a":' * 500 + "1" + "}" * 500,
    "cut": '{"a": 1',
    "no utf-8": b'{"a": "\xff"}',
    "python": "{'a': 1}",
    "empty": "",
}


@pytest.mark.parametrize("name", JSON)
def test_json(name: str, tmp_path: Path) -> None:
    data = JSON[name] if isinstance(JSON[name], bytes) else str(JSON[name]).encode()
    (tmp_path / "plan.json").write_bytes(data)  # type: ignore[arg-type]
    with pytest.raises(ReadingError, match=r"plan\.json") as caught:
        read_json(tmp_path / "plan.json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    with pytest.raises(SweepError, match=r"plan\.json"):
        plans.load(tmp_path)
    (tmp_path / "plan.json").write_bytes(b" " * 2_000)
    with pytest.raises(ReadingError, match="too many"):
        read_json(tmp_path / "plan.json", limit=1_000)
    assert parse_json("[1, 2.5, null]", "x") == [1, 2.5, None]


@pytest.mark.parametrize("name", [*JSON, "a list", "a text", "a number too long"])
def test_json_of_a_run(name: str, tmp_path: Path) -> None:
    """Its clock and the looks of a search: what cannot be read is not there, and the looks before and after it are."""
    more: dict[str, str | bytes] = {"a list": "[1]", "a text": '"x"', "a number too long": "9" * 30}
    text = (JSON | more)[name]
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "last.ckpt").touch()
    for clock in (data, data.replace(b'"a"', b'"seconds"'), b'{"seconds": "nan"}', b'{"seconds": -1}'):
        (tmp_path / "clock.json").write_bytes(clock)
        assert read_clock(tmp_path) == 0.0
    (tmp_path / "clock.json").write_bytes(b'{"seconds": 3}')
    assert read_clock(tmp_path) == 3.0
    if len(data) > 900_000:
        return  # more than all the looks of a training
    bad = [data, data.replace(b'"a"', b'"percent"'), data.replace(b'"a"', b'"percent": 40, "value"')]
    looks = [b'{"percent": 20, "value": 1.5}', *bad, b'{"percent": 60, "value": 2.5}', b'{"percent": 80, "val']
    (tmp_path / "intermediate.jsonl").write_bytes(b"\n".join(looks))
    assert read_looks(tmp_path) == ((20, 1.5), (60, 2.5))
    wanted: dict[str, Any] = {"at": [20, 40], "metric": "FD[judge]", "evaluation": {}}
    seen = Looks(tmp_path, {"train": {"student_updates": 10}}, wanted, 1.0)._known()
    assert sorted(seen) == [20, 60], "what was looked at before a restart"


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no rows": lambda plan: plan.pop("rows"),
    "one key more": lambda plan: plan.update(script="alert(1)"),
    "study elsewhere": lambda plan: plan.update(study="../../etc"),
    "study of a list": lambda plan: plan.update(study=["x"]),
    "cell elsewhere": lambda plan: plan["cells"][0].update(folder="../../../etc/passwd"),
    "cell at the root": lambda plan: plan["cells"][0].update(folder="/etc/cron.d"),
    "cell without a folder": lambda plan: plan["cells"][0].update(folder=""),
    "cell too deep": lambda plan: plan["cells"][0].update(folder="a/b/c"),
    "task elsewhere": lambda plan: plan["cells"][0]["tasks"][0].update(key="../../x"),
    "entry of another task": lambda plan: plan["entries"][0].update(task="../../x"),
    "entry of no cell": lambda plan: plan["entries"][0].update(cell="0"),
    "row elsewhere": lambda plan: plan["rows"][0].update(name="../x"),
    "row of a new kind": lambda plan: plan["rows"][0].update(kind="<script>"),
    "baseline of nobody": lambda plan: plan.update(baseline="nobody"),
    "no seeds": lambda plan: plan.update(seeds=[]),
    "seeds of words": lambda plan: plan.update(seeds=["a"]),
    "metrics of numbers": lambda plan: plan.update(metrics={"FD": 3}),
    "a metric too long": lambda plan: plan.update(metrics={"x" * 5_000: "min"}),
    "launch of a text": lambda plan: plan["run"].update(launch="rm -rf /"),
    "a run of a list": lambda plan: plan.update(run=[1]),
    "levels of lists": lambda plan: plan["entries"][0].update(evaluation={"a": []}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_plan_that_was_tampered_with(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "results" / "shifts"
    root.mkdir(parents=True)
    plans.save(plan_of(tmp_path, sweep()), root)
    assert plans.load(root) == plan_of(tmp_path, sweep())
    raw = json.loads((root / "plan.json").read_text())
    CHANGES[name](raw)
    (root / "plan.json").write_text(json.dumps(raw))
    before = sorted(path for path in tmp_path.rglob("*"))
    with watching(root) as seen:
        assert report([str(root)]) == 2
    seen.check()
    (line,) = capsys.readouterr().err.splitlines()
    assert str(root / "plan.json") in line and len(line) < 400
    assert sorted(path for path in tmp_path.rglob("*")) == before


RESULTS: list[Any] = [
    [], 3, {"status": "complete"}, {"evaluations": []}, {"evaluations": {"TASK": []}},
    {"evaluations": {"TASK": {"metrics": [1], "n": "many", "extractors": ["x"]}}},
    {"evaluations": {"TASK": {"metrics": {"FD[judge]": "<b>"}, "n": {}, "extractors": {"judge": {"a": 1}}}}},
    {"evaluations": {"TASK": {"metrics": {"FD[judge]": 2**63}, "n": True, "extractors": 3}}},
    {"status": "diverged", "step": {"a": "<script>"}},
]  # fmt: skip


@pytest.mark.parametrize("result", RESULTS, ids=str)
def test_results_of_any_shape_are_reported_as_far_as_they_go(result: Any, tmp_path: Path) -> None:
    root = tmp_path / "results" / "shifts"
    root.mkdir(parents=True)
    plan = plan_of(tmp_path, sweep())
    plans.save(plan, root)
    for cell in plan.cells:
        text = json.dumps(result).replace("TASK", cell.tasks[0].key)
        whole = (
            {"training": cell.training, "status": "complete", **json.loads(text)}
            if isinstance(result, dict)
            else result
        )
        folder = root / cell.folder
        (folder / "evaluations" / cell.tasks[0].key).mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(whole))
        (folder / "failure.json").write_text(json.dumps({"key": cell.key, "kind": ["<b>"], "log": 3}))
        (folder / "evaluations" / cell.tasks[0].key / "grid.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with watching(tmp_path) as seen:
        assert report([str(root)]) == 0
    seen.check()
    assert "<b>" not in (root / "report.html").read_text()


def test_a_sweep_file_with_values_of_every_wrong_kind(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("{}")
    long = ["x" * 100_000]
    changes: list[dict[str, Any]] = [
        *({key: long} for key in ("question", "factors", "seeds", "metrics", "baseline", "arms", "evaluate", "set")),
        *({"run": {key: long}} for key in ("devices", "hours", "retries")),
        *({"run": {"launch": [long]}}, {"base": "a\0b"}, {"base": "~nobody.there/x"}, {"base": "x" * 5_000}),
    ]
    for change in changes:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(sweep(**change)))
        with pytest.raises(SweepError) as caught:
            read_sweep(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
