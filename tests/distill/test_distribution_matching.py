"""DistributionMatching: scores of Gaussians in closed form, what it converges to, and its fake-score network."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distill.analytic import AnalyticTeacher, gaussian, keyed, predict, sd_process, state_at
from workbench.diffusion import Draws, Prediction, Renoise
from workbench.distill import (
    CalibratedShift,
    DistributionMatching,
    FreshNoise,
    MixedNoise,
    RandomShift,
    Reconstruction,
    ScaleShift,
    State,
    TeacherTarget,
    Update,
)
from workbench.models import GaussianDenoiser, LoRAStudent, StudentKind, trainable_state

DATA, STUDENT = (0.4, 0.8), (-0.2, 0.5)


@dataclass(frozen=True)
class Analytic(StudentKind):
    """A fake-score network with two weights."""

    mean: float = 0.0
    std: float = 1.0

    def make(self, teacher: Any) -> Any:
        return GaussianDenoiser(teacher.process, self.mean, self.std, learnable=True)


def prepared(**arguments: Any) -> DistributionMatching:
    loss = DistributionMatching(**{"network": Analytic(*STUDENT), **arguments})
    loss.prepare(teacher(), Draws(0))
    return loss


def teacher(data: tuple[float, float] = DATA, guidance: float = 1.0) -> Any:
    return AnalyticTeacher(gaussian(sd_process(), *data), guidance)


def update_at(t: int = 667, guidance: float = 1.0, data: tuple[float, float] = DATA) -> Update:
    state = state_at(sd_process(), t)
    pred = predict(gaussian(sd_process(), -0.3, 1.1), state)
    return Update(state, Prediction(pred.x0.requires_grad_(), pred.eps), teacher(data, guidance))


def gradient(loss: Any, update: Update) -> Tensor:
    return torch.autograd.grad(loss(update), update.pred.x0)[0]


def chi_and_scores(update: Update, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(chi, sigma^2 / alpha, score of the data, score of the student), both distributions moved by the condition."""
    process, state = update.process, update.state
    alpha, sigma = process.alpha(gamma, state.x_t), process.sigma(gamma, state.x_t)
    chi = alpha * update.pred.x0.detach() + sigma * state.random.normal("chi", state.x_t.shape[1:])
    moved = state.cond.mean(dim=(1, 2)).view(-1, 1, 1, 1)  # type: ignore[union-attr]

    def score(mean: float, std: float) -> Tensor:
        return -(chi - alpha * (mean + moved)) / (alpha**2 * std**2 + sigma**2)

    return chi, sigma**2 / alpha, score(*DATA), score(*STUDENT)


@pytest.mark.parametrize("shift", [ScaleShift(factor=0.6), RandomShift(), RandomShift(per="batch")], ids=repr)
def test_the_gradient_is_the_difference_of_the_two_gaussians_scores(shift: Any) -> None:
    update = update_at()
    gamma = torch.as_tensor(shift.at(update.state, update.process)).expand(4)
    _, factor, real, fake = chi_and_scores(update, gamma)
    expected = 2 * factor * (fake - real) / real.numel()
    torch.testing.assert_close(gradient(prepared(shift=shift, normalise=False), update), expected, rtol=1e-9, atol=0)


def test_normalised_it_is_divided_by_the_distance_to_the_teachers_x0_of_each_sample() -> None:
    update, shift = update_at(), RandomShift()
    gamma = shift.at(update.state, update.process)
    assert isinstance(gamma, Tensor)
    chi, _, _, _ = chi_and_scores(update, gamma)
    real = update.teacher.guided().bind(update.state.cond)(chi, gamma).x0  # type: ignore[arg-type]
    size = (update.pred.x0.detach() - real).abs().mean(dim=(1, 2, 3), keepdim=True)
    plain = gradient(prepared(shift=shift, normalise=False), update)
    torch.testing.assert_close(gradient(prepared(shift=shift), update), plain / size)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("steps", [1, 4])
def test_it_vanishes_where_student_and_data_are_one_distribution(normalise: bool, steps: int) -> None:
    update = update_at(data=STUDENT)
    assert gradient(prepared(normalise=normalise, steps=steps), update).abs().max() < 1e-12
    assert gradient(prepared(normalise=normalise, steps=steps), update_at()).abs().max() > 1e-4


