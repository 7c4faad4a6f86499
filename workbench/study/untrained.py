"""Arms without a training: what is scored is the student that fits its target exactly, `evaluation.subject: target`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.study.digest import data_without_later
from workbench.study.errors import SweepError
from workbench.study.overrides import writes
from workbench.study.sweep_file import Overrides, SweepFile

TARGET = "target"
SEED = "evaluation.seed"
_SAMPLED = ("grid", "sampler")  # of the model: how its student is sampled


def subject_of(settings: Mapping[str, Any]) -> str:
    """Whose images the settings of an evaluation ask for."""
    return settings.get("subject") or "student"


def is_target(config: Mapping[str, Any]) -> bool:
    """Whether a configuration scores its target."""
    return subject_of(config.get("evaluation") or {}) == TARGET


def check_untrained(sweep: SweepFile, arm: str, overrides: Iterable[Overrides]) -> None:
    """SweepError for what has no meaning where an arm is not trained. overrides: the arm's, and every evaluation's."""
    for name, value in (("budget", sweep.budget), ("select", sweep.select)):
        if value is not None:
            raise SweepError(
                f"{sweep.path}, {name}: is of trainings, but the arm {arm} scores its target and has none. Remove "
                f"{name}, or put such arms into a sweep of their own."
            )
    if any(writes(layer, SEED) for layer in overrides):
        raise SweepError(
            f"{sweep.path}: the arm {arm} scores its target, where nothing is random but the noise: the seeds of the "
            f"file are those of its evaluations. Remove {SEED}, and name them under seeds."
        )


def what_decides(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that its target's images follow from, the evaluation's settings apart."""
    model = config.get("model") or {}
    losses = [loss for loss in (model.get("losses") or {}).values() if isinstance(loss, Mapping)]
    arguments = [loss.get("init_args") for loss in losses]
    return {
        **{key: config.get(key) for key in ("plugins", "teacher")},
        "data": data_without_later(config.get("data")),
        "model": {key: model.get(key) for key in _SAMPLED},
        "targets": [given["target"] for given in arguments if isinstance(given, Mapping) and "target" in given],
    }


def without_training(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as check_distinct compares it: of a target only what its images follow from."""
    if not is_target(config):
        return config
    settings = {key: value for key, value in config["evaluation"].items() if key != "snapshot"}
    return {**what_decides(config), "evaluation": settings}
