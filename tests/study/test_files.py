from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.study import files
from workbench.study.errors import DiskFullError, SweepError
from workbench.study.files import check_writable, read_json, tail, write_bytes, write_json
from workbench.study.names import inside


def test_a_write_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "result.json"
    write_json(path, {"x": 1})
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:

            def fail(*arguments: object) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(os, call, fail)
            with pytest.raises(DiskFullError, match="run the same command again"):
                write_json(path, {"x": 2})
        assert read_json(path) == {"x": 1}
        assert [file.name for file in path.parent.iterdir()] == ["result.json"], "nothing is left behind"


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_half_a_file_reads_as_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"x": 1')
    assert read_json(tmp_path / "x.json") is None and read_json(tmp_path / "y.json") is None


def test_a_full_disk_is_found_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="Nothing was started"):
        check_writable(tmp_path, expected_bytes=2**62)


def test_the_tail_of_a_long_log(tmp_path: Path) -> None:
    write_bytes(
        tmp_path / "log", b"x" * 100_000 + b"\n" + b"\n".join(b"line %d" % i for i in range(100)) + b"\n\xff\n\n"
    )
    assert tail(tmp_path / "log", 2) == "line 99\n\N{REPLACEMENT CHARACTER}"
    assert tail(tmp_path / "none") == ""


@pytest.mark.parametrize("parts", [("..",), ("/etc",), ("a", "..", "..", "b"), ("link",), ("link", "x"), (".",)])
def test_no_path_leaves_the_root(tmp_path: Path, parts: tuple[str, ...]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(SweepError, match="outside"):
        inside(root, *parts)
    assert inside(root, "a", "b") == root / "a" / "b"


@pytest.mark.parametrize("module", ["workbench.study", "workbench.report", "workbench.sweep", "workbench.study.worker"])
def test_no_torch_in_the_study(module: str) -> None:
    names = "', '".join(sorted(p.stem for p in Path(files.__file__).parent.glob("*.py") if p.stem != "__init__"))
    more = (
        f"[importlib.import_module('workbench.study.' + n) for n in ['{names}']]"
        if module == "workbench.study"
        else "0"
    )
    code = f"import importlib, sys, {module}; {more}; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("module", ["workbench.sweep", "workbench.report"])
def test_help_imports_nothing_that_takes_time(module: str) -> None:
    code = (
        f"import sys, {module} as m\n"
        "try:\n    m.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'rich', 'numpy', 'yaml', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
