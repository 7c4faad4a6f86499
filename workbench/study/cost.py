"""What a cell costs in network passes: one pass is a forward without gradient, of one sample.

An update with K student steps, k teacher steps and guidance g (2 where conditional and unconditional run together):
(K - 1)/2 passes of rollout, 3 of forward and backward, g k of the teacher, and for a critic its own: 3 to train the
student through it, 3 for each update of its own (features of a real and a generated batch, and the heads).
Not counted: the VAE, the text encoder, the metrics, logging. The hours are a plan's hours, rounded up in your mind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.study.plan import Cell

GUIDED = 2.0
NETWORK_CALLS = {"Heun": 2.0}  # of a solver's step; 1 for the others


def cell_passes(cell: Cell) -> float:
    """Network passes of the training, if there is one, and of all evaluations; at least 1."""
    training = training_passes(cell.config) if cell.training else 0.0
    return max(1.0, training + sum(evaluation_passes(task.settings) for task in cell.tasks))


def training_passes(config: Mapping[str, Any]) -> float:
    """Passes of all updates. Keys that are missing count as their defaults."""
    model, train = _group(config, "model"), _group(config, "train")
    steps = model.get("num_steps") or [3]
    count = sum(steps) / len(steps) if isinstance(steps, list) else float(steps)
    trajectory = str(_group(model, "trajectory").get("class_path", model.get("trajectory", "")))
    update = 3.0 + (0.0 if "Forward" in trajectory else (count - 1) / 2)
    for loss in (_group(model, "losses")).values():
        if isinstance(loss, Mapping):
            update += _loss_passes(loss)
    return update * _number(train, "student_updates", 100) * _number(train, "batch_size", 32)


def _loss_passes(loss: Mapping[str, Any]) -> float:
    arguments = _group(loss, "init_args")
    if isinstance(arguments.get("target"), Mapping):
        target = _group(_group(arguments, "target"), "init_args")
        guided = 1.0 if target.get("guidance") in (1, 1.0) else GUIDED
        solver = str(_group(target, "solver").get("class_path", ""))
        return guided * _number(target, "steps", 1) * NETWORK_CALLS.get(solver.rpartition(".")[2], 1.0)
    if "Adversarial" in str(loss.get("class_path", "")):
        return 3.0 + 3.0 * _number(arguments, "critic_updates", 1)
    return 3.0


def evaluation_passes(settings: Mapping[str, Any]) -> float:
    """Passes of one evaluation: a student runs unguided, one pass a step."""
    subject = settings.get("subject") or "student"
    several = _number(settings, "diversity_prompts", 16) * _number(
        settings, "diversity_images", 8
    )  # of one prompt each
    images, steps = _number(settings, "num_images", 512) + several, _number(settings, "num_inference_steps", 3)
    if subject == "real":
        return 0.0
    solver = str(_group(settings, "solver").get("class_path", "")).rpartition(".")[2]
    guided = 1.0 if subject == "student" or settings.get("guidance_scale") in (1, 1.0) else GUIDED
    return images * steps * guided * (1.0 if subject == "student" else NETWORK_CALLS.get(solver, 1.0))


def _group(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float(default)
