"""A folder of images with a caption beside each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from workbench.data.base import DataSource, Index, as_list

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


@dataclass(frozen=True)
class ImageFolder(DataSource):
    """Images below `path`, sorted by name; the caption of a.png is a.txt, or the line of metadata.jsonl
    ({"file_name": "a.png", "text": "..."}, the layout of Hugging Face datasets) that names it.

    Each image is cropped to its central square and resized to `size` pixels (bicubic, antialiased).
    Raises ValueError for a folder without images, and names the file for a missing caption or an unreadable image.
    """

    path: str
    size: int = 512  # pixels; a multiple of the VAE's downsampling factor

    def __post_init__(self) -> None:
        if not Path(self.path).is_dir():
            raise ValueError(f"ImageFolder path: there is no folder {self.path!r}.")
        if self.size < 1:
            raise ValueError(f"ImageFolder size must be at least 1 pixel, but got {self.size}.")
        if not self._files:
            raise ValueError(f"ImageFolder path: {self.path!r} holds no image ({', '.join(sorted(SUFFIXES))}).")

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(f for f in Path(self.path).rglob("*") if f.suffix.lower() in SUFFIXES)

    @cached_property
    def _metadata(self) -> dict[str, str]:
        file = Path(self.path) / "metadata.jsonl"
        if not file.is_file():
            return {}
        rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        return {row["file_name"]: row["text"] for row in rows}

    def __len__(self) -> int:
        return len(self._files)

    def captions(self, indices: Index) -> list[str]:
        return [self._caption(self._files[i]) for i in as_list(indices)]

    def _caption(self, file: Path) -> str:
        name = file.relative_to(self.path).as_posix()
        if name in self._metadata:
            return self._metadata[name]
        text = file.with_suffix(".txt")
        if not text.is_file():
            raise ValueError(f"{file}: no caption. Write one to {text.name} beside it, or add it to metadata.jsonl.")
        return text.read_text(encoding="utf-8").strip()

    def images(self, indices: Index) -> Tensor:
        return torch.stack([self._image(self._files[i]) for i in as_list(indices)])

    def _image(self, file: Path) -> Tensor:
        try:
            with Image.open(file) as opened:
                image = opened.convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{file}: not a readable image ({error}). Remove or replace it.") from error
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((self.size, self.size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
