from __future__ import annotations

from typing import Any

import pytest

from workbench.study.cost import evaluation_passes, training_passes


def critic(**arguments: Any) -> dict[str, Any]:
    return {"class_path": "Adversarial", "init_args": {"critic_warmup": 0, **arguments}}


def matching(**arguments: Any) -> dict[str, Any]:
    return {"class_path": "DistributionMatching", "init_args": {"critic_warmup": 0, **arguments}}


def consistency(skip: float) -> dict[str, Any]:
    return {"class_path": "ConsistencyTarget", "skip": skip}


def config(**changes: Any) -> dict[str, Any]:
    target = {"steps": 1, "guidance": None, "solver": {"class_path": "DDIM"}, **changes.pop("target", {})}
    named = {"class_path": target.pop("class_path", "TeacherTarget"), "init_args": target}
    reconstruction = {"class_path": "Reconstruction", "init_args": {"target": named}}
    trajectory = changes.pop("trajectory", "Backward")
    name, arguments = (trajectory, {}) if isinstance(trajectory, str) else trajectory
    return {
        "model": {
            "num_steps": [changes.pop("num_steps", 3)],
            "trajectory": {"class_path": name, "init_args": arguments},
            "losses": {"reconstruction": reconstruction, "adversarial": changes.pop("adversarial", None)},
        },
        "train": {"student_updates": changes.pop("updates", 1), "batch_size": 1},
    }


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 6.0),  # (K - 1)/2 + 3 + g k with K = 3, k = 1, g = 2
        ({"target": {"steps": 4}}, 12.0),
        ({"num_steps": 1}, 5.0),
        ({"num_steps": 4}, 6.5),
        ({"trajectory": "Forward"}, 5.0),  # no rollout
        ({"trajectory": "AveragedBackward"}, 6.0),
        ({"target": {"guidance": 1}}, 5.0),
        ({"target": {"solver": {"class_path": "Heun"}, "steps": 3}}, 14.0),  # 2 moves of two calls, and a prediction
        ({"adversarial": critic(critic_updates=2)}, 14.0),  # 2 through the features, 2 (1 + 1) and heads of 2
        ({"adversarial": critic(game="Relativistic")}, 6 + 5 + 1),  # the student's side looks at the real one too
        ({"adversarial": critic(last_steps=1)}, 6 + 5 / 3),
        ({"adversarial": critic(between=[0.5, 1.0])}, 6 + 5 * 2 / 3),
        ({"adversarial": critic(critic_warmup=10)}, 11 + 10 * (1 + 1 + 3)),  # rollout, student, critic alone
        ({"trajectory": ("Backward", {"states": "all"})}, 3 * (3 + 2)),
        # 1, 2/3, 1/3 of T with weights 9, 4, 1 of 14: rollouts of 0, 1, 2
        ({"trajectory": ("Backward", {"power": 2}), "target": {"steps": 4}}, 3 + 8 + (4 + 2) / 14),
        ({"trajectory": ("Forward", {"power": 1}), "adversarial": critic(last_steps=1)}, 5 + 5 / 6),
        ({"trajectory": ("FineForward", {"times": 50}), "target": consistency(0.02)}, 3 + 2 + 1 - 1 / 50),
        ({"trajectory": "Forward", "target": consistency(0.02)}, 3 + 2 + 1),
        (
            {
                "trajectory": ("Staged", {"stages": [4, 2], "trajectory": "Forward"}),
                "updates": 2,
                "target": {"class_path": "ProgressiveTarget", "steps": 2},
            },
            (3 + 4) + (3 + 2),
        ),
        (
            {"trajectory": ("Staged", {"stages": [8, 4, 2], "trajectory": "Backward"}), "updates": 4},
            2 * 3.5 + 1.5 + 0.5 + 4 * 5,
        ),  # stages of 2, 1 and 1 updates
        (
            {"trajectory": ("Mixture", {"share_start": 1.0, "share_end": 0.0, "until": 0.5}), "updates": 4},
            4 * 5 + (0 + 0.5 + 1 + 1),
        ),  # the share of Backward: 0, .5, 1, 1
        ({"adversarial": matching(critic_updates=5)}, 6 + 2 + 1 + 15),
        (
            {"adversarial": matching(critic_updates=1, steps=3, guidance=1.0, critic_warmup=2)},
            6 + 3 + 3 + 3 + 2 * (1 + 1 + 3),
        ),
    ],
)
def test_an_update_costs_what_counting_its_passes_gives(changes: dict[str, Any], passes: float) -> None:
    assert training_passes(config(**changes)) == pytest.approx(passes, rel=1e-12)


def test_a_target_that_two_losses_share_counts_once_and_the_teachers_own_scale_of_one_is_unguided() -> None:
    plain = config()
    target = plain["model"]["losses"]["reconstruction"]["init_args"]["target"]
    shared = config(adversarial=critic(real=target))
    assert training_passes(shared) == training_passes(config(adversarial=critic()))
    other = config(adversarial=critic(real={**target, "init_args": {"steps": 2}}))
    assert training_passes(other) == training_passes(shared) + 4
    assert training_passes({**plain, "teacher": {"guidance_scale": 1.0}}) == training_passes(plain) - 1


def test_a_student_samples_unguided_and_a_teacher_guided() -> None:
    settings = {"num_images": 100, "num_inference_steps": 3, "diversity_prompts": 0}
    assert evaluation_passes(settings) == 300
    assert evaluation_passes({**settings, "subject": "teacher", "num_inference_steps": 25}) == 5_000
    assert evaluation_passes({**settings, "subject": "teacher", "guidance_scale": 1.0}) == 300
    assert evaluation_passes({**settings, "subject": "teacher", "solver": {"class_path": "Heun"}}) == 1_000
    assert evaluation_passes({**settings, "subject": "real"}) == 0
