"""What the sweep adds to its cells: `python benchmarks/sweep_overhead.py`.

For 1 and 2 workers, on 24 real cells: a training and an evaluation of the embedded world, with as many updates as make
two seconds on this machine.

    sweep    wall time from the first cell's start to the last result, over the bare time. The goal is 1.10
    forked   the same wall time over the bare time of cells that are a fork each, as a sweep's are, without the engine
    naive    a few of the same cells, a fresh interpreter each, over their bare time
    preload  from the command to the first cell's start, in cells
    closing  from the last result to the end of the command (tables, figures, page), in cells

The bare time is what the same cells take one after the other in as many processes as there are workers, each with
everything imported: (the sum of bare training and evaluation) / workers. Such a process keeps what its first cell has
loaded and compiled, and a sweep's cells, a process each, do not; the difference counts against the sweep. Half of the
bare cells run before the sweep and half behind it, so that a machine that becomes slower meanwhile misleads less.
What a process costs by being a fresh one (memory that it touches for the first time, libraries that prepare
themselves) is the difference of the two columns. The sweep pays less of it than a plain fork where the C library is
glibc, because its cells keep memory that they have freed (workbench/study/allocator.py).
About eight minutes, on a machine that does nothing else; medians over --repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
GOAL = 1.10
BARE = """
import gc, os, sys, time
from pathlib import Path
from workbench.cell import run_cell
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a cell says is no number
gc.collect()
gc.freeze()
sys.stdin.readline()
for folder in map(Path, sys.argv[2:]):
    start = time.monotonic()
    child = os.fork() if sys.argv[1] == "forked" else None
    if not child:
        run_cell(folder)
        print(time.monotonic() - start, file=out, flush=True)
    if child == 0:
        os._exit(0)
    if child and os.waitpid(child, 0)[1]:
        sys.exit(f"{folder}: failed")
"""


@dataclass(frozen=True)
class Sweep:
    """Seconds of one sweep."""

    preload: float
    cells: float
    closing: float


def write_sweep(folder: Path, cells: int, updates: int) -> Path:
    """A sweep of two arms on the embedded world, so small that the engine's own share would show."""
    shift = "model.losses.reconstruction.target.shift"
    raw = {
        "question": "What does the sweep add to its cells?",
        "base": str(ROOT / "sweeps" / "base" / "wardrobe.yaml"),
        "set": {
            "train.student_updates": updates, "train.batch_size": 4, "train.sample_every": 0, "train.probe_every": 0,
            "train.reference_samples": 0, "train.accelerator": "cpu", "model.num_steps": 1,
            "model.losses.reconstruction.target.steps": 1, "train.threads": 1, "data.size": 256,
            "evaluation.num_images": 16, "evaluation.batch_size": 16, "evaluation.num_reference": 64,
            "evaluation.teacher_steps": 0, "evaluation.diversity_prompts": 0, "evaluation.grid_images": 4,
            "evaluation.num_inference_steps": 1,
        },
        "factors": {"shift": {"identity": {shift: "IdentityShift"}, "scale": {shift: "ScaleShift"}}},
        "baseline": {"shift": "identity"},
        "seeds": cells // 2,
        "metrics": {"FD[judge]": "min"},
        "run": {"retries": 0},
    }  # fmt: skip
    path = folder / "overhead.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def environment() -> dict[str, str]:
    """One thread a process, as a sweep's cells have."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}


def run_sweep(path: Path, results: Path, workers: int) -> Sweep:
    """The real command in a results folder of its own."""
    shutil.rmtree(results, ignore_errors=True)
    start = time.time()
    command = [sys.executable, "-m", "workbench.sweep", str(path), "--results", str(results), "--workers", str(workers)]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, stdout=subprocess.DEVNULL)
    end = time.time()
    study = results / path.stem
    first = min(file.stat().st_mtime for file in study.glob("*/*/lock"))  # made by a cell as it starts
    last = max(file.stat().st_mtime for file in study.glob("*/*/result.json"))
    return Sweep(first - start, last - first, end - last)


def make_cells(scratch: Path, updates: int, which: range) -> list[Path]:
    """Fresh folders with what a worker writes into them, for the cells of these numbers: two arms, next seed."""
    folder = scratch / "cells"
    shutil.rmtree(folder, ignore_errors=True)
    found = []
    for number in which:
        template = scratch / "templates" / str(number % 2)
        cell = folder / str(number)
        cell.mkdir(parents=True)
        config = yaml.safe_load((template / "config.yaml").read_text())
        config["seed"], config["train"]["student_updates"] = number // 2, updates
        (cell / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        shutil.copy(template / "evaluations.yaml", cell)
        found.append(cell)
    return found


def run_bare(folders: Sequence[Path], workers: int, forked: bool = False) -> list[float]:
    """Seconds of every cell's bare training and evaluation, a share of them in each of `workers` processes.

    forked: each cell in a fork of that process, which has run none before.
    """
    shares = [[str(folder) for folder in folders[i::workers]] for i in range(workers)]
    way = "forked" if forked else "kept"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, way, *share], cwd=ROOT, env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for share in shares
    ]  # fmt: skip
    for process in processes:  # all have imported everything before the first begins
        assert process.stdin is not None
    answers = [process.communicate("\n") for process in processes]
    assert not any(process.returncode for process in processes)
    return [float(line) for out, _ in answers for line in out.splitlines()]


def run_naive(folders: Sequence[Path], workers: int) -> float:
    """Wall seconds of the same cells, each in a fresh interpreter, as many at a time as there are workers."""
    waiting = list(folders)
    running: list[subprocess.Popen] = []
    start = time.monotonic()
    while waiting or running:
        while waiting and len(running) < workers:
            command = [sys.executable, "-m", "workbench.study.child", str(waiting.pop(0)), "workbench.cell"]
            running.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment(), start_new_session=True,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
        for process in [process for process in running if process.poll() is not None]:
            assert process.returncode == 0, process.args
            running.remove(process)
        time.sleep(0.02)
    return time.monotonic() - start


def prepare(scratch: Path, seconds: float) -> int:
    """As many updates as make a cell of so many seconds here; leaves the cells' templates, and the caches full."""
    path = write_sweep(scratch, 2, 4)
    run_sweep(path, scratch / "results", 1)
    for number, source in enumerate(sorted((scratch / "results" / path.stem).glob("*/*/evaluations.yaml"))):
        template = scratch / "templates" / str(number)
        template.mkdir(parents=True)
        for name in ("config.yaml", "evaluations.yaml"):
            shutil.copy(source.with_name(name), template)
    few, many = (min(run_bare(make_cells(scratch, updates, range(4)), 1)) for updates in (4, 12))
    return max(1, round(4 + (seconds - few) / max(1e-3, (many - few) / 8)))


