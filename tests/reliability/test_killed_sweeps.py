"""Sweeps whose workers, launching processes, fork servers and machines die."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.counts import count
from tests.study.engine import TABLES, processes, root_of, run, start, starts, unfinished, until, workers
from tests.study.fake_cell import INTERVAL
from tests.study.fakes import sweep, write
from workbench.study import plan as plans
from workbench.study.ledger import open_storage


def many_cells(folder: Path, seeds: int, arms: int = 2, updates: int = 7, **changes: Any) -> Path:
    """Cells that save every three steps, a baseline that saves at each."""
    levels = {f"seldom{i}": {"model.shift": "seldom", "model.trajectory": f"T{i}"} for i in range(1, arms)}
    factors = {"shift": {"slow": {"model.shift": "slow"}, **levels}}
    raw = sweep(factors=factors, baseline={"shift": "slow"}, seeds=seeds, set={"train.updates": updates}, **changes)
    return write(folder, raw)


def tables(path: Path) -> dict[str, bytes]:
    return {name: (root_of(path) / name).read_bytes() for name in TABLES}


def repeated_steps(path: Path) -> list[int]:
    """For every time that a cell went on, how many steps it did again."""
    found = []
    for file in root_of(path).glob("*/*/executed.txt"):
        steps = [int(line) for line in file.read_text().splitlines()]
        found += [a - b + 1 for a, b in zip(steps, steps[1:], strict=False) if b <= a]
    return found


def completions(path: Path, storage: str | None = None) -> Counter[str]:
    """How often the ledger says that each cell was completed."""
    import optuna

    opened = open_storage(storage, root_of(path))
    (name,) = (s.study_name for s in optuna.get_all_study_summaries(opened) if s.study_name.startswith(path.stem))
    trials = optuna.load_study(study_name=name, storage=opened).trials
    return Counter(t.user_attrs["cell"] for t in trials if t.state.name == "COMPLETE")


def assert_each_cell_once(path: Path, storage: str | None = None) -> int:
    """All are done, none twice; returns their number."""
    plan = plans.load(root_of(path))
    assert unfinished(path) == []
    assert completions(path, storage) == dict.fromkeys(plan.keys, 1)
    assert list(root_of(path).glob("*/*/again.txt")) == []
    return len(plan.cells)


def fork_servers(path: Path) -> list[int]:
    """Forks have their server's command line, and their cell's log for output."""
    log = root_of(path) / "logs" / "forkserver.log"
    return [pid for pid in processes(path) if os.path.realpath(f"/proc/{pid}/fd/1") == str(log)]


def kill_at_random(
    path: Path,
    kills: int,
    draw: random.Random,
    begin: Callable[[Path], subprocess.Popen[str]] = lambda path: start(path, "--workers", "2"),
    seconds: float = 1.2,
) -> Counter[str]:
    """SIGKILL workers, fork servers and launching processes of a sweep with two workers until it was done so often.

    begin: starts the sweep; seconds: between two kills, at most.
    """
    done: Counter[str] = Counter()
    while done.total() < kills:
        process = begin(path)
        while done.total() < kills and process.poll() is None:
            time.sleep(draw.uniform(0.1, seconds))
            kind = draw.choices(("worker", "server", "sweep"), (6, 1, 3))[0]
            victims = [process.pid] if kind == "sweep" else (workers if kind == "worker" else fork_servers)(path)
            if victims and process.poll() is None:
                os.kill(draw.choice(victims), signal.SIGKILL)
                done[kind] += 1
                if kind == "sweep":
                    break
        process.communicate()
        until(lambda: processes(path) == {}, seconds=10)  # no orphan
        if process.returncode == 0:
            break
    return done


def check_kills(folder: Path, seeds: int, arms: int, kills: int) -> Counter[str]:
    (folder / "calm").mkdir()
    calm = many_cells(folder / "calm", seeds, arms)
    run(calm, "--workers", "2")
    assert repeated_steps(calm) == []
    done: Counter[str] = Counter()
    repeated: list[int] = []
    draw, rounds = random.Random(kills), 0
    while done.total() < kills:
        rounds += 1
        (folder / f"killed{rounds}").mkdir()
        path = many_cells(folder / f"killed{rounds}", seeds, arms)
        done += kill_at_random(path, kills - done.total(), draw)
        out = run(path, "--workers", "2")
        assert "Traceback" not in out
        assert_each_cell_once(path)
        assert tables(path) == tables(calm)
        repeated += repeated_steps(path)
    assert max(repeated, default=0) <= INTERVAL, "at most one checkpoint interval is computed again"
    return done


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path, seeds=2, arms=2, kills=4)


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path: Path, counted: Callable[[str], None]) -> None:
    done = check_kills(tmp_path, seeds=3, arms=12, kills=count("SWEEP_KILLS", 50))
    counted(f"R2: {done.total()} kills of a sweep of 12 arms x 3 seeds with 2 workers ({dict(done)}): tables equal")


def test_a_dead_fork_server_is_started_again_and_is_no_cell_s_fault(tmp_path: Path) -> None:
    path = many_cells(tmp_path, seeds=1, updates=20, run={"retries": 0})
    process = start(path, "--workers", "2")
    until(lambda: len(starts(path)) == 2)
    (victim,) = fork_servers(path)
    os.kill(victim, signal.SIGKILL)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0, out
    assert "The fork server died" in out and "another one starts" in out
    assert_each_cell_once(path)
    assert set(starts(path).values()) == {2}


def joined(path: Path, launches: int, each: int, *more: str) -> list[subprocess.Popen[str]]:
    return [start(path, "--workers", str(each), *more) for _ in range(launches)]


def check_joint(path: Path, launches: int, each: int, storage: str | None) -> int:
    """Several launching processes work on one sweep; returns its number of cells."""
    sweeps = joined(path, launches, each, *(("--storage", storage) if storage else ()))
    outs = [process.communicate(timeout=1200)[0] for process in sweeps]
    assert [process.returncode for process in sweeps] == [0] * launches, "\n".join(outs)
    assert not any("died" in out or "Traceback" in out for out in outs), "\n".join(outs)
    assert set(starts(path).values()) == {1}
    assert (root_of(path) / "study.journal").exists() == (storage is None)
    return assert_each_cell_once(path, storage)


def quick_cells(folder: Path, cells: int, name: str) -> Path:
    """Cells of two arms that take no time."""
    factors = {"shift": {"none": {}, "constant": {"model.shift": "constant"}}}
    return write(folder, sweep(factors=factors, baseline={"shift": "none"}, seeds=cells // 2), name)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["journal", "postgresql"])
def test_eight_workers_of_four_launches_complete_60_cells_once_each(
    tmp_path: Path, where: str, request: pytest.FixtureRequest, counted: Callable[[str], None]
) -> None:
    cells = count("CELLS", 60)
    storage = request.getfixturevalue("server") if where == "postgresql" else None
    assert check_joint(quick_cells(tmp_path, cells, f"joint-{where}"), 4, 2, storage) == cells
    counted(f"R10, R12: 8 workers of 4 launching processes, {cells} cells on {where}: {cells} completions, none twice")


def test_two_launches_share_a_sweep_on_postgresql(tmp_path: Path, server: str) -> None:
    assert check_joint(quick_cells(tmp_path, 8, "two"), 2, 1, server) == 8


@pytest.mark.slow
def test_every_third_cell_out_of_memory_leaves_the_others_and_the_server_alone(
    tmp_path: Path, counted: Callable[[str], None]
) -> None:
    """51 cells; the fork server, of which they all are copies, does not grow."""
    seeds = count("OOM_CELLS", 51) // 3
    factors = {"shift": {"none": {}, "big": {"model.shift": "big"}, "constant": {"model.shift": "constant"}}}
    raw = sweep(factors=factors, baseline={"shift": "none"}, seeds=seeds, run={"retries": 0})
    path = write(tmp_path, raw)
    process = start(path, "--workers", "2")
    until(lambda: len(fork_servers(path)) == 1 and len(starts(path)) > 1)
    (pid,) = fork_servers(path)
    sizes = []
    while process.poll() is None:
        try:
            sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]))
        except (OSError, IndexError):
            break
        time.sleep(0.05)
    out = process.communicate()[0]
    assert process.returncode == 1, out
    assert {folder.split("/")[0] for folder in unfinished(path)} == {"shift-big"}
    assert (
        len(unfinished(path)) == seeds and f"failed {seeds}/{seeds} (oom)" in (root_of(path) / "table.md").read_text()
    )
    drift = (max(sizes) - sizes[0]) / sizes[0]
    assert drift <= 0.01
    counted(f"R8: {seeds} of {3 * seeds} cells out of memory, the others complete, drift of the server {drift:.2%}")


def test_a_cell_out_of_memory_says_so(tmp_path: Path) -> None:
    factors = {"shift": {"none": {}, "big": {"model.shift": "big"}}}
    path = write(tmp_path, sweep(factors=factors, baseline={"shift": "none"}, seeds=1, run={"retries": 1}))
    out = run(path, "--workers", "2", status=1)
    assert "shift-big, seed 0 failed 2 times (oom): MemoryError" in out
    assert [folder.split("/")[0] for folder in unfinished(path)] == ["shift-big"]
