"""run.launch of a sweep file is a command: it runs where the person who starts the sweep says so, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.watch import watching
from tests.study.engine import HERE, root_of, run, shifts, unfinished
from tests.study.fakes import resolve
from tests.study.search.fakes import raw_search, write
from workbench.study import plan as plans
from workbench.study.ledger import Ledger
from workbench.study.planning import make_plan
from workbench.study.sweep_file import read_sweep
from workbench.study.worker import Options, start_arguments
from workbench.sweep import main


def marking(folder: Path) -> list[str]:
    """A launch prefix that leaves a mark and runs the rest."""
    return ["sh", "-c", f'echo x >> {folder / "marker"}; exec "$@"', "sh"]


@pytest.mark.parametrize("search", [False, True], ids=["ablation", "search"])
def test_a_sweep_that_brings_a_command_stops_and_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], search: bool
) -> None:
    launch = {"launch": [*marking(tmp_path), "two\nlines"]}
    path = write(tmp_path, raw_search(run=launch)) if search else shifts(tmp_path, "constant", run=launch)
    with watching(tmp_path) as seen:
        assert main([str(path), "--results", str(tmp_path / "results")], resolve=resolve) == 2
    seen.check()
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and "--trust-launch" in error and str(path) in error
    assert "echo x" in error and r"two\nlines" in error, "all of the command is shown"
    assert not (tmp_path / "marker").exists() and not (tmp_path / "results").exists()
    if not search:
        assert main([str(path), "--results", str(tmp_path / "results"), "--plan"], resolve=resolve) == 0
        assert "--trust-launch" in capsys.readouterr().out
    assert not (tmp_path / "marker").exists(), "--plan runs nothing, and needs no trust"


def test_with_the_flag_it_runs_once_a_cell(tmp_path: Path) -> None:
    path = shifts(tmp_path, "constant", run={"launch": marking(tmp_path), "retries": 0})
    run(path, "--workers", "1")  # the tests' own sweep says --trust-launch
    assert unfinished(path) == [] and (tmp_path / "marker").read_text() == "x\n" * 4


def test_a_plan_in_the_results_allows_nothing(tmp_path: Path) -> None:
    """Whoever may write there cannot make the workers of others run a command."""
    path = shifts(tmp_path, "constant", seeds=1)
    plan = make_plan(read_sweep(path), resolve)
    root = root_of(path)
    root.mkdir(parents=True)
    plans.save(plan, root)
    Ledger(plan, root).restock()
    raw = json.loads((root / "plan.json").read_text())
    raw["run"]["launch"] = marking(tmp_path)
    (root / "plan.json").write_text(json.dumps(raw))
    assert plans.load(root).run.launch, "the workers read it"
    arguments = start_arguments(root, Options(str(root / "plan.json"), "tests.study.fake_cell"))
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    subprocess.run(arguments, cwd=HERE, env=environment, check=True, timeout=300)
    assert unfinished(path) == [] and not (tmp_path / "marker").exists()
    assert sys.executable in arguments[0]
