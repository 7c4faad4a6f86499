"""`--help` answers at once: it needs no torch, no run and no network."""

import subprocess
import sys

import pytest

from tests.project.test_imports import VERBS
from tests.project.tree import ROOT

# What `python -m workbench.VERB --help` does, with a look at what it has loaded by then.
RUN = """
import runpy, sys
sys.argv = ["workbench.{verb}", "--help"]
try:
    runpy.run_module("workbench.{verb}", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = sorted({{"torch", "lightning", "diffusers", "transformers", "optuna"}} & set(sys.modules))
sys.exit("--help loaded " + ", ".join(heavy) if heavy else 0)
"""


@pytest.fixture(scope="module", params=VERBS)
def verb_and_help(request):
    """(verb, the finished process of its --help)."""
    code = RUN.format(verb=request.param)
    return request.param, subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_help_exits_with_0_and_loads_no_torch(verb_and_help):
    _, result = verb_and_help
    assert result.returncode == 0, result.stderr


def test_help_shows_the_command_to_type(verb_and_help):
    verb, result = verb_and_help
    assert f"workbench.{verb}" in result.stdout
    assert "usage:" in result.stdout.lower()
