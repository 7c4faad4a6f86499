"""Fixtures that every room may use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from workbench.models.teacher import Teacher

# No deadline: a busy machine is no failure. Derandomised: the same examples everywhere, so a red run can be repeated.
settings.register_profile("workbench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("workbench")


@pytest.fixture(scope="session")
def tiny_teacher_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Stable Diffusion folder (tests/tiny.py); epsilon prediction, alpha_T = .068."""
    from tests.tiny import make_tiny_teacher

    return make_tiny_teacher(tmp_path_factory.mktemp("teachers") / "tiny")


@pytest.fixture(scope="session")
def tiny_teacher(tiny_teacher_path: Path) -> Teacher:
    """The loaded tiny teacher. Shared by the session: do not change it."""
    from workbench.models.teacher import load_teacher

    return load_teacher(tiny_teacher_path)