def test_only_the_teacher_is_guided() -> None:
    update = update_at(guidance=3.0, data=STUDENT)
    seen: list[int] = []  # batch of the teacher's network, of the fake-score network
    loss = prepared(normalise=False)
    for denoiser in (update.teacher.denoiser, loss.fake.network):  # type: ignore[attr-defined]
        denoiser.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    assert gradient(loss, update).abs().max() > 1e-6  # equal distributions, but for the guidance
    assert seen == [8, 4]


def test_where_the_fake_score_says_x0_the_loss_is_the_shifted_reconstruction_loss() -> None:
    """The score-difference form: target = x0S + D_Phi(chi) - D_fake(chi), any shift, noise and k."""
    update = update_at()
    arguments: Any = {"shift": ScaleShift(factor=0.7), "noise": MixedNoise(rho=0.3), "steps": 5}
    loss = prepared(normalise=False, **arguments)
    same = update.pred.x0.detach()

    class Says(torch.nn.Module):
        def bind(self, cond: Any) -> Any:
            return lambda x_t, t: Prediction(same, x_t)

    loss.fake = Says()  # type: ignore[assignment]
    shifted = TeacherTarget(**arguments)
    torch.testing.assert_close(loss.target(update)[0], update.target(shifted), rtol=0, atol=1e-12)
    srl = Reconstruction(target=shifted, normalise_per_t=False)
    torch.testing.assert_close(loss(update).float(), srl(update))  # Reconstruction measures in float32
    torch.testing.assert_close(gradient(loss, update), gradient(srl, update), rtol=1e-5, atol=1e-9)


SHAPE = (1, 16, 16)  # independent numbers: a batch of 8 is 2048 samples of a distribution on the line


def drawn(mean: Tensor, std: Tensor, tick: int, t: int = 1000) -> tuple[State, Tensor]:
    """A student of two weights at T, x0 = mean + std z."""
    random = keyed(tick, batch=8)
    z = random.normal("z", SHAPE).double()
    process = sd_process()
    state = State(z, process.as_batch(t, z), t, torch.zeros(8, 3, 5).double(), z, (1000,), 0, random)
    return state, mean + std * z


def train(loss: Any, ticks: int) -> tuple[float, float]:
    """(mean, std) of the student after training with the loss alone, from (-.5, .3)."""
    mean, std = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (-0.5, 0.3))
    optimizer = torch.optim.Adam([mean, std], lr=0.02)
    tail = []
    for tick in range(ticks):
        state, x0 = drawn(mean, std, tick)
        update = Update(state, Prediction(x0.detach().requires_grad_(), state.x_t), teacher())
        x0.backward(gradient(loss, update))
        optimizer.step()
        optimizer.zero_grad()
        loss.train_critic(update)
        if tick >= ticks * 3 // 4:
            tail.append((float(mean.detach()), float(std.detach())))
    return tuple(torch.tensor(tail).mean(0).tolist())


def test_a_student_trained_with_it_finds_the_datas_spread_where_fresh_noise_alone_collapses() -> None:
    """METHOD.md section 6: the fake score is the half of the gradient that keeps the spread."""
    matching = prepared(network=Analytic(-0.5, 0.3), critic_learning_rate=0.05)
    mean, std = train(matching, ticks=240)
    assert abs(mean - DATA[0]) < 0.08 and abs(std - DATA[1]) < 0.08, (mean, std)
    fresh = Reconstruction(target=TeacherTarget(RandomShift(), FreshNoise(), steps=1), normalise_per_t=False)
    mean, std = train(fresh, ticks=120)
    assert abs(mean - DATA[0]) < 0.15 and std < 0.2, (mean, std)


def test_the_fake_score_network_learns_the_students_gaussian() -> None:
    loss = prepared(network=Analytic(0.0, 1.0), critic_learning_rate=0.03, critic_updates=4)
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in STUDENT)
    for tick in range(120):
        state, x0 = drawn(mean, std, tick)
        scalars = loss.train_critic(Update(state, Prediction(x0, state.x_t), teacher()))
    assert scalars["critic_loss"].isfinite()
    learnt: Any = loss.fake.network
    assert abs(learnt.mean.item() - STUDENT[0]) < 0.05 and abs(abs(learnt.std.item()) - STUDENT[1]) < 0.05
    state, _ = drawn(mean, std, 999)  # and so its score is the student's
    truth = gaussian(sd_process(), *STUDENT)
    for t in (300, 600, 900):
        at = torch.full((8,), t)
        score = [-model(state.x_t, at).eps / sd_process().sigmas[t] for model in (loss.fake, truth)]
        assert float((score[0] - score[1]).norm() / score[1].norm()) < 0.1


