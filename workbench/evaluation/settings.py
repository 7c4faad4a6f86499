"""The `evaluation` group of a config: read, and checked against what an evaluation can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.config import Config, EvaluationConfig, instantiate
from workbench.data import PromptFile
from workbench.diffusion import NoiseProcess
from workbench.metrics.extractors import Inception, check_extractor
from workbench.metrics.extractors.clip import check_clip

SUBJECTS = ("student", "teacher", "real", "target")
STUDENTS = ("student", "target")  # on the student's grid, with its sampler, unguided
TEACHERS_OWN = ("guidance_scale", "solver")
LEAST = {
    "num_inference_steps": 1,
    "num_images": 2,
    "batch_size": 1,
    "num_reference": 2,
    "teacher_steps": 0,
    "diversity_prompts": 0,
    "diversity_images": 2,
    "grid_images": 0,
}


def read_settings(config: Mapping[str, Any]) -> tuple[Config, EvaluationConfig]:
    """The objects of a config, and its `evaluation` group.

    Raises ValueError for an unknown name, a number out of range, an unknown subject or extractor, or prompts that are
    not there.
    """
    typed = instantiate(config)
    check_settings(typed.evaluation)
    return typed, typed.evaluation


def check_settings(settings: EvaluationConfig) -> None:
    """What can be known of an evaluation without drawing an image. Raises ValueError as `read_settings`."""
    for name, least in LEAST.items():
        if getattr(settings, name) < least:
            raise ValueError(f"evaluation.{name} must be at least {least}, but got {getattr(settings, name)}.")
    if settings.subject not in SUBJECTS:
        raise ValueError(f"evaluation.subject must be one of {', '.join(SUBJECTS)}, but got {settings.subject!r}.")
    if settings.subject in STUDENTS:
        for name in TEACHERS_OWN:
            if getattr(settings, name) is not None:
                raise ValueError(
                    f"evaluation.{name} is the teacher's: a student runs unguided and with model.sampler, so that it "
                    "changes nothing here. Put it where evaluation.subject is teacher, in a sweep under references."
                )
    if settings.clip is not None:
        check_clip(settings.clip)
    for spec in settings.extractors:
        extractor, argument = check_extractor(spec)
        if argument is not None:
            extractor.check_argument(argument)
    if settings.prompts not in ("report", "tune"):
        try:
            PromptFile(settings.prompts)
        except ValueError as error:
            raise ValueError(f"evaluation.prompts: neither report nor tune, and as a file: {error}") from error


def check_student_steps(config: Config, process: NoiseProcess) -> None:
    """ValueError for a student's grid that has no times for the number of steps that the evaluation asks for."""
    settings = config.evaluation
    if settings.subject in STUDENTS:
        try:
            config.model.grid.timesteps(process, settings.num_inference_steps)
        except ValueError as error:
            raise ValueError(f"evaluation.num_inference_steps: {error}") from error


def check_measured(metric: str, settings: Mapping[str, Any]) -> None:
    """ValueError for a metric of a table that an evaluation with these settings does not give.

    settings: the resolved `evaluation` group. An extractor of a plug-in may call its features as it likes.
    """
    family, bracket, rest = metric.partition("[")
    name = rest.partition("]")[0]
    if family == "CLIP":
        given = "wardrobe" if settings.get("clip") is None else Path(str(settings["clip"])).name
        if name != given:
            raise ValueError(f"{metric}: the evaluations measure CLIP[{given}]. Name that, or set evaluation.clip.")
        return
    if not bracket and metric not in ("FID", "KID"):
        return
    wanted = name if bracket else Inception.label("")
    found = [check_extractor(spec) for spec in settings.get("extractors") or []]
    if any(not cls.__module__.startswith("workbench.") for cls, _ in found):
        return
    names = [cls.label(argument or "") for cls, argument in found]
    if wanted not in names:
        raise ValueError(
            f"{metric}: the evaluations have the features of {', '.join(names) or 'no extractor'}. Add the one that is "
            "meant to evaluation.extractors."
        )


def plain(settings: Any) -> Mapping[str, Any]:
    """A dataclass of settings as a dict for JSON; nested plug-ins as their repr."""
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    return {k: v if isinstance(v, (bool, int, float, str, list, type(None))) else repr(v) for k, v in values.items()}
