"""A cell that needs no network: the values follow from its configuration. `model.shift.kind` makes it misbehave.

die-N: dies by SIGKILL in its first N attempts; hang: stops itself; nan: diverges; oom, full, error: raises;
slow: 0.1 s a step; seldom: the same, with a checkpoint every three steps; big: takes more memory than it may.

It leaves notes for the tests: starts.txt, a line a start; executed.txt, a line a step that was really done; again.txt
if it was started although it had its result.
"""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import time
from pathlib import Path

import yaml

from workbench.study.files import read_json, write_json, write_text
from workbench.study.heartbeat import beat

INTERVAL = 3  # steps between two checkpoints of the kind seldom


def run_cell(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    wanted = yaml.safe_load((folder / "evaluations.yaml").read_text())
    with open(folder / "starts.txt", "a") as file:  # what tests count: one line a start
        file.write(f"{os.getpid()}\n")
    if (read_json(folder / "result.json") or {}).get("key") == wanted["key"]:
        (folder / "again.txt").touch()
    kind = str(config["model"]["shift"]["kind"]) if wanted["training"] else "none"
    result = {"key": wanted["key"], "training": wanted["training"], "status": "complete"}
    if kind.startswith("die-") and len((folder / "starts.txt").read_text().splitlines()) <= int(kind[4:]):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        beat(folder, "training", 0.5, 0.4)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60)  # woken for its stacks, it hangs on
    if kind == "nan":
        write_json(folder / "result.json", {**result, "status": "diverged", "step": 2})
        return
    if kind == "oom":
        raise MemoryError("no memory for 3 GiB")
    if kind == "big":
        take(2**30)
    if kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "error":
        raise RuntimeError("the network fell over")
    step = 0
    steps = int(config["train"]["updates"]) if wanted["training"] else 1
    progress = folder / "steps.txt"  # a checkpoint of every step
    if progress.exists():
        step = int(progress.read_text())
    interval = INTERVAL if kind == "seldom" else 1
    while step < steps:
        if kind in ("slow", "seldom"):
            time.sleep(0.1)
        step += 1
        with open(folder / "executed.txt", "a") as file:
            file.write(f"{step}\n")
        if step % interval == 0 or (folder / "STOP").exists():
            write_text(progress, str(step))
        beat(folder, "training", step / steps, 30.0)
        if (folder / "STOP").exists():
            raise Stopped(f"at step {step}")
    evaluations = {}
    for task in wanted["evaluations"]:
        text = f"{wanted['training']} {sorted(task['evaluation'].items(), key=str)}"
        noise = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
        level = {"none": 12.0, "scale": 10.0, "constant": 14.0}.get(kind, 12.0)
        evaluations[task["key"]] = {
            "metrics": {"FD[judge]": level + noise, "CLIP[wardrobe]": 30.0 - level / 10 + noise / 10},
            "n": task["evaluation"]["num_images"],
            "extractors": {"judge": "0123456789abcdef", "wardrobe": "fedcba9876543210"},
        }
    write_json(folder / "result.json", {**result, "evaluations": evaluations})


def take(size: int) -> None:
    """Ask for `size` bytes in a process that may have a quarter of it."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + size // 4, now + size // 4))
    bytearray(size)


class Stopped(Exception):
    """As workbench.train raises it."""
