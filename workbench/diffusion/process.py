"""The noise process q(x_t | x_0): alpha, sigma, and what a network's output says about (x_0, eps).

Time is an integer t in 0..T. t = 0 is clean and needs no network; t = T = ``num_train_timesteps`` is the noisiest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Timestep = int | Tensor  # an int shared by the batch, or (B,) long
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction", "flow")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a denoiser says about x_t, whatever its network predicts: alpha_t x0 + sigma_t eps = x_t.

    (Noise correction replaces eps on purpose; only then does the identity not hold.)
    """

    x0: Tensor  # (B, C, H, W), float32 (float64 if the state is)
    eps: Tensor  # (B, C, H, W), same dtype

    def detach(self) -> Prediction:
        return Prediction(self.x0.detach(), self.eps.detach())


class NoiseProcess:
    """x_t = alpha_t x_0 + sigma_t eps with tables in float64.

    Args:
        alphas: (T + 1,) float64 in [0, 1], alphas[0] = 1, never increasing.
        sigmas: (T + 1,) float64 in [0, 1], sigmas[0] = 0, increasing.
        kind: "vp" (the network receives t - 1, as diffusers counts) or "flow" (the network receives t).

    Raises:
        ValueError: the tables are not a noise process (shape, ends, or order).
    """

    def __init__(self, alphas: Tensor, sigmas: Tensor, kind: Literal["vp", "flow"]) -> None:
        alphas, sigmas = alphas.double().cpu(), sigmas.double().cpu()
        if alphas.shape != sigmas.shape or alphas.ndim != 1 or len(alphas) < 2:
            raise ValueError(
                f"NoiseProcess: alphas and sigmas must both be (T + 1,), got {alphas.shape} and {sigmas.shape}."
            )
        if alphas[0] != 1 or sigmas[0] != 0:
            raise ValueError(f"NoiseProcess: t = 0 must be clean, got alpha = {alphas[0]} and sigma = {sigmas[0]}.")
        if not ((alphas.diff() < 0).all() and (sigmas.diff() > 0).all() and alphas[-1] >= 0 and sigmas[-1] <= 1):
            raise ValueError("NoiseProcess: alpha must fall from 1 to no less than 0, sigma rise from 0 to at most 1.")
        self.kind = kind
        self.alphas = alphas
        self.sigmas = sigmas
        self._on_device: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseProcess:
        """The process a diffusers scheduler was made for; spacing and sampling options of the scheduler are ignored.

        Any scheduler with ``alphas_cumprod`` gives a VP process, alpha_t^2 = alphas_cumprod[t - 1].
        FlowMatchEulerDiscreteScheduler, or one with ``use_flow_sigmas``, gives alpha = 1 - t/T, sigma = t/T; the shift
        only moves the sampling grid.

        Raises:
            ValueError: the scheduler has neither.
        """
        name = type(scheduler).__name__
        # Multistep schedulers serve flow models too; the VP table they then still carry is not what the model saw.
        if name.startswith("FlowMatch") or getattr(scheduler.config, "use_flow_sigmas", False):
            steps = int(scheduler.config.num_train_timesteps)
            sigmas = torch.arange(steps + 1, dtype=torch.float64) / steps
            return cls(1 - sigmas, sigmas, "flow")
        if not hasattr(scheduler, "alphas_cumprod"):
            raise ValueError(
                f"NoiseProcess.from_scheduler: {name} has no alphas_cumprod and is no flow matching scheduler. "
                "Use one with a discrete VP schedule, for example DDIMScheduler, or FlowMatchEulerDiscreteScheduler."
            )
        # float64 before anything else: 1 - alphas_cumprod cancels near t = 0.
        alphas_cumprod = torch.cat([torch.ones(1, dtype=torch.float64), scheduler.alphas_cumprod.double().cpu()])
        if getattr(scheduler.config, "rescale_betas_zero_snr", False):
            # Some schedulers store 2^-24 here to keep their own sigmas finite; the schedule itself ends at zero.
            alphas_cumprod[-1] = 0.0
        return cls(alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt(), "vp")

    @property
    def num_train_timesteps(self) -> int:
        """T, the noisiest time."""
        return len(self.alphas) - 1

    @property
    def alpha_T(self) -> float:
        """The signal that is left at t = T; 0 for zero terminal SNR and for flow matching."""
        return float(self.alphas[-1])

    def alpha(self, t: Timestep, like: Tensor) -> Tensor:
        """alpha_t, (B, 1, 1, 1) on like's device: float64 if ``like`` is, else float32, whatever autocast says."""
        return self._coefficient(0, t, like)

    def sigma(self, t: Timestep, like: Tensor) -> Tensor:
        """sigma_t, (B, 1, 1, 1) on like's device: float64 if ``like`` is, else float32, whatever autocast says."""
        return self._coefficient(1, t, like)

    def log_snr(self, t: Timestep) -> Tensor:
        """log(alpha_t^2 / sigma_t^2), float64 on the CPU, () or (B,); +inf at t = 0, -inf where alpha_t = 0."""
        index = torch.as_tensor(t).cpu()
        return 2 * (self.alphas[index].log() - self.sigmas[index].log())

    def network_timestep(self, t: Tensor) -> Tensor:
        """The time as the network counts it, (B,) long: t - 1 for VP tables, t for flow matching. t >= 1."""
        return t - 1 if self.kind == "vp" else t

    def add_noise(self, x0: Tensor, eps: Tensor, t: Timestep) -> Tensor:
        """q(x_0, eps, t) = alpha_t x_0 + sigma_t eps, (B, C, H, W), at least float32."""
        return self.alpha(t, x0) * x0 + self.sigma(t, x0) * eps

    def to_prediction(self, output: Tensor, x_t: Tensor, t: Timestep, prediction_type: str) -> Prediction:
        """A network's output as the pair (x0, eps), at least float32; t >= 1.

        Args:
            output: (B, C, H, W), any floating dtype. "epsilon": eps; "sample": x_0;
                "v_prediction": alpha eps - sigma x_0 (Salimans & Ho 2022); "flow": eps - x_0.
            x_t: (B, C, H, W), the network's input.
            t: (B,) long, or an int.
            prediction_type: one of PREDICTION_TYPES, already accepted by :meth:`check`.
        """
        a, s = self.alpha(t, x_t), self.sigma(t, x_t)
        x, out = x_t.to(a.dtype), output.to(a.dtype)
        if prediction_type == "epsilon":
            return Prediction(x0=(x - s * out) / a, eps=out)
        if prediction_type == "sample":
            return Prediction(x0=out, eps=(x - a * out) / s)
        if prediction_type == "v_prediction":
            norm = a**2 + s**2
            return Prediction(x0=(a * x - s * out) / norm, eps=(s * x + a * out) / norm)
        assert prediction_type == "flow", prediction_type
        return Prediction(x0=(x - s * out) / (a + s), eps=(x + a * out) / (a + s))

    def from_prediction(self, pred: Prediction, x_t: Tensor, t: Timestep, prediction_type: str) -> Tensor:
        """The output a network of this type would have given for (x0, eps); the inverse of :meth:`to_prediction`."""
        if prediction_type == "epsilon":
            return pred.eps
        if prediction_type == "sample":
            return pred.x0
        if prediction_type == "v_prediction":
            return self.alpha(t, x_t) * pred.eps - self.sigma(t, x_t) * pred.x0
        assert prediction_type == "flow", prediction_type
        return pred.eps - pred.x0

    def check(self, prediction_type: str) -> None:
        """Refuse a prediction type that this process cannot serve. Call it at construction, not in the loop.

        Raises:
            ValueError: the type is unknown, or it is "epsilon" and alpha_T = 0 (x0 = (x - sigma eps) / 0 at t = T).
        """
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"prediction_type must be one of {', '.join(PREDICTION_TYPES)}, got {prediction_type!r}.")
        if prediction_type == "epsilon" and self.alpha_T == 0:
            raise ValueError(
                "prediction_type epsilon cannot be used where alpha_T = 0: x0 = (x_T - sigma_T eps) / alpha_T divides "
                "by zero. Use a teacher with v_prediction, sample or flow prediction, or a schedule with alpha_T > 0 "
                "(rescale_betas_zero_snr: false)."
            )

    def as_batch(self, t: Timestep, like: Tensor) -> Tensor:
        """t as (B,) long on like's device; an int is repeated for the batch."""
        if isinstance(t, Tensor):
            return t.to(like.device).expand(len(like))
        return torch.full((len(like),), t, dtype=torch.long, device=like.device)

    def _coefficient(self, which: int, t: Timestep, like: Tensor) -> Tensor:
        dtype = torch.promote_types(like.dtype, torch.float32)
        key = (like.device, dtype)
        if key not in self._on_device:  # one copy a device: indexing it makes no host synchronisation
            self._on_device[key] = (self.alphas.to(like.device, dtype), self.sigmas.to(like.device, dtype))
        table = self._on_device[key][which]
        value = table[t.to(like.device)] if isinstance(t, Tensor) else table[t]
        return value.expand(len(like)).view(-1, 1, 1, 1)
