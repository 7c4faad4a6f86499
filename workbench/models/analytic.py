"""Closed-form teachers: the optimal denoisers of Gaussian and Gaussian mixture data, for tests and notebooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.diffusion import NoiseProcess, Prediction
from workbench.models.denoiser import Denoiser


class AnalyticDenoiser(Denoiser):
    """A denoiser that knows E[x_0 | x_t], dressed as a network of the given prediction type.

    float64 in gives float64 out. A condition (B, L, D) moves the data by its mean over L and D, so that guidance too
    has a closed form; None moves nothing.
    """

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        alpha, sigma = self.process.alpha(t, x_t), self.process.sigma(t, x_t)
        x = x_t.to(alpha.dtype)
        shift = torch.zeros_like(alpha) if cond is None else cond.to(x).mean(dim=(1, 2)).view(-1, 1, 1, 1)
        # p(x_t | c) is p(x_t) moved by alpha c: centre, predict, move x_0 back. eps is the same in both frames.
        centred = self.posterior(x - alpha * shift, alpha, sigma)
        pred = Prediction(x0=centred.x0 + shift, eps=centred.eps)
        return self.process.from_prediction(pred, x, t, self.prediction_type)

    def posterior(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
        """(E[x_0 | x], E[eps | x]), (B, C, H, W) each; alpha and sigma are (B, 1, 1, 1)."""
        raise NotImplementedError


class GaussianDenoiser(AnalyticDenoiser):
    """Data N(mean, std^2), independent in every element.

    x0 = mean + alpha std^2 / v (x - alpha mean), eps = sigma / v (x - alpha mean), v = alpha^2 std^2 + sigma^2.

    Args:
        mean, std: numbers, or tensors that broadcast to (C, H, W); std = 0 is a point mass.
        learnable: the two become trainable parameters (a student with closed-form gradients).
    """

    def __init__(
        self,
        process: NoiseProcess,
        mean: float | Tensor = 0.0,
        std: float | Tensor = 1.0,
        prediction_type: str = "v_prediction",
        learnable: bool = False,
    ) -> None:
        super().__init__(process, prediction_type)
        self.mean = nn.Parameter(torch.as_tensor(mean, dtype=torch.float64), requires_grad=learnable)
        self.std = nn.Parameter(torch.as_tensor(std, dtype=torch.float64), requires_grad=learnable)

    def posterior(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
        mean, std = self.mean.to(x), self.std.to(x)
        whitened = (x - alpha * mean) / (alpha**2 * std**2 + sigma**2)
        return Prediction(x0=mean + alpha * std**2 * whitened, eps=sigma * whitened)


class GaussianMixtureDenoiser(AnalyticDenoiser):
    """Data sum_k weights[k] N(means[k], stds[k]^2 I), over the whole image at once.

    Args:
        weights: (K,), positive; normalised here.
        means: (K, C, H, W).
        stds: (K,), >= 0.

    Raises:
        ValueError: the three do not have the same K, or a weight is not positive.
    """

    def __init__(
        self,
        process: NoiseProcess,
        weights: Tensor,
        means: Tensor,
        stds: Tensor,
        prediction_type: str = "v_prediction",
    ) -> None:
        super().__init__(process, prediction_type)
        if not (len(weights) == len(means) == len(stds) and weights.ndim == stds.ndim == 1 and means.ndim == 4):
            raise ValueError(
                "GaussianMixtureDenoiser needs weights (K,), means (K, C, H, W) and stds (K,), got "
                f"{tuple(weights.shape)}, {tuple(means.shape)} and {tuple(stds.shape)}."
            )
        if not (weights > 0).all():
            raise ValueError(f"GaussianMixtureDenoiser weights must be positive, got {weights.tolist()}.")
        for name, value in {"weights": weights / weights.sum(), "means": means, "stds": stds}.items():
            self.register_buffer(name, value.double())

    def posterior(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
        residual, variance, log_joint = self._components(x, alpha, sigma)
        share = log_joint.softmax(dim=1)[:, :, None, None, None]  # (B, K, 1, 1, 1), p(k | x)
        whitened = share * residual / variance  # (B, K, C, H, W)
        means, stds = self.get_buffer("means").to(x), self.get_buffer("stds").to(x).view(-1, 1, 1, 1)
        x0 = (share * means + alpha[:, None] * stds**2 * whitened).sum(dim=1)
        return Prediction(x0=x0, eps=(sigma[:, None] * whitened).sum(dim=1))

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t), (B,): its gradient is the score, -E[eps | x_t] / sigma_t."""
        _, _, log_joint = self._components(x_t, self.process.alpha(t, x_t), self.process.sigma(t, x_t))
        return log_joint.logsumexp(dim=1)

    def _components(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x - alpha m_k (B, K, C, H, W); alpha^2 s_k^2 + sigma^2 (B, K, 1, 1, 1); log w_k N(x; ...) (B, K)."""
        means, stds = self.get_buffer("means").to(x), self.get_buffer("stds").to(x)
        residual = x[:, None] - alpha[:, None] * means
        variance = alpha[:, None] ** 2 * stds.view(-1, 1, 1, 1) ** 2 + sigma[:, None] ** 2
        log_normal = -(residual**2 / variance + (2 * torch.pi * variance).log()).sum(dim=(2, 3, 4)) / 2
        return residual, variance, log_normal + self.get_buffer("weights").to(x).log()
