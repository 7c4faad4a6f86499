"""Every file of sweeps/methods, at one state, against its paper's formula written out for a Gaussian teacher.

What a file says (target, noise, shift, solver steps, distance, weights) is read from the file; what it must give stands
here in plain arithmetic, with nothing of workbench.distill but the random draws.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distill.analytic import AnalyticTeacher, B, gaussian, predict, sd_process, state_at
from workbench.config import instantiate, resolve
from workbench.diffusion import Prediction
from workbench.distill import Update
from workbench.distill.copies import AverageKind

METHODS = Path(__file__).parents[2] / "sweeps" / "methods"
MEAN, STD, GUIDANCE = 0.4, 0.8, 2.0  # of the teacher
AVERAGE, FAKE = (0.1, 0.9), (-0.2, 0.5)  # of LCM's averaged student, of the fake-score network
T, END = 667, 333  # the student's time and its next one
LEVEL = 300  # that the discriminator looks at
PROCESS = sd_process()


class Features(torch.nn.Module):
    """The Gaussian teacher with its input as its features."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = gaussian(PROCESS, MEAN, STD), []  # type: ignore[var-annotated]

    @property
    def process(self) -> Any:
        return PROCESS

    def __call__(self, *args: Any) -> Prediction:
        return self.inner(*args)

    def features(self, x: Tensor, t: Tensor, cond: Tensor) -> list[Tensor]:
        assert (t == LEVEL).all()
        self.seen.append(x)
        return [x]


class Average:
    """LCM's averaged student."""

    is_there = True

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor) -> Prediction:
        return gaussian(PROCESS, *AVERAGE)(x, t, cond)


class Fake:
    """A fake-score network that has learnt N(-.2, .5^2)."""

    def bind(self, cond: Tensor) -> Any:
        return lambda x, t: gaussian(PROCESS, *FAKE)(x, t, cond)


def scene() -> Update:
    state = state_at(PROCESS, T)
    state = dataclasses.replace(state, copies={AverageKind(0.95): Average()})  # type: ignore[dict-item]
    pred = predict(gaussian(PROCESS, -0.3, 1.1), state)
    teacher: Any = AnalyticTeacher(Features(), GUIDANCE)
    latents = state.random.normal("images", state.x_t.shape[1:])
    return Update(state, Prediction(pred.x0.float().requires_grad_(), pred.eps), teacher, latents)


def losses(name: str) -> dict[str, Any]:
    """As the file says, but with a critic of one level whose logit is the sum of its input, and a fake score that is
    known."""
    found: dict[str, Any] = instantiate(resolve(METHODS / f"{name}.yaml")).model.losses
    loss: Any
    for loss in found.values():
        if hasattr(loss, "noise_levels"):
            loss.noise_levels = (LEVEL / 1000, LEVEL / 1000)
            loss.heads = lambda features, cond: [features[0].flatten(1).sum(1)]
        elif hasattr(loss, "running_mean"):
            loss.running_mean = torch.zeros(1001)
        else:
            loss.fake = Fake()
    return found


def gradient(loss: Any, update: Update) -> Tensor:
    """Of weight x loss at x0."""
    weight = loss.weight if loss.gradient_ratio is None else 1.0
    return torch.autograd.grad(weight * loss(update), update.pred.x0)[0].double()


# ---- plain arithmetic ------------------------------------------------------------------------------------------------


def alpha(t: int | Tensor) -> Any:
    return PROCESS.alphas[t].view(-1, 1, 1, 1) if isinstance(t, Tensor) else float(PROCESS.alphas[t])


def sigma(t: int | Tensor) -> Any:
    return PROCESS.sigmas[t].view(-1, 1, 1, 1) if isinstance(t, Tensor) else float(PROCESS.sigmas[t])


def x0_of(x: Tensor, t: int | Tensor, cond: Tensor, data: tuple[float, float] = (MEAN, STD), g: float = 1.0) -> Tensor:
    """E[x0 | x] of Gaussian data whose mean the condition moves, guided: uncond + g (cond - uncond)."""

    def one(moved: Any) -> Tensor:
        mean, std = data[0] + moved, data[1]
        gain = alpha(t) * std**2 / (alpha(t) ** 2 * std**2 + sigma(t) ** 2)
        return mean + gain * (x - alpha(t) * mean)

    without, given = one(0.0), one(cond.mean(dim=(1, 2)).view(-1, 1, 1, 1))
    return without + g * (given - without)


