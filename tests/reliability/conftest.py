"""What the tests of reliability share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.study.test_postgres import server

if TYPE_CHECKING:
    from tests.reliability.trainings import Trainings

__all__ = ["server"]  # a fixture of another room


@pytest.fixture(scope="session")
def trainee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """Starts real trainings, at the price of a fork each."""
    from tests.reliability.trainings import trainings  # imports torch, which most tests here do without

    with trainings(tmp_path_factory.mktemp("trainee")) as started:
        yield started


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, as large as the parameter says (default 64m)."""
    folder = tmp_path / "small"
    folder.mkdir()
    size = getattr(request, "param", "64m")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
