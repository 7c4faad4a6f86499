"""A training without a network: the distance follows from learning rate, decay and factor; checkpoints every step.

With two devices it starts its second rank as Lightning does, by its own command; the ranks agree through files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from workbench.study.files import write_json
from workbench.study.heartbeat import beat


class Stopped(Exception):
    """As workbench.train raises it."""


def distance(config: dict[str, Any], prompts: str) -> float:
    """Least at learning rate 3e-4, decay 0.8, factor 0.6; a little noise of seed and prompts."""
    shift = config["model"]["shift"]
    far = 4 * (math.log10(config["train"]["learning_rate"]) + 3.5) ** 2 + 20 * (config["model"]["decay"] - 0.8) ** 2
    far += 10 * (shift["factor"] - 0.6) ** 2 if shift["factor"] else 1.0
    noise = int(hashlib.sha256(f"{config['seed']} {prompts}".encode()).hexdigest()[:4], 16) / 2**16
    return 8.0 + far + 0.2 * noise


def run_cell(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    wanted = yaml.safe_load((folder / "evaluations.yaml").read_text())
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    (folder / f"config{rank}.sha256").write_text(hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest())
    if rank:
        _second_rank(folder)
        return
    with open(folder / "starts.txt", "a") as file:
        file.write(f"{os.getpid()}\n")
    other = None
    if config["train"]["devices"] == 2:
        command = [sys.executable, "-m", "workbench.study.child", str(folder), "tests.study.search.fake_cell"]
        other = subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": "1"})
    result: dict[str, Any] = {"key": wanted["key"], "training": wanted["training"], "status": "complete"}
    updates = int(config["train"]["updates"])
    done = folder / "steps.txt"
    first = len(done.read_text().split()) if done.exists() else 0
    looks = wanted.get("intermediate") or {"at": []}
    if config["train"]["learning_rate"] > 9e-3:
        write_json(folder / "result.json", {**result, "status": "diverged", "step": 2})
        return
    for step in range(first + 1, updates + 1):
        time.sleep(config["train"]["sleep"])
        with open(done, "a") as file:
            file.write(f"{step}\n")
        beat(folder, "training", step / updates, 30.0)
        for percent in looks["at"]:
            if step == math.ceil(percent * updates / 100):
                value = distance(config, "tune") + 10 * (1 - percent / 100)
                with open(folder / "intermediate.jsonl", "a") as file:
                    file.write(json.dumps({"percent": percent, "update": step, "value": value}) + "\n")
                time.sleep(float(os.environ.get("LOOK_SECONDS", "0")))
        if (folder / "STOP").exists():
            if other:
                other.wait(20)
            raise Stopped(f"at step {step}")
    (folder / "over").touch()
    if other:
        other.wait(20)
    evaluations = {}
    for task in wanted["evaluations"]:
        settings = task["evaluation"]
        value = distance(config, settings["prompts"])
        evaluations[task["key"]] = {
            "metrics": {"FD[judge]": value, "CLIP[wardrobe]": 50 + 10 * config["model"]["decay"]},
            "n": settings["num_images"],
            "extractors": {"judge": "0123456789abcdef", "wardrobe": "fedcba9876543210"},
        }
    write_json(folder / "result.json", {**result, "evaluations": evaluations, "seconds": 1.0})


def _second_rank(folder: Path) -> None:
    """Trains until the run is over or told to stop; what it saw stands in rank1.txt."""
    while not (folder / "over").exists():
        if (folder / "STOP").exists():
            (folder / "rank1.txt").write_text("stopped")
            return
        time.sleep(0.02)
    (folder / "rank1.txt").write_text("over")