def ddim(x: Tensor, t: int, end: int, cond: Tensor) -> Tensor:
    """One guided step of the teacher."""
    x0 = x0_of(x, t, cond, g=GUIDANCE)
    return alpha(end) * x0 + sigma(end) * (x - alpha(t) * x0) / sigma(t)


def five_steps(x: Tensor, start: int, cond: Tensor) -> Tensor:
    """The x0 of the fifth of five equal DDIM steps down from `start`."""
    times = [round(start * j / 5) for j in (5, 4, 3, 2, 1)]
    for t, end in zip(times, times[1:], strict=False):
        x = ddim(x, t, end, cond)
    return x0_of(x, times[-1], cond, g=GUIDANCE)


def squared(x0: Tensor, target: Tensor) -> Tensor:
    """Gradient of the mean squared error."""
    return 2 * (x0 - target) / x0.numel()


def normalised(x0: Tensor, target: Tensor) -> Tensor:
    """Gradient of it over its own value, which is the running mean after the first visit."""
    return squared(x0, target) / (x0 - target).square().mean()


def halving(update: Update) -> Tensor:
    """Meng et al. 2023: the x0 with which one DDIM step from t lands at t'' where two guided teacher steps land."""
    x_t, cond = update.state.x_t, update.state.cond
    landed = ddim(ddim(x_t, T, 500, cond), 500, END, cond)  # type: ignore[arg-type]
    ratio = sigma(END) / sigma(T)
    return (landed - ratio * x_t) / (alpha(END) - ratio * alpha(T))


# ---- the files -------------------------------------------------------------------------------------------------------


def test_forward_distillation() -> None:
    update = scene()
    x0, state = update.pred.x0.detach().double(), update.state
    expected = normalised(x0, five_steps(state.x_t, T, state.cond))  # type: ignore[arg-type]
    (loss,) = losses("forward_distillation").values()
    torch.testing.assert_close(gradient(loss, update), expected, rtol=1e-4, atol=1e-6)


def test_imagine_flash() -> None:
    """chi = alpha x0S + sigma (sqrt(1 - rho^2) epshat + rho fresh) at gamma = .7 t, then five steps; hinge on top."""
    update, found = scene(), losses("imagine_flash")
    x0, state, gamma = update.pred.x0.detach().double(), update.state, round(0.7 * T)
    fresh = state.random.normal("chi", x0.shape[1:])
    chi = alpha(gamma) * x0 + sigma(gamma) * (0.91**0.5 * update.pred.eps + 0.3 * fresh)
    expected = normalised(x0, five_steps(chi, gamma, state.cond))  # type: ignore[arg-type]
    torch.testing.assert_close(gradient(found["reconstruction"], update), expected, rtol=1e-4, atol=1e-6)
    expected = torch.full_like(x0, -0.1 * alpha(LEVEL) / B)
    torch.testing.assert_close(gradient(found["adversarial"], update), expected, rtol=1e-5, atol=0)


def test_step_distillation() -> None:
    update = scene()
    (loss,) = losses("step_distillation").values()
    expected = normalised(update.pred.x0.detach().double(), halving(update))
    torch.testing.assert_close(gradient(loss, update), expected, rtol=1e-4, atol=1e-6)


def test_lightning() -> None:
    """Step distillation's target, once as a distance and once as the real side; a game that does not saturate."""
    update, found = scene(), losses("lightning")
    x0 = update.pred.x0.detach().double()
    torch.testing.assert_close(
        gradient(found["reconstruction"], update), normalised(x0, halving(update)), rtol=1e-4, atol=1e-6
    )
    loss: Any = found["adversarial"]
    random = update.state.random.within("adversarial/student")
    noised = alpha(LEVEL) * x0 + sigma(LEVEL) * random.normal("noise", x0.shape[1:])
    slope = -torch.sigmoid(-noised.flatten(1).sum(1)).view(-1, 1, 1, 1)  # of softplus(-logit)
    expected = 0.1 * (slope * alpha(LEVEL) / B).expand_as(x0)
    torch.testing.assert_close(gradient(loss, update), expected, rtol=1e-4, atol=1e-7)
    # the critic's real side
    weight = torch.nn.Parameter(torch.ones(()))
    loss.heads = torch.nn.ModuleList()
    loss.heads.forward = lambda features, cond: [weight * features[0].flatten(1).sum(1)]
    loss.heads.register_parameter("weight", weight)
    loss.optimizer = torch.optim.SGD([weight], lr=0.0)
    teacher: Any = update.teacher
    teacher.denoiser.seen.clear()
    loss.train_critic(update)
    noise = update.state.random.within("adversarial/critic0").within("real").normal("noise", x0.shape[1:])
    real = (teacher.denoiser.seen[0] - sigma(LEVEL) * noise) / alpha(LEVEL)
    torch.testing.assert_close(real.double(), halving(update), rtol=1e-4, atol=1e-5)


