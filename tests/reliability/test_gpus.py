"""Several sweeps on one machine: a GPU belongs to one of them. The devices are names, the processes are real."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.study.engine import root_of, start, unfinished, until
from tests.study.fakes import sweep, write
from workbench.study.errors import SweepError
from workbench.study.gpus import Gpus

HOLD = """
import sys
from pathlib import Path
from workbench.study.gpus import Gpus
gpus = Gpus(sys.argv[2].split(","), int(sys.argv[3]), Path(sys.argv[1]))
print(",".join(gpus.take() or ["none"]), flush=True)
sys.stdin.readline()
"""


def holder(folder: Path, names: str, each: int) -> subprocess.Popen[str]:
    """A process that takes a group of these GPUs and keeps it."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), names, str(each)],
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def answers(processes: list[subprocess.Popen[str]]) -> list[str]:
    return [str(process.stdout and process.stdout.readline().strip()) for process in processes]


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder with a short name, since there is a socket in it."""
    with tempfile.TemporaryDirectory(prefix="wb-") as folder:
        yield Path(folder)


def test_groups_keep_the_order_and_the_names_of_the_list(tmp_path: Path) -> None:
    gpus = Gpus(["GPU-c", "2", "MIG-x", "2", "0", "7"], 2, tmp_path / "gpus")
    assert gpus.groups == 2, "what is named twice is one, and the fifth is no pair"
    first, second, third = gpus.take(), gpus.take(), gpus.take()
    assert (first, second, third) == (("GPU-c", "2"), ("MIG-x", "0"), None)
    gpus.give_back(["GPU-c", "2"])
    other = Gpus(["7", "2", "0"], 1, tmp_path / "gpus")
    assert [other.take(), other.take(), other.take()] == [("7",), ("2",), None]
    assert Gpus([], 1, tmp_path / "none").groups == 0 and not (tmp_path / "none").exists()


def test_processes_at_once_get_disjoint_groups_and_a_dead_one_none(tmp_path: Path) -> None:
    names = "GPU-a,3,MIG-b,1,0,2,5"
    processes = [holder(tmp_path / "gpus", names, 2) for _ in range(5)]
    try:
        said = answers(processes)
        groups = [group.split(",") for group in said if group != "none"]
        assert len(groups) == 3 and len({name for group in groups for name in group}) == 6
        mine = Gpus(names.split(","), 2, tmp_path / "gpus")
        assert mine.take() is None
        victim = said.index(",".join(groups[1]))
        processes[victim].kill()
        processes[victim].wait()
        taken = mine.take()
        assert taken is not None and set(taken) < {*groups[1], *set(names.split(",")) - {n for g in groups for n in g}}
        assert mine.take() is None
    finally:
        for process in processes:
            process.communicate("\n")


def test_an_index_and_a_uuid_may_be_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA X (UUID: GPU-5aa1)'\necho '  MIG 1g.5gb Device 0: (UUID: MIG-77)'\n"
        "echo 'GPU 1: NVIDIA X (UUID: GPU-0c2d)'\n"
    )
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    first, second = Gpus(["1", "MIG-77"], 1, tmp_path / "gpus"), Gpus(["GPU-0c", "0", "MIG-77"], 1, tmp_path / "gpus")
    assert first.take() == ("1",)
    assert [second.take(), second.take(), second.take()] == [("0",), ("MIG-77",), None]


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    open_to_all, link = tmp_path / "open", tmp_path / "link"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (tmp_path / "private").mkdir(0o700)
    link.symlink_to(tmp_path / "private")
    for folder in (open_to_all, link):
        with pytest.raises(SweepError, match="nobody else can open"):
            Gpus(["0"], 1, folder)
    with pytest.raises(SweepError, match="cannot be made"):
        Gpus(["0"], 1, tmp_path / "absent" / "gpus")


def cells(folder: Path, name: str, seeds: int) -> Path:
    factors = {"shift": {"none": {}, "constant": {"model.shift": "constant"}}}
    return write(folder, sweep(factors=factors, baseline={"shift": "none"}, seeds=seeds), name)


def used(folder: Path) -> list[list[str]]:
    """Study and devices of every cell so far."""
    file = folder / "used.txt"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_two_sweeps_of_a_machine_share_its_gpus_and_a_killed_one_leaves_them(tmp_path: Path, short: Path) -> None:
    surroundings = {
        "PROGRAM": "tests.reliability.fake_gpu_cell", "FAKE_GPUS": str(tmp_path), "TMPDIR": str(short),
        "CUDA_VISIBLE_DEVICES": "GPU-a,1,MIG-c",
    }  # fmt: skip
    many, few = cells(tmp_path, "many", 200), cells(tmp_path, "few", 8)
    first = start(many, "--workers", "2", **surroundings)
    until(lambda: {devices for _, devices in used(tmp_path)} == {"GPU-a", "1"})
    second = start(few, **surroundings)
    until(lambda: ["few", "MIG-c"] in used(tmp_path))
    first.kill()
    first.wait()
    out = second.communicate(timeout=120)[0]
    assert second.returncode == 0, out
    assert unfinished(few) == [] and not (tmp_path / "shared.txt").exists()
    assert "2 of 3 workers wait: other sweeps of yours on this machine have the GPUs" in out
    assert {devices for study, devices in used(tmp_path) if study == "few"} == {"GPU-a", "1", "MIG-c"}


def test_a_second_start_of_a_sweep_ends_with_the_first_though_it_never_had_a_gpu(tmp_path: Path, short: Path) -> None:
    surroundings = {
        "PROGRAM": "tests.reliability.fake_gpu_cell", "FAKE_GPUS": str(tmp_path), "TMPDIR": str(short),
        "CUDA_VISIBLE_DEVICES": "0",
    }  # fmt: skip
    path = cells(tmp_path, "alone", 6)
    processes = [start(path, **surroundings) for _ in range(2)]
    outs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    assert sum("1 of 1 workers wait" in out for out in outs) == 1
    assert not (tmp_path / "shared.txt").exists() and len(used(tmp_path)) == 12
    assert unfinished(path) == [] and (root_of(path) / "table.md").exists()