def measure(scratch: Path, cells: int, updates: int, workers: int, repeats: int, naive_cells: int) -> dict[str, float]:
    """The ratios at this number of workers."""
    path = write_sweep(scratch, cells, updates)
    sweeps: list[Sweep] = []
    bare: list[float] = []
    forked: list[float] = []
    naive: list[float] = []
    for _ in range(repeats):
        first, second = range(cells // 2), range(cells // 2, cells)
        bare += run_bare(make_cells(scratch, updates, first), workers)
        forked += run_bare(make_cells(scratch, updates, first), workers, forked=True)
        sweeps.append(run_sweep(path, scratch / "results", workers))
        forked += run_bare(make_cells(scratch, updates, second), workers, forked=True)
        bare += run_bare(make_cells(scratch, updates, second), workers)
        naive.append(run_naive(make_cells(scratch, updates, range(naive_cells)), workers))
    cell = statistics.mean(bare)
    wall = statistics.median(s.cells for s in sweeps)
    return {
        "sweep": wall / (cell * cells / workers),
        "forked": wall / (statistics.mean(forked) * cells / workers),
        "naive": statistics.median(naive) / (cell * naive_cells / workers),
        "preload": statistics.median(s.preload for s in sweeps) / cell,
        "closing": statistics.median(s.closing for s in sweeps) / cell,
        "cell": cell,
    }


def main() -> None:
    """Print a line for each number of workers; exit status 1 if one is beyond the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=24, metavar="N", help="cells of a sweep, even (default 24)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of a bare cell (default 2)")
    parser.add_argument("--naive-cells", type=int, default=4, metavar="N", help="cells of the naive way (default 4)")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="of everything (default 1)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="workbench-overhead-"))
    found = {}
    try:
        updates = prepare(scratch, options.seconds)
        cores = len(os.sched_getaffinity(0))
        print(f"{options.cells} cells of {updates} updates, {options.repeats} repeats, {cores} cores")
        print(f"{'workers':>7} {'sweep':>7} {'forked':>7} {'naive':>7} {'preload':>8} {'closing':>8}")
        for workers in options.workers:
            found[workers] = measure(scratch, options.cells, updates, workers, options.repeats, options.naive_cells)
            r = found[workers]
            print(
                f"{workers:>7} {r['sweep']:>7.2f} {r['forked']:>7.2f} {r['naive']:>7.2f} {r['preload']:>8.1f} "
                f"{r['closing']:>8.1f}",
                flush=True,
            )
            print(f"        a bare cell: {r['cell']:.1f} s", file=sys.stderr)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    reached = all(r["sweep"] <= GOAL for r in found.values())
    print(f"{'goal':>7} {GOAL:>7.2f} {'reached' if reached else 'missed'}")
    print(json.dumps({str(workers): r for workers, r in found.items()}), file=sys.stderr)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
