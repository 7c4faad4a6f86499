"""Captions from a text file, one a line; no images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from workbench.data.base import DataSource, Index, as_list
from workbench.files import read_text

MAX_BYTES = 1_000_000_000  # some ten million prompts


@dataclass(frozen=True)
class PromptFile(DataSource):
    """A UTF-8 text file with one prompt a line; empty lines and lines that begin with # are skipped.

    Raises ValueError, at construction, for a file that is missing or holds no prompt.
    """

    path: str

    def __post_init__(self) -> None:
        if not Path(self.path).is_file():
            raise ValueError(f"PromptFile path: no such file: {self.path!r}. Give a text file, one prompt a line.")
        if not self._lines:
            raise ValueError(f"PromptFile path: {self.path!r} holds no prompt. Put one prompt on each line.")

    @cached_property
    def _lines(self) -> list[str]:
        lines = (line.strip() for line in read_text(Path(self.path), MAX_BYTES).splitlines())
        return [line for line in lines if line and not line.startswith("#")]

    def __len__(self) -> int:
        return len(self._lines)

    def captions(self, indices: Index) -> list[str]:
        return [self._lines[i] for i in as_list(indices)]

    @property
    def has_images(self) -> bool:
        return False

    def images(self, indices: Index) -> Tensor:
        raise ValueError(
            f"PromptFile {self.path!r} holds captions only, but this run asks for real images. "
            "Use the trajectory Backward without a discriminator on data, or a source with images (ImageFolder)."
        )
