"""A trained student, read from its run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from workbench.evaluation.generator import Generator
from workbench.files import ReadingError
from workbench.models import Teacher, load_trainable_state
from workbench.snapshots import snapshot_file
from workbench.tensor_files import read_safetensors


def read_config(run_dir: Path) -> dict[str, Any]:
    """The resolved config of a run, as a plain dict. Raises ValueError if this is no run folder."""
    from workbench.config import load_yaml

    file = run_dir / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{run_dir}: no config.yaml, so this is no run folder. Give one that workbench.train wrote.")
    return load_yaml(file)


def run_or_teacher(word: str) -> tuple[Path | None, str | None]:
    """What a word on the command line means: (run folder, None) or (None, teacher).

    Raises ValueError for a path that is neither; a bare word is left to `load_teacher`, which knows the shipped ones.
    """
    path = Path(word)
    if (path / "config.yaml").is_file():
        return path, None
    if (path / "unet").is_dir() or "/" not in word:
        return None, word
    raise ValueError(f"{word}: neither a run (it holds no config.yaml) nor a teacher (it holds no unet/).")


def student_generator(
    config: Any,
    run_dir: Path,
    teacher: Teacher,
    num_inference_steps: int,
    *,
    seed: int,
    noise_correction: bool | None = None,
    snapshot: float | None = None,
) -> Generator:
    """The student of `run_dir` on its own grid and sampler.

    config: the run's `workbench.config.Config`. noise_correction: None keeps the sampler's own. snapshot: one of
    train.snapshots, None for the student at the end.
    Raises ValueError for a run without weights, or weights of another kind of student.
    """
    file = run_dir / snapshot_file(snapshot)
    if not file.is_file():
        raise ValueError(
            f"{run_dir}: no {file.name}: the run has not finished, or not come so far. "
            "Start the same training again to go on."
        )
    student = config.model.student.make(teacher)
    try:
        load_trainable_state(student, read_safetensors(file)[0])
    except ReadingError:
        raise
    except ValueError as error:
        raise ValueError(f"{file}: {str(error).splitlines()[0]}") from error
    student.eval().requires_grad_(False)
    sampler = config.model.sampler
    if noise_correction is not None:
        sampler = dataclasses.replace(sampler, noise_correction=noise_correction)
    timesteps = config.model.grid.timesteps(teacher.process, num_inference_steps)
    return Generator(teacher, student, tuple(timesteps), sampler, seed)


def pick_device(accelerator: str) -> torch.device:
    """The device of `train.accelerator`: "auto" takes a GPU if there is one. Raises ValueError if it is not there."""
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if accelerator in ("auto", "gpu", "cuda"):
        if not torch.cuda.is_available():
            raise ValueError(f"train.accelerator is {accelerator}, but torch sees no GPU. Use cpu or auto.")
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(accelerator)
