"""The critic's heads: small text-conditional networks on a frozen teacher's features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Head(nn.Module):
    """One feature map (B, C, h, w) and a text vector (B, D) -> a logit for every position, (B, h, w).

    logit = w . phi + <phi, V text>: a projection discriminator (Miyato & Koyama 2018, arXiv 1802.05637), so that an
    image that does not fit its caption can be told from one that does.
    """

    def __init__(self, channels: int, text_width: int, width: int) -> None:
        super().__init__()
        groups = max(g for g in (8, 4, 2, 1) if width % g == 0)
        self.phi = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.GroupNorm(groups, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(groups, width),
            nn.SiLU(),
        )
        self.bare = nn.Conv2d(width, 1, 1)
        self.text = nn.Linear(text_width, width, bias=False)

    def forward(self, feature: Tensor, text: Tensor) -> Tensor:
        phi = self.phi(feature)  # (B, width, h, w)
        fits = (phi * self.text(text)[:, :, None, None]).sum(1) / phi.shape[1] ** 0.5
        return self.bare(phi)[:, 0] + fits


class Heads(nn.Module):
    """A head for each feature map.

    Args:
        channels: C of each map, in order.
        text_width: D of the text embedding.
        width: channels inside a head.
    """

    def __init__(self, channels: Sequence[int], text_width: int, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(c, text_width, width) for c in channels)

    def forward(self, features: Sequence[Tensor], cond: Tensor) -> list[Tensor]:
        """[(B, h_i, w_i), ...] logits; cond: (B, L, D), averaged over its L tokens."""
        text = cond.float().mean(1)
        return [head(feature.float(), text) for head, feature in zip(self.heads, features, strict=True)]
