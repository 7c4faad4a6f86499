"""The contract of a feature extractor."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from workbench.metrics.fixed_batches import in_fixed_batches


class Extractor(ABC):
    """A frozen network from images to features. One subclass is one extractor: it can be named in a config at once.

    Class variables: `kind`, its name in a config ("judge", "inception:FILE"); `takes_argument`, whether a text after
    the colon is needed; `argument_help`, what that text is.
    Set in `__init__`: `name`, what stands in brackets in a metric's name; `dim`, numbers an image; `sha256`, of the
    weights; `preprocessing`, in words, since features of differently resized images must never share a cache entry.
    """

    kind: ClassVar[str]
    takes_argument: ClassVar[bool] = False
    argument_help: ClassVar[str] = ""

    name: str
    dim: int
    sha256: str
    preprocessing: str
    batch_size: int = 64  # images a forward pass
    device: torch.device = torch.device("cpu")

    @classmethod
    def check_argument(cls, argument: str) -> None:
        """Whether what stands after the colon is there; a path, unless a subclass says otherwise. Raises ValueError."""
        if not Path(argument).exists():
            raise ValueError(f"{cls.kind}: there is no {argument}. Give the {cls.argument_help}.")

    @classmethod
    def label(cls, argument: str) -> str:
        """What `name` will be, before anything is loaded: what stands in the brackets of FD[...]."""
        return cls.kind

    @classmethod
    def make(cls, argument: str | None, device: torch.device | str = "cpu") -> Extractor:
        """From what a config says after the colon. Raises ValueError with what to install or which file to give."""
        extractor = cls(argument) if cls.takes_argument else cls()  # type: ignore[call-arg]
        extractor.to(device)
        return extractor

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) on `device` -> (B, dim) float32."""

    def to(self, device: torch.device | str) -> None:
        """Move the network; images are moved batch by batch."""
        self.device = torch.device(device)

    def metric_name(self, symbol: str) -> str:
        """The name of a metric on these features: metric_name("FD") is "FD[judge]"."""
        return f"{symbol}[{self.name}]"

    @property
    def fingerprint(self) -> str:
        """16 hex digits over everything that decides a feature. Equal fingerprints mean comparable numbers."""
        text = "\n".join((self.name, str(self.dim), self.sha256, self.preprocessing))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) on any device -> (N, dim) float32 on the CPU.

        Every forward pass has exactly `batch_size` images, see `in_fixed_batches`.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"{self.name}: images must be uint8 (N, 3, H, W), but got {images.dtype} {tuple(images.shape)}."
            )
        if len(images) == 0:
            return torch.zeros(0, self.dim)
        out = in_fixed_batches(lambda part: self.forward(part.to(self.device)).float(), images, self.batch_size)
        assert out.shape == (len(images), self.dim), (out.shape, self.dim)
        return out
