"""A disk that is full, at one write after the other, and that has room again; one that is read-only, or gone."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.reliability.counts import count
from tests.reliability.trainings import Started, Trainings, assert_equal_runs, config
from tests.study.engine import TABLES, processes, root_of, run, shifts, slow_sweep, start, starts, until
from tests.study.fakes import write
from workbench.distill.checkpoint import load_checkpoint

PAGE = 4096


def fill(disk: Path, leave: int = 0) -> None:
    """Write until there is room for no more than `leave` bytes."""
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * (PAGE * 16))
        except OSError:
            pass  # that was the purpose
        file.truncate(max(0, file.tell() - leave))


def used(disk: Path) -> int:
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def wait_for_saves(started: Started, folder: Path, saves: int) -> None:
    """Until so many checkpoints were written, or the training is over."""
    seen: set[int] = set()
    while len(seen) < saves and started.child.poll() is None:
        try:
            seen.add((folder / "last.ckpt").stat().st_mtime_ns)
        except FileNotFoundError:
            pass  # none yet, or between two renames
        time.sleep(0.002)


def check_training(trainee: Trainings, calm: Path, settings: dict, disk: Path, saves: int, leave: int) -> str:
    """Train, with so much room after so many checkpoints, and again with plenty; returns how it ended, '' if it did
    not notice."""
    folder = disk / "run"
    if not saves:
        fill(disk, leave)
    (started,) = trainee.start(settings, folder)
    if saves:
        wait_for_saves(started, folder, saves)
        fill(disk, leave)
    status = started.wait()
    (disk / "filler").unlink()
    if status == 0:
        assert saves, "it started with too little room"
        shutil.rmtree(folder)
        return ""
    said = started.log()
    assert status == 74, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: ") and "No space left on device" in last and "Traceback" not in said, said
    assert not (folder / "student.safetensors").exists() and not list(folder.glob(".tmp*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not even a damaged one
        state = load_checkpoint(folder, set_aside=False)
    assert saves == 0 or (state is not None and state["tick"] >= saves)
    trainee.finish(settings, folder)
    assert_equal_runs(calm, folder)
    shutil.rmtree(folder)
    return f"{last.partition(': ')[2]} after tick {state['tick'] if state else None}"


def check_trainings(
    trainee: Trainings, tmp_path: Path, disk: Path, settings: dict, hits: Iterable[tuple[int, float]], times: int
) -> int:
    """Train with hits (checkpoints before the disk fills up, share of the peak's room that is left then) until so many
    were noticed; returns how many different ends there were."""
    calm = tmp_path / "calm"
    (started,) = trainee.start(settings, disk / "run")
    peak = 0
    while started.child.poll() is None:
        peak = max(peak, used(disk))
        time.sleep(0.01)
    assert started.wait() == 0, started.log()
    shutil.copytree(disk / "run", calm)
    shutil.rmtree(disk / "run")
    ends = (
        check_training(trainee, calm, settings, disk, saves, round(share * peak / PAGE) * PAGE) for saves, share in hits
    )
    return len(set(itertools.islice(filter(None, ends), times)))


def hits(seed: int, ticks: int) -> Iterator[tuple[int, float]]:
    """At the start with any share up to 0.8 (when the peak is reached depends on moments that nobody repeats), and
    after every checkpoint but the last with less room than another one needs."""
    draw = random.Random(seed)
    for saves in itertools.cycle(range(ticks)):
        yield saves, draw.uniform(0, 0.2 if saves else 0.8)


def test_a_full_disk_costs_a_training_nothing_but_time(
    trainee: Trainings, tmp_path: Path, small_disk: Path, tiny_teacher_path: Path
) -> None:
    check_trainings(trainee, tmp_path, small_disk, config(tiny_teacher_path, updates=2), [(0, 0.7)], 1)


@pytest.mark.slow
def test_twenty_full_disks_cost_a_training_nothing_but_time(
    trainee: Trainings, tmp_path: Path, small_disk: Path, tiny_teacher_path: Path, counted: Callable[[str], None]
) -> None:
    times = count("FULL_DISKS", 20)
    ticks = 8  # six updates, and two of the critic before them
    ends = check_trainings(trainee, tmp_path, small_disk, config(tiny_teacher_path), hits(times, ticks), times)
    assert ends >= times // 5, "different writes met the full disk"
    counted(f"R4: a training on a disk that filled up {times} times, with {ends} different ends: status 74, bit-equal")


def check_sweeps(tmp_path: Path, disk: Path, times: int) -> int:
    """Fill the disk at so many random moments of a sweep; returns in how many it had to stop for it."""
    (tmp_path / "calm").mkdir()
    calm = write(tmp_path / "calm", slow_sweep())
    run(calm, "--workers", "2")
    draw = random.Random(times)
    hit = 0
    while hit < times:
        path = write(disk, slow_sweep())
        process = start(path, "--workers", "2")
        until(lambda path=path: bool(starts(path)))  # type: ignore[misc]
        time.sleep(draw.uniform(0, 1.5))
        fill(disk, draw.choice([0, PAGE, 3 * PAGE]))
        out = process.communicate(timeout=60)[0]
        assert "Traceback" not in out
        (disk / "filler").unlink()
        if process.returncode != 0:  # else it had nothing left to write
            hit += 1
            assert process.returncode == 74, out
            assert "o room left on the disk" in out and "same command again" in out
            run(path, "--workers", "2")
        assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == {
            name: (root_of(calm) / name).read_bytes() for name in TABLES
        }
        assert not list(disk.rglob(".tmp*"))
        shutil.rmtree(disk / "results")
    return hit


@pytest.mark.parametrize("small_disk", ["230m"], indirect=True)
def test_a_full_disk_costs_a_sweep_nothing_but_time(tmp_path: Path, small_disk: Path) -> None:
    check_sweeps(tmp_path, small_disk, 1)


@pytest.mark.slow
@pytest.mark.parametrize("small_disk", ["230m"], indirect=True)
def test_twenty_full_disks_cost_a_sweep_nothing_but_time(
    tmp_path: Path, small_disk: Path, counted: Callable[[str], None]
) -> None:
    times = check_sweeps(tmp_path, small_disk, count("FULL_DISKS", 20))
    counted(f"R4: {times} times a full disk under a sweep: status 74, tables equal")


@pytest.mark.parametrize("small_disk", ["230m"], indirect=True)
def test_a_disk_that_becomes_read_only_ends_the_sweep_with_a_sentence(tmp_path: Path, small_disk: Path) -> None:
    path = shifts(small_disk, "slow", set={"train.updates": 30}, seeds=1)
    process = start(path, "--workers", "1")
    until(lambda: any((root_of(path) / "shift-other").glob("*/steps.txt")))
    # Files are open for writing: the file system itself cannot be made read-only, but a view of it in its place can.
    subprocess.run(["mount", "--bind", str(small_disk), str(small_disk)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(small_disk)], check=True)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 74, out
        assert "has become read-only" in out and "same command again" in out and "Traceback" not in out
        assert processes(path) == {}
        out = run(path, status=2)
        assert "cannot be written" in out and "Nothing was started" in out
    finally:
        subprocess.run(["umount", "-l", str(small_disk)], check=True)
    run(path)


def test_a_results_folder_that_is_removed_ends_the_sweep_at_once(tmp_path: Path) -> None:
    path = shifts(tmp_path, "slow", set={"train.updates": 200}, seeds=1)
    process = start(path, "--workers", "1")
    until(lambda: any((root_of(path) / "shift-other").glob("*/steps.txt")))
    root_of(path).rename(tmp_path / "elsewhere")
    out = process.communicate(timeout=20)[0]
    assert process.returncode == 74 and "was removed while the sweep ran" in out and "Traceback" not in out, out
    assert processes(path) == {}


def test_a_run_folder_that_is_removed_ends_the_training_at_its_next_write(
    trainee: Trainings, tmp_path: Path, tiny_teacher_path: Path
) -> None:
    (started,) = trainee.start(config(tiny_teacher_path, updates=60), tmp_path / "run")
    until(lambda: (tmp_path / "run" / "last.ckpt").exists())
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert started.wait() == 74
    assert "Traceback" not in started.log()
    assert started.log().strip().splitlines()[-1].startswith(f"error: {tmp_path / 'run'}: "), started.log()
