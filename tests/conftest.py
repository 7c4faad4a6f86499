"""Fixtures that every room may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.offline import leave_network, stay_offline

if TYPE_CHECKING:
    from workbench.models.teacher import Teacher

# No deadline: a busy machine is no failure. Derandomised: the same examples everywhere, so a red run can be repeated.
settings.register_profile("workbench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("workbench")
ALONE = pytest.StashKey[bool]()  # whether the tests have a network of their own


def pytest_configure(config: pytest.Config) -> None:
    """No test may leave the machine, nor may a process that it starts."""
    config.stash[ALONE] = leave_network()
    stay_offline()


def pytest_report_header(config: pytest.Config) -> str:
    """How the tests are held to this machine."""
    alone = "a namespace with loopback alone" if config.stash[ALONE] else "Python is held to loopback by an audit hook"
    return f"network: {alone}"


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Call it with a line that says how often something was really done; the summary of the session shows it."""
    return lambda line: record_property("counted", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the slow suites counted."""
    reports = terminalreporter.getreports("passed")
    lines = [value for report in reports for name, value in report.user_properties if name == "counted"]
    if lines:
        terminalreporter.section("counted")
        terminalreporter.write("".join(f"{line}\n" for line in lines))


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
