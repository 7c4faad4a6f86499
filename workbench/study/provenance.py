"""Where a result comes from: code, versions, machine. Never the environment, which may hold secrets."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import workbench
from workbench.repository import git
from workbench.study.surroundings import cores, visible_gpus

PACKAGES = (
    "torch",
    "lightning",
    "diffusers",
    "transformers",
    "peft",
    "optuna",
    "jsonargparse",
    "numpy",
    "scipy",
    "safetensors",
)


@cache
def gather() -> dict[str, Any]:
    """commit, dirty (None outside a git checkout), versions, hardware."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {
        "workbench": workbench.__version__,
        "commit": commit,
        "dirty": None if commit is None or changes is None else bool(changes),
        "python": platform.python_version(),
        "versions": versions,
        "hardware": {
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": cores(),
            "memory_gib": _memory(),
            "gpus": _gpu_names(),
        },
    }


def command() -> str:
    """The command of this process as a person would type it, paths as they were given."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    start = ["python", "-m", spec.name] if spec else ["python", Path(sys.argv[0]).name]
    return " ".join([*start, *(_hidden(word) for word in sys.argv[1:])])


def _hidden(word: str) -> str:
    """A database URL without what stands before its @ and behind its ?, where a password may stand too."""
    scheme, found, rest = word.partition("://")
    if not found:
        return word
    rest, question, _ = rest.partition("?")
    return f"{scheme}://{'***@' if '@' in rest else ''}{rest.rpartition('@')[2]}{'?***' if question else ''}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _gpu_names() -> list[str]:
    if not visible_gpus(os.environ):
        return []
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
