"""Small stand-ins: extractors that need no weights file, and prompts with labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from workbench.data.wardrobe.attributes import VALUES
from workbench.metrics import Batch, Extractor


class PixelMeans(Extractor):
    """Means of the image's quadrants and channels, 12 numbers: features with a meaning one can compute by hand."""

    # No `kind` of its own: it must not be offered to users.
    def __init__(self, batch_size: int = 8) -> None:
        self.name, self.dim, self.sha256, self.preprocessing = "means", 12, "0" * 64, "none"
        self.batch_size = batch_size
        self.images_seen = 0

    def forward(self, images: Tensor) -> Tensor:
        assert len(images) == self.batch_size  # the promise of Extractor.__call__
        self.images_seen += len(images)
        return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


class TinyJudge(nn.Module):
    """Random but fixed weights in the shape of workbench.world.judge.Judge."""

    sha256 = "1" * 64

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 16))
            self.heads = nn.ModuleDict({name: nn.Linear(16, len(values)) for name, values in VALUES.items()})

    def features(self, images: Tensor) -> Tensor:
        return self.body(images)

    def attributes(self, images: Tensor) -> dict[str, Tensor]:
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}


@dataclass
class Prompt:
    """What a metric reads of a wardrobe record."""

    caption: str = "a bag"
    labels: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VALUES, 0))
    named: frozenset[str] = frozenset(VALUES)
    seen: bool = True


def random_images(n: int, seed: int = 0, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, size, size), generator=generator, dtype=torch.uint8)


def batch(images: Tensor, records: list[Any] | None = None, paired: Tensor | None = None) -> Batch:
    prompts = [Prompt(f"prompt {i}") for i in range(len(images))] if records is None else records
    return Batch(torch.arange(len(images)), images, prompts, paired)
