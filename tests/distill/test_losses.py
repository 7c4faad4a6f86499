"""Losses: values in closed form, and who receives a gradient."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distill.analytic import AnalyticTeacher, gaussian, predict, sd_process, state_at
from tests.distill.every import every
from workbench.diffusion import Draws, Prediction
from workbench.distill import (
    L1,
    LPIPS,
    MSE,
    Adversarial,
    Distance,
    Game,
    Hinge,
    Keyed,
    NonSaturating,
    PseudoHuber,
    Reconstruction,
    Relativistic,
    SNRWeighted,
    State,
    TeacherTarget,
    Update,
)
from workbench.distill.losses.adversarial import _gradient_penalty


class TestDistances:
    # LPIPS, which needs a network: test_lpips.py
    @pytest.mark.parametrize("cls", [c for c in every(Distance) if c is not LPIPS], ids=lambda c: c.__name__)
    def test_every_distance_is_zero_at_the_target_positive_elsewhere_and_has_a_finite_gradient(
        self, cls: type[Distance]
    ) -> None:
        process, t = sd_process(), torch.tensor([1000, 333])
        target = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        x0 = target.clone().requires_grad_()
        at_target = cls()(x0, target, t, process)
        assert at_target.shape == (2,) and (at_target == 0).all()
        (gradient,) = torch.autograd.grad(at_target.sum(), x0)
        assert gradient.isfinite().all()
        assert (cls()(target + 0.3, target, t, process) > 0).all()

    def test_closed_forms_at_a_constant_error(self) -> None:
        process, t = sd_process(), torch.tensor([1000, 667, 333])
        zero = torch.zeros(3, 2, 2, 2)
        error = zero + 0.5

        def at(distance: Distance) -> list[float]:
            return distance(error, zero, t, process).tolist()

        assert at(MSE()) == pytest.approx([0.25] * 3)
        assert at(L1()) == pytest.approx([0.5] * 3)
        assert at(PseudoHuber(c=0.5)) == pytest.approx([math.sqrt(0.5) - 0.5] * 3)
        snr = [float((process.alphas[i] / process.sigmas[i]) ** 2) for i in (1000, 667, 333)]
        assert [1 / s for s in snr] == pytest.approx([213, 8.5, 0.9], rel=0.05)  # the imbalance of METHOD.md section 6
        assert at(SNRWeighted(maximum=10)) == pytest.approx([0.25 * s for s in snr], rel=1e-5)
        assert at(SNRWeighted(maximum=0.01)) == pytest.approx([0.25 * min(s, 0.01) for s in snr], rel=1e-5)

    def test_pseudo_huber_has_its_two_limits(self) -> None:
        process, t, zero = sd_process(), torch.tensor([333]), torch.zeros(1, 1, 1, 1)
        assert float(PseudoHuber(c=0.1)(zero + 100.0, zero, t, process)) == pytest.approx(100 - 0.1, rel=1e-5)
        assert float(PseudoHuber(c=100.0)(zero + 0.1, zero, t, process)) == pytest.approx(0.01 / 200, rel=1e-5)


def update_at(t: int = 667, teacher: Any = None, offset: float = 0.0) -> Update:
    process = sd_process()
    teacher = teacher or AnalyticTeacher(gaussian(process))
    state = state_at(process, t, dtype=torch.float32)
    pred = predict(gaussian(process, -0.2, 1.3), state)
    return Update(state, Prediction((pred.x0 + offset).requires_grad_(), pred.eps), teacher)


def prepared(loss: Reconstruction, teacher: Any) -> Reconstruction:
    teacher.device = torch.device("cpu")
    loss.prepare(teacher, Draws(0))
    return loss


class TestReconstruction:
    def test_is_the_mean_squared_error_to_a_constant_target(self) -> None:
        update = update_at()
        loss = prepared(Reconstruction(normalise_per_t=False), update.teacher)
        value = loss(update)
        target = TeacherTarget()(update.state, update.pred.detach(), update.teacher)
        torch.testing.assert_close(value, (update.pred.x0 - target).square().mean())
        (gradient,) = torch.autograd.grad(value, update.pred.x0)
        # d mean (x0 - target)^2 / d x0, the target being constant although it was computed from x0
        torch.testing.assert_close(gradient, 2 * (update.pred.x0 - target) / target.numel())

    def test_normalised_losses_of_all_times_begin_at_one_and_follow_a_running_mean(self) -> None:
        teacher = AnalyticTeacher(gaussian(sd_process()))
        loss = prepared(Reconstruction(decay=0.5), teacher)
        for t in (1000, 667, 333):
            assert float(loss(update_at(t, teacher)).detach()) == pytest.approx(1)
        first = float(loss.distances(update_at(667, teacher)).detach().mean())
        second = float(loss.distances(update_at(667, teacher, offset=1.0)).detach().mean())
        expected = second / (0.5 * first + 0.5 * second)
        assert float(loss(update_at(667, teacher, offset=1.0)).detach()) == pytest.approx(expected, rel=1e-5)

    def test_the_running_mean_is_part_of_the_training_state(self) -> None:
        teacher = AnalyticTeacher(gaussian(sd_process()))
        loss, other = prepared(Reconstruction(), teacher), prepared(Reconstruction(), teacher)
        loss(update_at(667, teacher))
        other.load_training_state(loss.training_state())
        again = update_at(667, teacher, offset=0.3)
        assert torch.equal(loss(again), other(again))

    def test_a_student_that_equals_its_target_gives_zero_not_nan(self) -> None:
        update = update_at(667)
        loss = prepared(Reconstruction(), update.teacher)
        update._targets[loss.target] = update.pred.x0.detach().clone()  # to the last bit
        value = loss(update)
        (gradient,) = torch.autograd.grad(value, update.pred.x0)
        assert float(value.detach()) == 0 and (gradient == 0).all()

    @pytest.mark.parametrize("bad", [{"weight": 0.0}, {"decay": 1.0}])
    def test_refuses_numbers_out_of_range(self, bad: dict) -> None:
        with pytest.raises(ValueError, match="Reconstruction"):
            Reconstruction(**bad)


class TestGames:
    def test_hinge_and_non_saturating_in_closed_form(self) -> None:
        real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-0.5, 1.0])
        assert float(Hinge().critic(real, fake)) == pytest.approx((0 + 1) / 2 + (0.5 + 2) / 2)
        assert float(Hinge().student(fake)) == pytest.approx(-0.25)
        softplus = [math.log1p(math.exp(v)) for v in (-2.0, 0.0, -0.5, 1.0)]
        assert float(NonSaturating().critic(real, fake)) == pytest.approx(sum(softplus) / 2)
        assert float(NonSaturating().student(torch.zeros(3))) == pytest.approx(math.log(2))

    def test_the_relativistic_game_sees_differences_alone(self) -> None:
        real, fake, game = torch.tensor([2.0, 0.0]), torch.tensor([-0.5, 1.0]), Relativistic()
        assert float(game.critic(real, fake)) == pytest.approx(sum(math.log1p(math.exp(v)) for v in (-2.5, 1.0)) / 2)
        assert float(game.student(fake, real)) == pytest.approx(sum(math.log1p(math.exp(v)) for v in (2.5, -1.0)) / 2)
        torch.testing.assert_close(game.critic(real + 7, fake + 7), game.critic(real, fake))
        with pytest.raises(ValueError, match="real side"):
            game.student(fake)

    @pytest.mark.parametrize("cls", every(Game), ids=lambda c: c.__name__)
    def test_every_game_pulls_critic_and_student_apart(self, cls: type[Game]) -> None:
        real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
        game = cls()
        by_real, by_fake = torch.autograd.grad(game.critic(real, fake), [real, fake])
        (by_student,) = torch.autograd.grad(game.student(fake, real.detach()), fake)
        assert (by_real < 0).all() and (by_fake > 0).all() and (by_student < 0).all()


def test_gradient_penalty_of_a_linear_head_is_its_squared_norm() -> None:
    w = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    features = [torch.randn(5, 2, requires_grad=True) for _ in range(2)]
    logits = [features[0] @ w[0], features[1] @ w[1]]
    assert float(_gradient_penalty(logits, features)) == pytest.approx((25 + 1) / 2)


@pytest.fixture
def scene(tiny_teacher: Any) -> Update:
    """A state of the tiny teacher with x0 of the student and real latents that differ from it."""
    random = Keyed(Draws(0), 0, tuple(range(4)))
    x_t = random.normal("x", tiny_teacher.latent_shape)
    state = State(
        x_t,
        torch.full((4,), 667),
        667,
        tiny_teacher.encode_text(["a", "b", "c", "d"]),
        x_t,
        (1000, 667, 333),
        1,
        random,
    )
    x0 = 0.5 * random.normal("fake", tiny_teacher.latent_shape)
    latents = 1 + 0.1 * random.normal("real", tiny_teacher.latent_shape)
    return Update(state, Prediction(x0.requires_grad_(), x_t), tiny_teacher, latents)


def adversarial(teacher: Any, seed: int = 0, **arguments: Any) -> Adversarial:
    loss = Adversarial(**{"width": 16, **arguments})
    loss.prepare(teacher, Draws(seed))
    return loss


def weights(loss: Adversarial) -> Tensor:
    return torch.cat([p.detach().flatten() for p in loss.heads.parameters()])


class TestAdversarial:
    def test_the_students_loss_reaches_x0_and_neither_critic_nor_teacher(
        self, scene: Update, tiny_teacher: Any
    ) -> None:
        loss = adversarial(tiny_teacher)
        (gradient,) = torch.autograd.grad(loss(scene), scene.pred.x0)
        assert gradient.abs().max() > 0
        assert all(p.grad is None for p in loss.heads.parameters())
        assert all(p.grad is None and not p.requires_grad for p in tiny_teacher.denoiser.parameters())

    def test_the_critic_learns_and_the_student_feels_nothing_of_it(self, scene: Update, tiny_teacher: Any) -> None:
        loss = adversarial(tiny_teacher)
        before = weights(loss)
        scalars = loss.train_critic(scene)
        assert scene.pred.x0.grad is None
        assert not torch.equal(weights(loss), before)
        assert all(value.isfinite() for value in scalars.values())

    def test_the_critic_tells_real_from_fake_after_some_updates(self, scene: Update, tiny_teacher: Any) -> None:
        loss = adversarial(tiny_teacher, critic_learning_rate=5e-3, noise_levels=(0.01, 0.1), r1=0.0)
        for _ in range(30):
            scalars = loss.train_critic(scene)
        assert float(scalars["critic_accuracy"]) > 0.9

    def test_its_first_weights_depend_on_the_seed_alone(self, tiny_teacher: Any) -> None:
        assert torch.equal(weights(adversarial(tiny_teacher)), weights(adversarial(tiny_teacher)))
        assert not torch.equal(weights(adversarial(tiny_teacher)), weights(adversarial(tiny_teacher, seed=1)))

    def test_is_text_conditional(self, scene: Update, tiny_teacher: Any) -> None:
        loss = adversarial(tiny_teacher)
        features = tiny_teacher.denoiser.features(scene.state.x_t, scene.state.t, scene.state.cond)
        here = loss.heads(features, scene.state.cond)
        assert scene.state.cond is not None
        elsewhere = loss.heads(features, scene.state.cond.flip(0))
        assert not torch.equal(here[0], elsewhere[0])

    def test_the_real_side_may_be_a_target_and_then_needs_no_image(self, scene: Update, tiny_teacher: Any) -> None:
        loss = adversarial(tiny_teacher, real=TeacherTarget(steps=1))
        assert not loss.needs_images and Adversarial().needs_images
        without = Update(scene.state, scene.pred, tiny_teacher, latents=None)
        assert loss.train_critic(without)["critic_loss"].isfinite()

    def test_a_relativistic_student_is_compared_with_the_real_side_at_its_own_levels(
        self, scene: Update, tiny_teacher: Any
    ) -> None:
        loss = adversarial(tiny_teacher, game=Relativistic())
        same = Update(scene.state, scene.pred, tiny_teacher, latents=scene.pred.x0.detach())
        assert float(loss(same).detach()) == pytest.approx(math.log(2), abs=1e-5)  # equal images, levels and noise
        assert float(loss.train_critic(same)["critic_loss"]) == pytest.approx(math.log(2), abs=1e-5)
        assert abs(float(loss(scene).detach()) - math.log(2)) > 1e-3
        (gradient,) = torch.autograd.grad(loss(scene), scene.pred.x0)
        assert gradient.abs().max() > 0

    def test_a_relativistic_critic_tells_the_pairs_apart(self, scene: Update, tiny_teacher: Any) -> None:
        loss = adversarial(
            tiny_teacher, game=Relativistic(), critic_learning_rate=5e-3, noise_levels=(0.01, 0.1), r1=0.0
        )
        for _ in range(30):
            scalars = loss.train_critic(scene)
        assert float(scalars["critic_accuracy"]) > 0.9

    def test_the_training_state_carries_critic_and_optimiser(self, scene: Update, tiny_teacher: Any) -> None:
        loss, other = adversarial(tiny_teacher), adversarial(tiny_teacher, seed=1)
        loss.train_critic(scene)
        other.load_training_state(copy.deepcopy(loss.training_state()))  # as from a file: not the same tensors
        loss.train_critic(scene)
        other.train_critic(scene)
        assert torch.equal(weights(loss), weights(other))

    def test_acts_only_where_it_is_switched_on(self, scene: Update) -> None:
        assert Adversarial().applies(scene)
        assert not Adversarial(last_steps=1).applies(scene)  # 667 is the second of three
        assert Adversarial(last_steps=2).applies(scene)
        assert Adversarial(between=(0.5, 0.7)).applies(scene)
        assert not Adversarial(between=(0.0, 0.5)).applies(scene)

    @pytest.mark.parametrize(
        "bad",
        [
            {"weight": 0.0}, {"gradient_ratio": 0.0}, {"weight": 0.2, "gradient_ratio": 0.3},
            {"noise_levels": (0.5, 0.1)}, {"between": (0.0, 1.5)},
            {"critic_updates": 0}, {"critic_warmup": -1}, {"r1": -1.0}, {"last_steps": 0}, {"width": 0},
            {"critic_learning_rate": 0.0},
        ],
        ids=str,
    )  # fmt: skip
    def test_refuses_numbers_out_of_range_by_name(self, bad: dict) -> None:
        with pytest.raises(ValueError, match=next(iter(bad))):
            Adversarial(**bad)


def test_a_weight_that_normalisation_would_undo_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SNRWeighted weighs the times t.*normalise_per_t: off"):
        Reconstruction(distance=SNRWeighted())
    Reconstruction(distance=SNRWeighted(), normalise_per_t=False)
