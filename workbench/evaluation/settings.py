"""The `evaluation` group of a config: read, and checked against what an evaluation can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from workbench.config import Config, EvaluationConfig, instantiate
from workbench.data import PromptFile
from workbench.metrics.extractors import check_extractor

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
    if settings.subject not in ("student", "teacher", "real"):
        raise ValueError(f"evaluation.subject must be student, teacher or real, but got {settings.subject!r}.")
    for spec in settings.extractors:
        extractor, argument = check_extractor(spec)
        if argument is not None:
            extractor.check_argument(argument)
    if settings.prompts not in ("report", "tune"):
        try:
            PromptFile(settings.prompts)
        except ValueError as error:
            raise ValueError(f"evaluation.prompts: neither report nor tune, and as a file: {error}") from error


def plain(settings: Any) -> Mapping[str, Any]:
    """A dataclass of settings as a dict for JSON; nested plug-ins as their repr."""
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    return {k: v if isinstance(v, (bool, int, float, str, list, type(None))) else repr(v) for k, v in values.items()}
