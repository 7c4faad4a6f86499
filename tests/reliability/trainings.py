"""Real trainings of a second, started by the sweep's own fork server, to be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from workbench.config import resolve
from workbench.distill.checkpoint import load_checkpoint
from workbench.study.launch import Child, ForkLauncher
from workbench.study.surroundings import child_environment

ROOT = Path(__file__).resolve().parents[2]


def config(teacher: Path, updates: int = 6, **settings: Any) -> dict[str, Any]:
    """Every kind of state there is to lose: a student, its average, two optimisers, a critic, metrics, pictures."""
    target = {"class_path": "TeacherTarget", "steps": 1}
    adversarial = {"class_path": "Adversarial", "gradient_ratio": 0.3, "critic_warmup": 2, "width": 8}
    return resolve(
        {
            "teacher": {"path": str(teacher)},
            "data": {"class_path": "Wardrobe", "size": 100},
            "model": {
                "trajectory": "Mixture",
                "losses": {
                    "reconstruction": {"class_path": "Reconstruction", "target": target},
                    "adversarial": adversarial,
                },
            },
            "train": {
                "student_updates": updates, "batch_size": 2, "accelerator": "cpu", "threads": 1,
                "checkpoint_minutes": 0, "log_every": 3, "sample_every": 3, "sample_prompts": 1, "probe_every": 0,
                "reference_samples": 0,
            },
        },
        {f"train.{key}": value for key, value in settings.items()},
    )  # fmt: skip


@dataclass
class Started:
    """One process of a training."""

    child: Child
    folder: Path
    began: float = field(default_factory=time.time)

    def wait(self, seconds: float = 120.0) -> int | None:
        """The exit status of the command, None if it was killed. AssertionError, with its log, if it does not end."""
        end = time.monotonic() + seconds
        while (status := self.child.poll()) is None:
            assert time.monotonic() < end, f"it did not end in {seconds:.0f} s:\n{self.log()}"
            time.sleep(0.01)
        self.child.close()
        if status == -signal.SIGKILL:
            return None
        assert status == 0, self.log()
        return int((self.folder / "status").read_text())

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()[-4000:]


@dataclass
class Trainings:
    """A fork server with everything imported, and the trainings that it starts, each in processes of its own."""

    folder: Path
    address: str
    _count: int = field(default=0, init=False)

    def start(self, settings: dict[str, Any], run: Path) -> list[Started]:
        """One process a rank; the first is rank 0."""
        ranks = settings["train"]["devices"]
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if ranks > 1 else {}
        return [self._start(settings, run, {**common, "LOCAL_RANK": str(r)} if common else {}) for r in range(ranks)]

    def _start(self, settings: dict[str, Any], run: Path, environment: dict[str, str]) -> Started:
        self._count += 1
        folder = self.folder / f"start{self._count}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        arguments = ["--config", str(folder / "config.yaml"), "--run-dir", str(run), "--quiet"]
        (folder / "task.json").write_text(json.dumps({"arguments": arguments, "environment": environment}))
        return Started(ForkLauncher(self.address).start(folder, child_environment(os.environ)), folder)

    def finish(self, settings: dict[str, Any], run: Path) -> None:
        """Run to the end, from the last checkpoint if there is one; AssertionError with the log if it does not."""
        saved = saved_tick(run)
        for number, rank in enumerate(self.start(settings, run)):
            assert rank.wait() == 0, rank.log()
            if saved is not None and number == 0 and not (run / "student.safetensors").stat().st_mtime < rank.began:
                assert f"(tick {saved} of " in rank.log(), f"not from tick {saved}: {rank.log()}"

    def kill(self, settings: dict[str, Any], run: Path, seconds: float) -> bool:
        """Start, and SIGKILL every rank after so long; False if it had ended by then."""
        ranks = self.start(settings, run)
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(rank.child.poll() is None for rank in ranks):
            time.sleep(0.005)
        hit = ranks[0].child.poll() is None
        for rank in ranks:
            rank.child.signal_group(signal.SIGKILL)
        assert {rank.wait() for rank in ranks} <= {None, 0}
        return hit


@contextmanager
def trainings(folder: Path) -> Iterator[Trainings]:
    """Inside, the fork server lives."""
    private = Path(tempfile.mkdtemp(prefix="workbench-"))
    server = subprocess.Popen(
        [sys.executable, "-m", "workbench.study.forkserver", str(private / "s"), "tests.reliability.trainee"],
        stdin=subprocess.PIPE, cwd=ROOT, env={**child_environment(os.environ), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (private / "s").exists():
            assert server.poll() is None and time.monotonic() < until, "the fork server did not start"
            time.sleep(0.02)
        yield Trainings(folder, str(private / "s"))
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(30)
        shutil.rmtree(private)


def saved_tick(run: Path) -> int | None:
    """The tick of the newest whole checkpoint, from which a training has to go on; None where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = load_checkpoint(run, set_aside=False) if run.is_dir() else None
    return None if state is None else int(state["tick"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def assert_equal_runs(a: Path, b: Path, state: bool = True) -> None:
    """Average, metrics and pictures, and with `state` the student, optimisers and critic, bit for bit."""
    pictures = sorted(path.name for path in (a / "samples").iterdir())
    assert pictures == sorted(path.name for path in (b / "samples").iterdir())
    for name in ("metrics.jsonl", "student.safetensors", *(f"samples/{name}" for name in pictures)):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    if state:
        assert same(*(torch.load(folder / "last.ckpt", weights_only=True) for folder in (a, b)))
