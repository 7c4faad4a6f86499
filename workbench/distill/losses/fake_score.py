"""FakeScore: a network that learns the student's own distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench.diffusion import Denoise, Prediction
from workbench.distill.losses.critic import critic_step
from workbench.distill.state import Keyed
from workbench.models import Denoiser, load_trainable_state, trainable_state


class FakeScore(nn.Module):
    """A denoiser with an optimiser of its own (Adam), trained on what the student draws: its prediction is the score of
    the student's distribution.

    Args:
        network: a trainable copy of the teacher; only its trainable weights are saved.
        learning_rate: constant.
        levels: (low, high) of the noise levels that it learns at, as fractions of T.
    """

    def __init__(self, network: Denoiser, learning_rate: float, levels: tuple[float, float]) -> None:
        super().__init__()
        self.network = network
        self.levels = levels
        self.parameters_to_learn = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters_to_learn, lr=learning_rate, betas=(0.9, 0.999))

    @torch.no_grad()
    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        """The student's distribution as a denoiser; no gradient."""
        return self.network(x_t, t, cond)

    def bind(self, cond: Tensor | None = None) -> Denoise:
        """(x_t, t) -> Prediction with the condition (B, L, D) filled in."""
        return lambda x_t, t: self(x_t, t, cond)

    def learn(self, x0: Tensor, cond: Tensor | None, random: Keyed) -> Tensor:
        """One update of denoising x0, (B, C, H, W) of the student, without gradient; returns the loss, ().

        The error is that of the network's own output (of eps for epsilon prediction), as in ordinary training.
        """
        network, process = self.network, self.network.process
        low, high = self.levels
        shares = low + (high - low) * random.uniform("levels")
        t = (shares * process.num_train_timesteps).round().long().clamp(min=1).to(x0.device)  # (B,)
        eps = random.normal("noise", x0.shape[1:])
        with torch.enable_grad():
            x_t = process.add_noise(x0.detach(), eps, t)
            wanted = process.from_prediction(
                Prediction(x0.detach().to(x_t), eps.to(x_t)), x_t, t, network.prediction_type
            )
            loss = (network.output(x_t, t, cond).to(wanted.dtype) - wanted).square().mean()
            critic_step(loss, self.parameters_to_learn, self.optimizer)
        return loss.detach()

    def training_state(self) -> dict[str, Any]:
        """Trainable weights and optimiser."""
        return {"network": trainable_state(self.network), "optimizer": self.optimizer.state_dict()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`training_state`. ValueError if the weights are those of another network."""
        load_trainable_state(self.network, state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
