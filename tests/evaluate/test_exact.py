"""The student that fits its target exactly: closed forms on Gaussian data, identities on the tiny teacher."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.distill.analytic import AnalyticTeacher, gaussian, predict, sd_process, state_at
from tests.evaluate.conftest import tiny_config
from workbench.config import instantiate, resolve
from workbench.distill import (
    Adversarial,
    IdentityShift,
    InitialNoise,
    MixedNoise,
    Reconstruction,
    ScaleShift,
    StudentNoise,
    TeacherTarget,
)
from workbench.distill.state import State
from workbench.evaluate import evaluate, main
from workbench.evaluation.exact import ExactStudent, exact_generator, exact_target
from workbench.models import Teacher

TARGET = "model.losses.reconstruction.target"
OWN = {f"{TARGET}.noise": "StudentNoise"}  # the default of a configuration mixes fresh noise in
GRID = (1000, 667, 333)


def exact(target: TeacherTarget, teacher: Any) -> ExactStudent:
    return ExactStudent(target, teacher, GRID)


def unconditional(state: State) -> State:
    return dataclasses.replace(state, cond=torch.zeros_like(state.cond))  # type: ignore[arg-type]


# METHOD.md section 6: fixed-point std / true std at T for unit Gaussian data; rows k, columns gamma / t.
@pytest.mark.parametrize(("steps", "factor", "gain"), [(5, 1.0, 0.76), (5, 0.8, 0.88), (5, 0.6, 1.12), (25, 0.8, 1.07)])
def test_the_spread_of_a_shifted_target_is_the_closed_form(steps: int, factor: float, gain: float) -> None:
    state = unconditional(state_at(sd_process(), 1000))
    target = TeacherTarget(shift=ScaleShift(factor=factor), noise=StudentNoise(), steps=steps)
    x0 = exact(target, AnalyticTeacher(gaussian(sd_process(), 0.0, 1.0))).x0(state)
    found = (x0 / state.x_t).mean()
    torch.testing.assert_close(x0, found * state.x_t)  # every element alike: x_T has unit variance
    assert float(found) == pytest.approx(gain, abs=0.02)  # eight steps towards it, and the table's own rounding


@pytest.mark.parametrize("factor", [0.9, 0.7])
@pytest.mark.parametrize("t", [1000, 333])
def test_what_it_says_is_what_its_target_says_of_it(factor: float, t: int) -> None:
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process, 0.4, 0.8), guidance_scale=2.0)
    state = state_at(process, t)
    target = TeacherTarget(shift=ScaleShift(factor=factor), noise=StudentNoise(), steps=3)
    x0 = exact(target, teacher).x0(state)
    pred = predict(teacher.denoiser, state)
    alpha, sigma = process.alpha(t, state.x_t), process.sigma(t, state.x_t)
    again = target(state, type(pred)(x0, (state.x_t - alpha * x0) / sigma), teacher)
    left, was = (again - x0).norm(), (target(state, pred, teacher) - pred.x0).norm()
    assert left < 0.03 * was  # of the distance that a student begins with


def test_where_the_teacher_looks_at_x_t_it_is_the_target_itself_in_k_calls() -> None:
    process = sd_process()
    inner = gaussian(process, 0.4, 0.8)
    calls: list[int] = []

    class Watching(type(inner)):  # type: ignore[misc]
        def forward(self, x_t: Any, t: Any, cond: Any = None) -> Any:
            calls.append(int(t[0]))
            return super().forward(x_t, t, cond)

    state = state_at(process, 667)
    pred = predict(gaussian(process, -0.2, 1.3), state)  # whatever a student says
    for target in (
        TeacherTarget(shift=IdentityShift(), noise=StudentNoise(), steps=4),
        TeacherTarget(shift=ScaleShift(factor=1.0), noise=MixedNoise(rho=0.0), steps=4),
    ):
        expected = target(state, pred, AnalyticTeacher(inner))
        inner.__class__ = Watching
        calls.clear()
        found = exact(target, AnalyticTeacher(inner)).x0(state)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        assert calls == [667, 667, 500, 334, 167]  # its first prediction, then k of the target
        inner.__class__ = type(gaussian(process))


def test_point_mass_data_is_fitted_whatever_the_recipe() -> None:
    process = sd_process()
    state = state_at(process, 667)
    target = TeacherTarget(shift=ScaleShift(factor=0.5), noise=InitialNoise(), steps=2)
    x0 = exact(target, AnalyticTeacher(gaussian(process, 0.37, 0.0))).x0(state)
    condition = state.cond.mean(dim=(1, 2)).view(-1, 1, 1, 1)  # type: ignore[union-attr]  # moves the data
    torch.testing.assert_close(x0, (0.37 + condition).expand_as(x0), rtol=0, atol=1e-9)


# ---- a whole evaluation ---------------------------------------------------------------------------------------------


def test_one_teacher_step_at_x_t_draws_the_teachers_images(tiny_teacher_path: Path, tmp_path: Path) -> None:
    plain = {
        f"{TARGET}.shift": "IdentityShift", f"{TARGET}.noise": "StudentNoise", f"{TARGET}.steps": 1,
        f"{TARGET}.guidance": 3.0,
    }  # fmt: skip
    config = tiny_config(tiny_teacher_path, subject="target", noise_correction=False)
    config = resolve(config, plain)
    found = evaluate(config, None, tmp_path / "target", quiet=True)
    teachers = tiny_config(tiny_teacher_path, subject="teacher", guidance_scale=3.0, solver="DDIM")
    assert found == pytest.approx(evaluate(teachers, None, tmp_path / "teacher", quiet=True), rel=1e-3, abs=1e-3)
    images = [load_file(tmp_path / f / "features.safetensors")["first_images"].int() for f in ("target", "teacher")]
    assert (images[0] - images[1]).abs().max() <= 1  # eps is computed from x0 here, and rounds


def test_an_image_does_not_depend_on_its_batch(tiny_teacher: Teacher, tiny_teacher_path: Path) -> None:
    config = instantiate(resolve(tiny_config(tiny_teacher_path), OWN))
    generator = exact_generator(config, tiny_teacher, 2, seed=0)
    captions = ["a red dress", "a blue boot", "a green bag"]
    together = generator.images(captions, [0, 1, 2])
    alone = torch.cat([generator.images([caption], [i]) for i, caption in enumerate(captions)])
    assert (together.int() - alone.int()).abs().max() <= 1  # convolutions round otherwise in another batch
    other = generator.images(captions, [5, 6, 7])
    assert (together.int() - other.int()).abs().float().mean() > 1


def test_the_configurations_scale_is_the_targets_and_nobody_elses(
    tiny_teacher: Teacher, tiny_teacher_path: Path
) -> None:
    before = tiny_teacher.guidance_scale
    config = instantiate(resolve(tiny_config(tiny_teacher_path), {**OWN, "teacher.guidance_scale": before + 2}))
    generator = exact_generator(config, tiny_teacher, 2, seed=0)
    assert generator.network.teacher.guidance_scale == before + 2 and tiny_teacher.guidance_scale == before
    plain = exact_generator(instantiate(resolve(tiny_config(tiny_teacher_path), OWN)), tiny_teacher, 2, seed=0)
    drawn = [g.images(["a red dress"], [0]).int() for g in (generator, plain)]
    assert not torch.equal(*drawn)


def test_the_command_scores_a_file_without_a_run(
    tiny_teacher_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(__file__).resolve().parents[2] / "sweeps/methods/forward_distillation.yaml"
    few = {"num_images": 4, "num_reference": 8, "teacher_steps": 0, "diversity_prompts": 0, "grid_images": 0}
    command = ["--exact", str(file), "--steps", "1", "--quiet", "--set", "teacher.path", str(tiny_teacher_path)]
    for key, value in few.items():
        command += ["--set", f"evaluation.{key}", str(value)]
    assert main(command) == 0
    assert "FD[judge]" in capsys.readouterr().out
    assert (tmp_path / "evaluations/forward_distillation-exact-1-steps/evaluation.json").is_file()


# ---- what has no exact student --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ({"model.losses.reconstruction": None, "model.losses.adversarial": "Adversarial"}, "exactly one Reconstr"),
        ({"model.losses.second": "Reconstruction"}, "there are 2"),
        ({TARGET: "ConsistencyTarget"}, "copies of the student"),
        ({f"{TARGET}.shift": "CalibratedShift"}, "TableShift"),
        ({f"{TARGET}.noise": "FreshNoise"}, "draws random numbers"),
        ({}, r"draws random numbers \(chi\)"),  # MixedNoise with rho: 0.3
        ({**OWN, f"{TARGET}.guidance": [1, 3]}, "draws random numbers"),
        ({**OWN, f"{TARGET}.shift": "RandomShift"}, "draws random numbers"),
    ],
)
def test_a_recipe_without_an_exact_student_is_refused_in_a_line(
    overrides: dict[str, Any], word: str, tiny_teacher_path: Path, tmp_path: Path
) -> None:
    config = resolve(tiny_config(tiny_teacher_path, subject="target"), overrides)
    with pytest.raises(ValueError, match=word) as error:
        evaluate(config, None, tmp_path, quiet=True)
    assert "\n" not in str(error.value)


def test_a_fixed_point_that_is_not_reached_is_said(tiny_teacher: Teacher, tiny_teacher_path: Path) -> None:
    far = {**OWN, f"{TARGET}.shift": {"class_path": "ScaleShift", "factor": 0.3}}
    with pytest.warns(UserWarning, match="do not reach it"):
        exact_generator(instantiate(resolve(tiny_config(tiny_teacher_path), far)), tiny_teacher, 2, seed=0)


def test_the_target_is_that_of_the_reconstruction() -> None:
    target = TeacherTarget(steps=3, noise=StudentNoise())
    losses = {"a": Reconstruction(target=target), "b": Adversarial()}
    assert exact_target(losses, sd_process(), GRID) is target
