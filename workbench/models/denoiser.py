"""Denoiser: teacher and student alike, (x_t, t, cond) -> Prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from workbench.diffusion import Denoise, NoiseProcess, Prediction


class Denoiser(nn.Module, ABC):
    """A network with its noise process and prediction type.

    Raises:
        ValueError: the prediction type cannot be served by the process (:meth:`NoiseProcess.check`).
    """

    def __init__(self, process: NoiseProcess, prediction_type: str) -> None:
        super().__init__()
        process.check(prediction_type)
        self.process = process
        self.prediction_type = prediction_type

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        """What the network says about x_t.

        Args:
            x_t: (B, C, H, W), any floating dtype.
            t: (B,) long in 1..T.
            cond: (B, L, D) text embedding, or None for an unconditional network.

        Returns:
            Prediction, (B, C, H, W) each, at least float32 whatever the network's dtype and autocast.
        """
        return self.process.to_prediction(self.output(x_t, t, cond), x_t, t, self.prediction_type)

    @abstractmethod
    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """The network's own output, (B, C, H, W), in the sense of `prediction_type`."""

    def bind(self, cond: Tensor | None = None) -> Denoise:
        """(x_t, t) -> Prediction with the condition (B, L, D) filled in, as samplers want it."""
        return lambda x_t, t: self(x_t, t, cond)


class UNetDenoiser(Denoiser):
    """A diffusers UNet2DConditionModel (or a UNet2DModel, with cond = None).

    Args:
        unet: registered as `.unet`; its parameters' dtype decides the dtype of the pass.
        process: times, alpha and sigma.
        prediction_type: one of PREDICTION_TYPES.
    """

    unet: Any  # diffusers is untyped

    def __init__(self, unet: nn.Module, process: NoiseProcess, prediction_type: str) -> None:
        super().__init__(process, prediction_type)
        self.unet = unet

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        dtype = next(self.unet.parameters()).dtype
        condition: dict[str, Any] = {} if cond is None else {"encoder_hidden_states": cond.to(dtype)}
        return self.unet(x_t.to(dtype), self.process.network_timestep(t), **condition).sample

    @property
    def feature_channels(self) -> list[int]:
        """Channels of each tensor of :meth:`features`, in order."""
        widths = list(self.unet.config.block_out_channels)
        return [widths[-1], *reversed(widths)]

    def features(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> list[Tensor]:
        """What a discriminator's heads look at: outputs of the mid block and of every up block, deepest first.

        One pass of the network as it is (text-conditional, no guidance); the gradient flows to x_t, and to the
        parameters unless they are frozen.

        Returns:
            [(B, feature_channels[i], h_i, w_i), ...] in the network's dtype.
        """
        found: list[Tensor] = []
        blocks = [self.unet.mid_block, *self.unet.up_blocks]
        hooks: list[RemovableHandle] = [
            block.register_forward_hook(lambda _module, _inputs, out: found.append(out)) for block in blocks
        ]
        try:
            self.output(x_t, t, cond)
        finally:
            for hook in hooks:
                hook.remove()
        assert len(found) == len(blocks), (len(found), len(blocks))
        return found
