"""The committed copy of a study: everything a reader needs, no weights, never half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.fakes import sweep, write
from tests.study.test_engine import TABLES, root_of, run
from workbench.report import main
from workbench.study import plan as plans


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write(tmp_path_factory.mktemp("finished"), sweep(seeds=2))
    run(path, "--workers", "2")
    return root_of(path)


def test_the_copy_says_what_the_study_says_and_holds_no_weights(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "reference" / "shifts"
    assert main([str(finished), "--copy-to", str(target)]) == 0
    assert plans.load(target) == plans.load(finished)
    for name in (*TABLES, "sweep.yaml", "provenance.json"):
        assert (target / name).read_bytes() == (finished / name).read_bytes()
    results = {file.relative_to(finished) for file in finished.glob("*/*/result.json")}
    assert {file.relative_to(target) for file in target.glob("*/*/result.json")} == results
    assert len(results) == 4
    assert {file.suffix for file in target.rglob("*") if file.is_file()} <= {
        ".json", ".jsonl", ".yaml", ".png", ".md", ".csv", ".tex", ".html",
    }  # fmt: skip


def test_an_older_copy_is_replaced_and_anything_else_is_left_alone(finished: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "shifts"
    assert main([str(finished), "--copy-to", str(target)]) == 0
    (target / "stale.txt").write_text("of an older version")
    assert main([str(finished), "--copy-to", str(target)]) == 0
    assert not (target / "stale.txt").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("irreplaceable")
    assert main([str(finished), "--copy-to", str(other)]) == 2
    assert (other / "chapter.tex").read_text() == "irreplaceable"
    assert "no copy of the study" in capsys.readouterr().err


def test_an_unfinished_study_is_no_reference(finished: Path, tmp_path: Path, capsys) -> None:
    lost = next(finished.glob("*/*/result.json"))
    kept = lost.read_bytes()
    lost.unlink()
    try:
        assert main([str(finished), "--copy-to", str(tmp_path / "copy")]) == 2
    finally:
        lost.write_bytes(kept)
    assert "1 of 4 cells have no result" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