def test_its_gradient_is_the_mean_over_the_ranks_whatever_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each half of a batch, as a rank would see it: the mean of what both hand to the average is the whole's."""
    from workbench.distill.losses import critic

    seen: list[list[Tensor]] = []

    def watch(gradients: Any) -> list[Tensor]:
        seen.append(list(gradients))
        return [torch.zeros_like(g) for g in gradients]  # so that nothing moves between the three

    monkeypatch.setattr(critic, "average_gradients", watch)
    fake, random = prepared().fake, keyed(batch=8)
    x0 = random.normal("x0", SHAPE).double()
    for rows in (slice(0, 8), slice(0, 4), slice(4, 8)):
        fake.learn(x0[rows], None, dataclasses.replace(random, indices=random.indices[rows]))
    for whole, first, second in zip(*seen, strict=True):
        torch.testing.assert_close((first + second) / 2, whole)


class TestItsNetwork:
    def test_starts_as_the_teacher_and_an_adapter_saves_no_base(self, tiny_teacher: Any) -> None:
        loss = DistributionMatching(network=LoRAStudent(rank=2))
        loss.prepare(tiny_teacher, Draws(0))
        x_t = torch.randn(2, *tiny_teacher.latent_shape)
        t, cond = torch.tensor([500, 20]), tiny_teacher.encode_text(["a", "b"])
        assert torch.equal(loss.fake(x_t, t, cond).x0, tiny_teacher.denoiser(x_t, t, cond).x0)
        saved = loss.training_state()["network"]
        assert saved and all("lora" in name for name in saved)
        other = DistributionMatching(network=LoRAStudent(rank=2))
        other.prepare(tiny_teacher, Draws(0))
        mine, theirs = trainable_state(loss.fake.network), trainable_state(other.fake.network)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)  # of the run's seed alone

    def test_its_state_goes_on_bit_for_bit_and_the_student_feels_nothing(self, tiny_teacher: Any) -> None:
        random = keyed()
        x_t = random.normal("x", tiny_teacher.latent_shape)
        cond = tiny_teacher.encode_text(["a", "b", "c", "d"])
        state = State(x_t, torch.full((4,), 667), 667, cond, x_t, (1000, 667), 1, random)
        update = Update(state, Prediction((0.5 * x_t).requires_grad_(), x_t), tiny_teacher)
        loss, other = (DistributionMatching(critic_updates=2) for _ in range(2))
        for each in (loss, other):
            each.prepare(tiny_teacher, Draws(0))
        start = trainable_state(loss.fake.network)
        loss.train_critic(update)
        assert update.pred.x0.grad is None
        moved = trainable_state(loss.fake.network)
        assert any(not torch.equal(start[name], moved[name]) for name in start)
        other.load_training_state(copy.deepcopy(loss.training_state()))
        for each in (loss, other):
            each.train_critic(update)
        mine, theirs = trainable_state(loss.fake.network), trainable_state(other.fake.network)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert all(p.grad is None and not p.requires_grad for p in tiny_teacher.denoiser.parameters())


@pytest.mark.parametrize(
    "bad",
    [
        {"weight": 0.0}, {"gradient_ratio": 0.0}, {"steps": 0}, {"critic_updates": 0}, {"critic_warmup": -1},
        {"critic_levels": (0.5, 0.1)}, {"critic_learning_rate": 0.0}, {"solver": Renoise()}, {"guidance": (3.0, 1.0)},
    ],
    ids=str,
)  # fmt: skip
def test_refuses_numbers_out_of_range_by_name(bad: dict) -> None:
    with pytest.raises(ValueError, match=f"DistributionMatching {next(iter(bad))}"):
        DistributionMatching(**bad)


def test_refuses_a_shift_that_must_be_measured() -> None:
    with pytest.raises(ValueError, match="without calibration"):
        DistributionMatching(shift=CalibratedShift()).check(sd_process(), [(1000,)])