def test_lcm() -> None:
    """The averaged student, one guided step 20 of 1000 down, with the boundary; pseudo-Huber with c = .001."""
    update = scene()
    x0, x_t, cond = update.pred.x0.detach().double(), update.state.x_t, update.state.cond
    there = ddim(x_t, T, T - 20, cond)  # type: ignore[arg-type]
    average = x0_of(there, T - 20, cond, AVERAGE)  # type: ignore[arg-type]

    def boundary(t: int) -> tuple[float, float]:
        size = (10 * t) ** 2 + 0.5**2
        return 0.5**2 / size, 10 * t / size**0.5

    (skip, out), (skip_there, out_there) = boundary(T), boundary(T - 20)
    error = x0 - (skip_there * there + out_there * average - skip * x_t) / out
    expected = error / (error.square() + 0.001**2).sqrt() / error.numel()
    (loss,) = losses("lcm").values()
    distance = ((error.square() + 0.001**2).sqrt() - 0.001).mean()  # the gradient is nearly a sign
    torch.testing.assert_close(loss(update).double(), distance, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient(loss, update), expected, rtol=1e-3, atol=1e-6)


def test_add() -> None:
    """One teacher prediction at a random level with fresh noise, its distance weighted by alpha; hinge, 1 : 2.5."""
    update, found = scene(), losses("add")
    x0, state = update.pred.x0.detach().double(), update.state
    gamma = found["reconstruction"].target.shift.at(state, PROCESS)
    assert len(set(gamma.tolist())) == B  # a level a sample
    chi = alpha(gamma) * x0 + sigma(gamma) * state.random.normal("chi", x0.shape[1:])
    expected = alpha(gamma) * squared(x0, x0_of(chi, gamma, state.cond, g=GUIDANCE))  # type: ignore[arg-type]
    torch.testing.assert_close(gradient(found["reconstruction"], update), expected, rtol=1e-4, atol=1e-6)
    expected = torch.full_like(x0, -alpha(LEVEL) / B / 2.5)
    torch.testing.assert_close(gradient(found["adversarial"], update), expected, rtol=1e-5, atol=0)


def test_dmd2() -> None:
    """The normalised difference of the two scores at a random level, guidance on the teacher alone; GAN at .005."""
    update, found = scene(), losses("dmd2")
    x0, state = update.pred.x0.detach().double(), update.state
    assert set(found) == {"distribution", "adversarial"}
    gamma = found["distribution"].shift.at(state, PROCESS)
    assert (gamma >= 20).all() and (gamma <= 980).all() and len(set(gamma.tolist())) == B
    chi = alpha(gamma) * x0 + sigma(gamma) * state.random.normal("chi", x0.shape[1:])
    real, fake = x0_of(chi, gamma, state.cond, g=GUIDANCE), x0_of(chi, gamma, state.cond, FAKE)  # type: ignore[arg-type]
    size = (x0 - real).abs().mean(dim=(1, 2, 3), keepdim=True)
    expected = 2 * (fake - real) / size / x0.numel()
    torch.testing.assert_close(gradient(found["distribution"], update), expected, rtol=1e-4, atol=1e-6)
    adversarial = found["adversarial"]
    assert adversarial.weight == 0.005 and adversarial.critic_updates == found["distribution"].critic_updates == 5


def test_score_difference() -> None:
    """target = x0S + D_Phi(chi) - D_fake(chi), chi at gamma = .7 t with fresh noise, no normalisation."""
    update = scene()
    x0, state, gamma = update.pred.x0.detach().double(), update.state, round(0.7 * T)
    chi = alpha(gamma) * x0 + sigma(gamma) * state.random.normal("chi", x0.shape[1:])
    target = x0 + x0_of(chi, gamma, state.cond, g=GUIDANCE) - x0_of(chi, gamma, state.cond, FAKE)  # type: ignore[arg-type]
    (loss,) = losses("score_difference").values()
    torch.testing.assert_close(gradient(loss, update), squared(x0, target), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("file", sorted(METHODS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_file_has_its_formula_here(file: Path) -> None:
    assert f"test_{file.stem}" in globals()
