"""Where a result comes from: commit, versions, hardware, the teacher's hash."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from workbench.repository import git

PACKAGES = ("torch", "diffusers", "transformers", "lightning", "numpy", "peft")


@cache
def code() -> dict[str, Any]:
    """commit, dirty (None outside a git checkout), versions: of what this process has imported, so asked once."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if (status := git("status", "--porcelain")) is None else bool(status),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }


def provenance(teacher_sha256: str) -> dict[str, Any]:
    """Plain data, for provenance.json. The environment's variables are never part of it."""
    return {
        **code(),
        "hardware": {
            "machine": platform.machine(),
            "cpu": _cpu(),
            "threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        "teacher_sha256": teacher_sha256,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
