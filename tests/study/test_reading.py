from __future__ import annotations

import time
from pathlib import Path

import pytest

from workbench.study.errors import SweepError
from workbench.study.reading import parse_yaml, read_yaml


def test_keys_are_texts_and_values_are_what_a_person_means() -> None:
    text = "{on: off, 1: 2, 1.0: 1e-4, true: true, null: null, no: yes, a: 1_000, b: 010, c: 2026-01-01, d: 1:30, "
    text += "e: .5, f: 0x10}"
    assert parse_yaml(text, "x") == {
        "on": "off", "1": 2, "1.0": 1e-4, "true": True, "null": None, "no": "yes", "a": 1000, "b": "010",
        "c": "2026-01-01", "d": "1:30", "e": 0.5, "f": "0x10",
    }  # fmt: skip


def test_anchors_and_merges_work() -> None:
    assert parse_yaml("{a: &x {k: 1, l: 2}, b: {<<: *x, k: 3}}", "x") == {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
PAYLOADS = {
    "object": "a: !!python/object/apply:os.system ['touch /tmp/pwned']",
    "name": "a: !!python/name:os.system",
    "module": "a: !!python/module:os",
    "new": "a: !!python/object/new:os.system ['true']",
    "unknown tag": "a: !x 1",
    "binary": "a: !!binary aGVsbG8=",
    "set": "a: !!set {x}",
    "omap": "a: !!omap [x: 1]",
    "bomb": BOMB,
    "cycle": "a: &a [*a]",
    "key cycle": "a: &a {b: *a}",
    "deep": "[" * 5_000,
    "deep and closed": "a: " + "[" * 500 + "]" * 500,
    "twice": "{a: 1, a: 2}",
    "list key": "{[a, b]: 1}",
    "a list": "[1, 2]",
    "a word": "hello",
    "nothing": "",
    "infinite": "a: .inf",
    "not a number": "a: .nan",
    "two documents": "a: 1\n---\nb: 2\n",
    "unclosed": "a: [1",
    "tab": "a:\n\t- 1",
    "undefined alias": "a: *nothing",
    "merge of a word": "{<<: word}",
}


@pytest.mark.parametrize("text", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_what_no_person_writes_is_refused_at_once(text: str) -> None:
    start = time.monotonic()
    with pytest.raises(SweepError, match=r"^sweep\.yaml"):
        parse_yaml(text, "sweep.yaml")
    assert time.monotonic() - start < 5


def test_a_file_is_capped_and_must_be_text(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("a: " + "x" * 1_000_001)
    with pytest.raises(SweepError, match="at most 1,000,000"):
        read_yaml(path)
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(SweepError, match="UTF-8"):
        read_yaml(path)
    with pytest.raises(SweepError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")
