"""Who asks git what this code is, must leave the repository alone: killed meanwhile, git would leave its lock there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import workbench
from workbench.study.provenance import gather


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With an index that `git status` wants to refresh."""
    (tmp_path / "file.py").write_text("x = 1\n")
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "file.py"], [*name, "commit", "-qm", "Start"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    os.utime(tmp_path / "file.py", (1_000_000_000, 1_000_000_000))
    return tmp_path


def check_untouched(repository: Path, ask: Callable[[], dict]) -> None:
    index = repository / ".git" / "index"
    before = index.read_bytes()
    found = ask()
    assert len(found["commit"]) == 40 and found["dirty"] is False
    assert index.read_bytes() == before
    subprocess.run(["git", "-C", str(repository), "status", "--porcelain"], check=True)
    assert index.read_bytes() != before, "there was something to refresh"


def test_a_sweep_does_not_lock_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "__file__", str(repository / "file.py"))
    check_untouched(repository, gather.__wrapped__)  # what it keeps is of the real repository


def test_a_training_does_not_lock_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.training import provenance  # imports torch

    monkeypatch.setattr(workbench, "__file__", str(repository / "file.py"))
    check_untouched(repository, provenance.code.__wrapped__)
