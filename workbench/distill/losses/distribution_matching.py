"""DistributionMatching: the difference of two scores, the data's and the student's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion import DDIM, Draws, NoiseProcess, Sampler, solve
from workbench.distill.losses.base import Loss
from workbench.distill.losses.fake_score import FakeScore
from workbench.distill.noises import FreshNoise, TargetNoise
from workbench.distill.shifts import RandomShift, ShiftSchedule
from workbench.distill.targets.guidance import checked_guidance, guidance_scale
from workbench.distill.update import Update
from workbench.models import FullStudent, StudentKind


class DistributionMatching(Loss):
    """The teacher and a network that knows the student's own distribution look at the student's x0, noised:

        chi    = alpha_gamma x0S + sigma_gamma noise
        target = x0S + D_Phi(chi) - D_fake(chi),      loss = mean (x0S - target)^2, the target being constant

    Its gradient is that of the KL divergence between the two noised distributions, both halves of it: what is missing
    in shifted reconstruction with fresh noise, whose target is D_Phi(chi) alone and which therefore shrinks the
    student's spread (METHOD.md section 6). With gamma and noise of choice, and normalise: off, this is the
    score-difference form of the shifted loss; where D_fake(chi) = x0S the two are one.

    D_fake (FakeScore) learns after the student, `critic_updates` times at the same x0, each time with new noise: two
    time scales. Only the teacher is guided.
    Reference: Yin et al. 2023 (DMD), arXiv 2311.18828, section 3; Yin et al. 2024 (DMD2), arXiv 2405.14867, section 4.

    Args:
        weight: factor of the loss; > 0.
        gradient_ratio: instead of `weight`, as in every loss; needs another one with a fixed weight.
        shift, noise: gamma(t), and what x0S is noised with.
        steps, solver: of teacher and fake-score network from gamma down; 1 is their prediction at chi.
        guidance: scale of the teacher; or [low, high], drawn for each sample; null = the teacher's own.
        normalise: divide the difference by mean |x0S - D_Phi(chi)| of each sample, as DMD does.
        network: how the fake-score network is made from the teacher: all weights, or an adapter.
        critic_learning_rate: of its Adam optimiser.
        critic_updates: its updates for every state that the student is trained at.
        critic_warmup: ticks in which it alone learns, before the first student update.
        critic_levels: [low, high], the noise levels that it learns at, as fractions of T.

    Raises:
        ValueError: a number out of its range; a shift that must be calibrated (in `check`).
    """

    def __init__(
        self,
        weight: float = 1.0,
        gradient_ratio: float | None = None,
        shift: ShiftSchedule = RandomShift(),  # noqa: B008  # frozen
        noise: TargetNoise = FreshNoise(),  # noqa: B008
        steps: int = 1,
        solver: Sampler = DDIM(),  # noqa: B008
        guidance: float | tuple[float, float] | None = None,
        normalise: bool = True,
        network: StudentKind = FullStudent(),  # noqa: B008
        critic_learning_rate: float = 1e-4,
        critic_updates: int = 5,
        critic_warmup: int = 10,
        critic_levels: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        for name, number, is_right in (
            ("weight", weight, weight > 0),
            ("gradient_ratio", gradient_ratio, gradient_ratio is None or gradient_ratio > 0),
            ("critic_learning_rate", critic_learning_rate, critic_learning_rate > 0),
        ):
            if not is_right:
                raise ValueError(f"DistributionMatching {name} must be above 0, but got {number}.")
        for name, count, least in (
            ("steps", steps, 1),
            ("critic_updates", critic_updates, 1),
            ("critic_warmup", critic_warmup, 0),
        ):
            if count < least:
                raise ValueError(f"DistributionMatching {name} must be at least {least}, but got {count}.")
        low, high = critic_levels
        if not (0 <= low <= high <= 1 and high > 0):
            raise ValueError(
                f"DistributionMatching critic_levels must be 0 <= low <= high <= 1 (of T), but got {[low, high]}."
            )
        if solver.stochastic or solver.noise_correction:
            raise ValueError(
                f"DistributionMatching solver {solver!r}: the teacher's answer must be a function of chi, and noise "
                "correction belongs to the student's sampler. Use DDIM, DPMSolverPP or Heun as they are."
            )
        self.weight = weight
        self.gradient_ratio = gradient_ratio
        self.shift = shift
        self.noise = noise
        self.steps = steps
        self.solver = solver
        self.guidance = checked_guidance(guidance, "DistributionMatching")
        self.normalise = normalise
        self.network = network
        self.critic_learning_rate = critic_learning_rate
        self.critic_updates = critic_updates
        self.critic_warmup = critic_warmup
        self.critic_levels = (low, high)

    @property
    def warmup_ticks(self) -> int:
        return self.critic_warmup

    def prepare(self, teacher: Any, draws: Draws) -> None:
        with torch.random.fork_rng(devices=[]):  # an adapter's first weights: of the run's seed, on every rank
            torch.manual_seed(int(draws.one("fake_score", 0).integers(2**62)))
            network = self.network.make(teacher)
        if next(teacher.denoiser.parameters()).dtype == torch.float64:
            network.double()
        self.fake = FakeScore(network, self.critic_learning_rate, self.critic_levels)

    def check(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> None:
        if self.shift.needs_calibration:
            raise ValueError(
                f"DistributionMatching shift {self.shift!r}: a spread is measured for a target that a teacher gives "
                "alone. Use a shift without calibration, for example TableShift."
            )
        for timesteps in grids:
            for t in timesteps:
                self.shift(t, process, timesteps)  # refuses levels that round to 0

    def target(self, update: Update) -> tuple[Tensor, Tensor]:
        """(x0S + D_Phi(chi) - D_fake(chi), D_Phi(chi)), (B, C, H, W) each; constants."""
        with torch.no_grad():
            state, process, pred = update.state, update.process, update.pred.detach()
            gamma = self.shift.at(state, process)
            chi = process.add_noise(pred.x0, self.noise(state, pred), gamma)
            guided = update.teacher.guided(guidance_scale(self.guidance, state))
            denoise = guided.bind(state.cond)  # type: ignore[arg-type]  # None only in tests
            real = solve(process, denoise, chi, gamma, self.steps, self.solver).x0
            fake = solve(process, self.fake.bind(state.cond), chi, gamma, self.steps, self.solver).x0
            return pred.x0 + real - fake, real

    def forward(self, update: Update) -> Tensor:
        x0 = update.pred.x0  # at least float32
        target, real = self.target(update)
        difference = (x0.detach() - target).to(x0.dtype)
        if self.normalise:
            size = (x0.detach() - real).abs().flatten(1).mean(1).view(-1, 1, 1, 1)
            difference = difference / size.clamp(min=torch.finfo(x0.dtype).tiny)
        return (x0 - (x0.detach() - difference)).square().mean()

    def train_critic(self, update: Update) -> dict[str, Tensor]:
        """`critic_updates` steps of the fake-score network at this state; the student's x0 is constant."""
        loss = torch.zeros(())
        for j in range(self.critic_updates):
            random = update.state.random.within(f"fake_score/critic{j}")
            loss = self.fake.learn(update.pred.x0.detach(), update.state.cond, random)
        return {"critic_loss": loss}

    def training_state(self) -> dict[str, Any]:
        return self.fake.training_state()

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        self.fake.load_training_state(state)
