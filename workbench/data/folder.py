"""A folder of images with a caption beside each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from workbench.data.base import DataSource, Index, as_list
from workbench.files import read_text
from workbench.safe_json import parse_json

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow goes by the content: of others some start programs (EPS)
MAX_METADATA = 1_000_000_000  # bytes of metadata.jsonl


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
        captions = {}
        for number, line in enumerate(read_text(file, MAX_METADATA).splitlines(), 1):
            row = parse_json(line, f"{file}, line {number}") if line.strip() else {"file_name": "", "text": ""}
            if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("file_name", "text")):
                raise ValueError(f'{file}, line {number}: must be {{"file_name": "a.png", "text": "..."}}.')
            captions[row["file_name"]] = row["text"]
        return captions

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
        return read_text(text, 1_000_000).strip()

    def images(self, indices: Index) -> Tensor:
        return torch.stack([self._image(self._files[i]) for i in as_list(indices)])

    def _image(self, file: Path) -> Tensor:
        try:
            with Image.open(file, formats=FORMATS) as opened:
                image = opened.convert("RGB")
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
            raise ValueError(f"{file}: not a readable image ({error}). Remove or replace it.") from error
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((self.size, self.size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
