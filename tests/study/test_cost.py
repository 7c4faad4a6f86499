from __future__ import annotations

from typing import Any

import pytest

from workbench.study.cost import evaluation_passes, training_passes


def config(**changes: Any) -> dict[str, Any]:
    target = {"steps": 1, "guidance": None, "solver": {"class_path": "DDIM"}, **changes.pop("target", {})}
    reconstruction = {"class_path": "Reconstruction", "init_args": {"target": {"init_args": target}}}
    return {
        "model": {
            "num_steps": [changes.pop("num_steps", 3)],
            "trajectory": {"class_path": changes.pop("trajectory", "Backward")},
            "losses": {"reconstruction": reconstruction, "adversarial": changes.pop("adversarial", None)},
        },
        "train": {"student_updates": 1, "batch_size": 1},
    }


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 6.0),  # (K - 1)/2 + 3 + g k with K = 3, k = 1, g = 2
        ({"target": {"steps": 4}}, 12.0),
        ({"num_steps": 1}, 5.0),
        ({"num_steps": 4}, 6.5),
        ({"trajectory": "Forward"}, 5.0),  # no rollout
        ({"target": {"guidance": 1}}, 5.0),
        ({"target": {"solver": {"class_path": "Heun"}}}, 8.0),
        ({"adversarial": {"class_path": "Adversarial", "init_args": {"critic_updates": 2}}}, 15.0),
    ],
)
def test_an_update_costs_what_counting_its_passes_gives(changes: dict[str, Any], passes: float) -> None:
    assert training_passes(config(**changes)) == passes


def test_a_student_samples_unguided_and_a_teacher_guided() -> None:
    settings = {"num_images": 100, "num_inference_steps": 3, "diversity_prompts": 0}
    assert evaluation_passes(settings) == 300
    assert evaluation_passes({**settings, "subject": "teacher", "num_inference_steps": 25}) == 5_000
    assert evaluation_passes({**settings, "subject": "teacher", "guidance_scale": 1.0}) == 300
    assert evaluation_passes({**settings, "subject": "real"}) == 0
