"""The wardrobe's own judge as an extractor."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.metrics.extractors.base import Extractor
from workbench.metrics.quantise import to_unit

SIZE = 32  # pixels; the judge is never shown a resized image


class JudgeExtractor(Extractor):
    """Features of the classifier that judges attributes, trained on a fold of its own. At most 64 dimensions, so a
    Frechet distance of a few hundred images is well conditioned. Not comparable with any published FID.
    """

    kind: ClassVar[str] = "judge"

    def __init__(self, judge: Any = None) -> None:
        """judge: a module with `features(images in [0, 1])`, `attributes(images)`, `sha256`; None loads the shipped
        one.
        """
        if judge is None:
            from workbench.world.judge import load_judge

            judge = load_judge()
        self.judge = judge.eval()
        self.name = "judge"
        self.sha256 = str(judge.sha256)
        self.preprocessing = "uint8 / 255, no resize"
        self.batch_size = 128
        with torch.inference_mode():
            self.dim = int(judge.features(torch.zeros(1, 3, SIZE, SIZE)).shape[1])

    def to(self, device: torch.device | str) -> None:
        super().to(device)
        self.judge.to(device)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != (SIZE, SIZE):
            raise ValueError(
                f"The judge knows the wardrobe's images of {SIZE} x {SIZE} pixels, but got {tuple(images.shape[-2:])}. "
                "Use another extractor, for example efficientnet-lite0."
            )
        return self.judge.features(to_unit(images))
