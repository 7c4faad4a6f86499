"""Adversarial: a critic on the frozen teacher's features of noised latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion import Draws, NoiseProcess
from workbench.distill.games import Game, Hinge
from workbench.distill.losses.base import Loss
from workbench.distill.losses.critic import critic_step
from workbench.distill.losses.heads import Heads
from workbench.distill.state import Keyed
from workbench.distill.targets import Target
from workbench.distill.update import Update

_WEIGHT = 0.1


class Adversarial(Loss):
    """A game between the student's x0 and real latents, judged by text-conditional heads on frozen teacher features.

    Both sides are noised to levels drawn for each sample, as the teacher's features are made for noised inputs; the
    teacher itself learns nothing. The critic (the heads) has an optimiser of its own and learns after the student, from
    the same states. The paper trains with such a loss but leaves its design free (METHOD.md section 4).

    Args:
        weight: factor of the student's loss; > 0.
        gradient_ratio: instead of `weight`: |gradient of this loss at x0| / |gradient of the reconstruction at x0|.
        game: Hinge, NonSaturating or Relativistic.
        real: null = latents of real images; or a Target, whose output plays the real side (then no image is needed).
        noise_levels: [low, high] as fractions of T; levels are uniform between them.
        r1: factor of the gradient penalty E |d logits / d features|^2 at real samples. On the features, so that no
            second derivative of the teacher is needed (as in ADD, Sauer et al. 2023, arXiv 2311.17042).
        critic_learning_rate: of its Adam optimiser (betas .5, .9).
        critic_updates: critic updates for every state that the student is trained at; each with noise of its own.
        critic_warmup: ticks in which the critic alone learns, before the first student update.
        between: [low, high] as fractions of T: the loss acts only at student times t between them.
        last_steps: act only at the last n steps of the student's grid; null = at all.
        width: channels inside the heads.

    Raises:
        ValueError: a number out of its range; both names of the weight at once.
    """

    def __init__(
        self,
        weight: float = _WEIGHT,
        gradient_ratio: float | None = None,
        game: Game = Hinge(),  # noqa: B008  # frozen
        real: Target | None = None,
        noise_levels: tuple[float, float] = (0.05, 0.6),
        r1: float = 0.01,
        critic_learning_rate: float = 5e-4,
        critic_updates: int = 1,
        critic_warmup: int = 20,
        between: tuple[float, float] = (0.0, 1.0),
        last_steps: int | None = None,
        width: int = 64,
    ) -> None:
        super().__init__()
        _above("weight", weight, 0)
        _above("critic_learning_rate", critic_learning_rate, 0)
        if gradient_ratio is not None:
            _above("gradient_ratio", gradient_ratio, 0)
            if weight != _WEIGHT:
                raise ValueError(
                    f"Adversarial has a weight ({weight}) and a gradient_ratio ({gradient_ratio}), which takes its "
                    "place. Give one of them."
                )
        for name, count, least in (
            ("critic_updates", critic_updates, 1),
            ("critic_warmup", critic_warmup, 0),
            ("width", width, 1),
            ("r1", r1, 0),
            ("last_steps", 1 if last_steps is None else last_steps, 1),
        ):
            if count < least:
                raise ValueError(f"Adversarial {name} must be at least {least}, but got {count}.")
        for name, (low, high) in (("noise_levels", tuple(noise_levels)), ("between", tuple(between))):
            if not 0 <= low <= high <= 1:
                raise ValueError(f"Adversarial {name} must be 0 <= low <= high <= 1 (of T), but got {[low, high]}.")
        self.weight = weight
        self.gradient_ratio = gradient_ratio
        self.game = game
        self.real = real
        self.noise_levels = tuple(noise_levels)
        self.r1 = r1
        self.critic_learning_rate = critic_learning_rate
        self.critic_updates = critic_updates
        self.critic_warmup = critic_warmup
        self.between = tuple(between)
        self.last_steps = last_steps
        self.width = width

    @property
    def needs_images(self) -> bool:
        return self.real is None

    @property
    def warmup_ticks(self) -> int:
        return self.critic_warmup

    @property
    def targets(self) -> Sequence[Target]:
        return () if self.real is None else (self.real,)

    def calibrate(self, spread: Callable[[Target, int], float], process: NoiseProcess, times: Sequence[int]) -> None:
        if self.real is not None:
            self.real = self.real.calibrate(spread, process, times)

    def prepare(self, teacher: Any, draws: Draws) -> None:
        denoiser = teacher.denoiser
        with torch.random.fork_rng(devices=[]):  # the weights depend on the run's seed alone, on every rank
            torch.manual_seed(int(draws.one("critic", 0).integers(2**62)))
            self.heads = Heads(denoiser.feature_channels, teacher.uncond.shape[-1], self.width)
        self.heads.to(teacher.device)
        self.optimizer = torch.optim.Adam(self.heads.parameters(), lr=self.critic_learning_rate, betas=(0.5, 0.9))

    def applies(self, update: Update) -> bool:
        state, T = update.state, update.process.num_train_timesteps
        low, high = self.between
        is_late = self.last_steps is None or state.index >= len(state.timesteps) - self.last_steps
        return is_late and low * T <= state.timestep <= high * T

    def forward(self, update: Update) -> Tensor:
        """The student's side: the critic's weights are constants here."""
        random = update.state.random.within("adversarial/student")
        fakes = self._logits(update, update.pred.x0, random)
        if not self.game.relative:
            return torch.stack([self.game.student(fake) for fake in fakes]).mean()
        with torch.no_grad():
            reals = self._logits(update, self._real(update), random)  # at the same levels
        return torch.stack([self.game.student(f, r) for f, r in zip(fakes, reals, strict=True)]).mean()

    def train_critic(self, update: Update) -> dict[str, Tensor]:
        """`critic_updates` steps of the critic's own optimiser at this state; the student's x0 is constant."""
        fake = update.pred.x0.detach()
        real = self._real(update)
        scalars: dict[str, Tensor] = {}
        for j in range(self.critic_updates):
            scalars = self._critic_step(update, real, fake, update.state.random.within(f"adversarial/critic{j}"))
        return scalars

    def _real(self, update: Update) -> Tensor:
        real = update.latents if self.real is None else update.target(self.real)
        assert real is not None, "the latents of real images were not loaded"
        return real

    def _critic_step(self, update: Update, real: Tensor, fake: Tensor, random: Keyed) -> dict[str, Tensor]:
        with torch.no_grad():
            real_features = self._features(update, real, random.within("real"))
            fake_features = self._features(update, fake, random.within("real" if self.game.relative else "fake"))
        cond = update.state.cond
        with torch.enable_grad():
            real_features = [f.float().requires_grad_(self.r1 > 0) for f in real_features]
            real_logits = self.heads(real_features, cond)
            fake_logits = self.heads(fake_features, cond)
            pairs = zip(real_logits, fake_logits, strict=True)
            game = torch.stack([self.game.critic(r, f) for r, f in pairs]).mean()
            penalty = _gradient_penalty(real_logits, real_features) if self.r1 > 0 else torch.zeros_like(game)
            critic_step(game + self.r1 * penalty, list(self.heads.parameters()), self.optimizer)
        accuracy = torch.stack([self.game.accuracy(r, f) for r, f in zip(real_logits, fake_logits, strict=True)])
        return {"critic_loss": game.detach(), "r1": penalty.detach(), "critic_accuracy": accuracy.mean()}

    def _logits(self, update: Update, x0: Tensor, random: Keyed) -> list[Tensor]:
        assert update.state.cond is not None, "the heads are text-conditional"
        return self.heads(self._features(update, x0, random), update.state.cond)

    def _features(self, update: Update, x0: Tensor, random: Keyed) -> list[Tensor]:
        T = update.process.num_train_timesteps
        low, high = self.noise_levels
        levels = ((low + (high - low) * random.uniform("levels")) * T).round().long().clamp(min=1).to(x0.device)  # (B,)
        x_s = update.process.add_noise(x0, random.normal("noise", x0.shape[1:]), levels)
        teacher: Any = update.teacher
        return teacher.denoiser.features(x_s, levels, update.state.cond)

    def training_state(self) -> dict[str, Any]:
        return {"module": self.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        self.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])


def _gradient_penalty(logits: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """R1 of every head at its own input: the mean over samples and heads of |d sum(logit) / d feature|^2, ()."""
    gradients = torch.autograd.grad([logit.sum() for logit in logits], list(features), create_graph=True)
    return torch.stack([g.square().flatten(1).sum(1).mean() for g in gradients]).mean()


def _above(name: str, value: float, bound: float) -> None:
    if not value > bound:
        raise ValueError(f"Adversarial {name} must be above {bound}, but got {value}.")
