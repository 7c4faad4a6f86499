"""The `evaluation` group of a config, with the defaults of what it does not say."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.config import Config, EvaluationConfig, instantiate
from workbench.diffusion import Sampler
from workbench.metrics.extractors import check_extractor


@dataclass
class Settings:
    """The `evaluation` group of a config as this module reads it; what the config does not say has its default here."""

    num_inference_steps: int = 3
    noise_correction: bool | None = None  # None = as in model.sampler
    subject: str = "student"  # student, teacher, real
    guidance_scale: float | None = None  # of the teacher; None = its own
    solver: Sampler | None = None  # of the teacher; None = DPM-Solver++
    num_images: int = 512
    prompts: str = "report"  # report, tune, or a text file
    batch_size: int = 64
    seed: int = 0
    extractors: list[str] = field(default_factory=lambda: ["judge"])
    clip: str | None = None  # a transformers CLIPModel; None = the wardrobe's, for the wardrobe's prompts
    num_reference: int = 4096  # real images to compare with
    teacher_steps: int = 25  # of the teacher's images of the same noise; 0 = no comparison
    diversity_prompts: int = 16  # prompts that are drawn several times; 0 = no diversity
    diversity_images: int = 8  # images of each of them
    grid_images: int = 16  # tiles of grid.png

    @classmethod
    def of(cls, group: Any, more: Mapping[str, Any]) -> Settings:
        """From the config's typed group, and from what that does not know.

        Raises ValueError for an unknown name, a number out of range, or an unknown extractor.
        """
        for name in more:
            if name not in cls.__dataclass_fields__:
                near = difflib.get_close_matches(name, cls.__dataclass_fields__, 1)
                raise ValueError(f"evaluation.{name}: no such setting." + (f" Did you mean {near[0]}?" if near else ""))
        typed = {name: getattr(group, name) for name in cls.__dataclass_fields__ if hasattr(group, name)}
        settings = cls(**{**typed, **more})
        least = {"num_inference_steps": 1, "num_images": 2, "batch_size": 1, "num_reference": 2, "diversity_images": 2}
        for name in ("num_reference", "teacher_steps", "diversity_prompts", "grid_images", *least):
            if getattr(settings, name) < least.get(name, 0):
                raise ValueError(
                    f"evaluation.{name} must be at least {least.get(name, 0)}, but got {getattr(settings, name)}."
                )
        if settings.subject not in ("student", "teacher", "real"):
            raise ValueError(f"evaluation.subject must be student, teacher or real, but got {settings.subject!r}.")
        for spec in settings.extractors:
            check_extractor(spec)
        return settings


def read_settings(config: Mapping[str, Any]) -> tuple[Config, Settings]:
    """The objects of the config. Settings that only this module knows are kept from the config's parser."""
    group = dict(config.get("evaluation") or {})
    known = {f.name for f in dataclasses.fields(EvaluationConfig)}
    typed = instantiate({**config, "evaluation": {k: v for k, v in group.items() if k in known}})
    return typed, Settings.of(typed.evaluation, {k: v for k, v in group.items() if k not in known})


def plain(settings: Any) -> Mapping[str, Any]:
    """A dataclass of settings as a dict for JSON; nested plug-ins as their repr."""
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    return {k: v if isinstance(v, (bool, int, float, str, list, type(None))) else repr(v) for k, v in values.items()}
