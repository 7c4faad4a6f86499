"""Whose images are scored: a student's, a teacher's, real ones, or those of a student that fits its target exactly."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.config import Config, EvaluationConfig
from workbench.diffusion import DPMSolverPP, Sampler
from workbench.evaluation.exact import exact_generator
from workbench.evaluation.generator import Generator, teacher_generator
from workbench.evaluation.prompts import real_images
from workbench.evaluation.student import student_generator
from workbench.files import file_sha256
from workbench.metrics.cache import cached
from workbench.models import Teacher, load_teacher
from workbench.snapshots import snapshot_file

LAYOUT = {"images": (4, "uint8"), "seconds": (0, "float64")}  # of a batch of teacher images in the cache
VERSION = 1  # of the evaluation code; another number is another evaluation, and no cached image is reused


# (captions, indices, stream) -> uint8 images (B, 3, H, W), and the seconds that drawing them took
Draw = Callable[[Sequence[str], Sequence[int], str], tuple[Tensor, float]]


@dataclass
class Subject:
    """Whose images are scored: `draw` makes those of (captions, indices, stream); `identity` says what they come
    from.
    """

    draw: Callable[[Sequence[str], Sequence[int], str], tuple[Tensor, float]]  # -> images, seconds
    identity: dict[str, Any]
    varied: bool = True  # whether another index of the same prompt is another image


def make_subject(
    config: Config, settings: EvaluationConfig, run_dir: Path | None, device: torch.device, records: Sequence[Any]
) -> tuple[Subject, Teacher | None, Sequence[Any]]:
    """The subject, its teacher (None for real images), and the prompts, fewer if there are fewer real images.

    Raises ValueError for a teacher, a run or a data source that cannot be read.
    """
    if settings.subject == "real":
        images, records = real_images(config.data, records)
        if len(records) < 2:
            raise ValueError("evaluation.subject: real needs at least 2 real images.")
        identity = {"real": repr(config.data), "count": len(records)}
        return Subject(lambda _, indices, __: (images[list(indices)], 0.0), identity, varied=False), None, records
    teacher = load_teacher(config.teacher.path).to(device)
    if settings.subject == "teacher":
        scale = settings.guidance_scale if settings.guidance_scale is not None else config.teacher.guidance_scale
        generator = teacher_generator(
            teacher,
            settings.num_inference_steps,
            seed=settings.seed,
            sampler=_with_correction(settings),
            guidance_scale=scale,
        )
        return Subject(_cached_images(generator, device), _identity(generator)), teacher, records
    if settings.subject == "target":
        exact = exact_generator(
            config,
            teacher,
            settings.num_inference_steps,
            seed=settings.seed,
            noise_correction=settings.noise_correction,
        )
        identity = _identity(exact) | {
            "target": repr(exact.network.target),
            "target_guidance_scale": exact.network.teacher.guidance_scale,  # where the target says none
        }
        return Subject(_fresh_images(exact, device), identity), teacher, records
    if run_dir is None:
        raise ValueError("evaluation.subject: student needs the folder of its run.")
    generator = student_generator(
        config,
        run_dir,
        teacher,
        settings.num_inference_steps,
        seed=settings.seed,
        noise_correction=settings.noise_correction,
        snapshot=settings.snapshot,
    )
    identity = _identity(generator) | {"student_sha256": file_sha256(run_dir / snapshot_file(settings.snapshot))}
    return Subject(_fresh_images(generator, device), identity), teacher, records


def _with_correction(settings: EvaluationConfig) -> Sampler | None:
    """The teacher's solver; `noise_correction: on` corrects it too, so that the undistilled teacher can have a row."""
    sampler = settings.solver if settings.solver is not None else DPMSolverPP()
    if settings.noise_correction is None:
        return sampler
    return dataclasses.replace(sampler, noise_correction=settings.noise_correction)


def comparison(settings: EvaluationConfig, teacher: Teacher | None, device: torch.device) -> Draw | None:
    """The teacher's many-step images of the same noise, at its committed guidance scale, however an arm was trained.

    None for real images, or with teacher_steps: 0.
    """
    if teacher is None or settings.teacher_steps == 0:
        return None
    return _cached_images(teacher_generator(teacher, settings.teacher_steps, seed=settings.seed), device)


def _identity(generator: Generator) -> dict[str, Any]:
    scale = getattr(generator.network, "guidance_scale", None)
    return {
        "teacher_sha256": generator.teacher.sha256,
        "guidance_scale": scale,  # None: the student, which runs unguided
        "timesteps": list(generator.timesteps),
        "sampler": repr(generator.sampler),
    }


def _fresh_images(generator: Generator, device: torch.device) -> Draw:
    def draw(captions: Sequence[str], indices: Sequence[int], stream: str) -> tuple[Tensor, float]:
        start = time.monotonic()
        images = generator.images(captions, indices, stream)  # on the CPU, hence the device has finished
        return images, time.monotonic() - start

    return draw


def _cached_images(generator: Generator, device: torch.device) -> Draw:
    """A batch at a time through the cache: a row of the table, a comparison and a sweep's next arm share the work."""
    fresh = _fresh_images(generator, device)

    def draw(captions: Sequence[str], indices: Sequence[int], stream: str) -> tuple[Tensor, float]:
        def make() -> dict[str, Tensor]:
            images, seconds = fresh(captions, indices, stream)
            return {"images": images, "seconds": torch.tensor(seconds, dtype=torch.float64)}

        key = {
            "version": VERSION,
            **_identity(generator),
            "seed": generator.seed,
            "stream": stream,
            "indices": list(indices),
            "captions": list(captions),
            "device": device.type,
        }
        found = cached("teacher-images", key, make, layout=LAYOUT)
        return found["images"], float(found["seconds"])

    return draw
