"""The README's test command is the one that .ci/run executes."""

import importlib.util
import subprocess
import sys

import pytest

from tests.project.tree import ROOT

SCRIPT = ROOT / ".ci" / "readme_command.py"


@pytest.fixture(scope="module")
def readme_command():
    """The function of the script, which is no importable module."""
    spec = importlib.util.spec_from_file_location("readme_command_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.readme_command


def test_readme_shows_one_test_command_which_installs_first():
    result = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "pip install -e '.[dev]' && pytest"


@pytest.mark.parametrize(
    "line", ["pip install x && pytest", "$ pip install x && pytest", "pip install x && pytest    # the tests"]
)
def test_command_is_found_in_a_fence_however_it_is_dressed(readme_command, line):
    assert readme_command(f"Run `pytest`:\n```bash\n{line}\n```\n") == "pip install x && pytest"


def test_a_command_with_arguments_is_not_the_test_command(readme_command):
    assert readme_command("```\npytest -m slow\npytest\n```") == "pytest"


@pytest.mark.parametrize("text", ["pytest\n", "```\npytest -q\n```", "```\npytest\na && pytest\n```"])
def test_no_command_or_two_are_refused(readme_command, text):
    with pytest.raises(ValueError, match="must show one command for the tests"):
        readme_command(text)


def test_ci_refuses_an_unknown_stage_and_names_the_known():
    result = subprocess.run(["bash", ROOT / ".ci" / "run", "tyes"], capture_output=True, text=True)
    assert result.returncode == 2
    assert 'no stage "tyes"' in result.stderr
    assert "types" in result.stderr
