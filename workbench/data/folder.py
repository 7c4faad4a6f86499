"""A folder of images with a caption beside each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.data.base import DataSource, Index, as_list
from workbench.data.image_file import read_image
from workbench.files import read_text
from workbench.safe_json import parse_json

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
MAX_METADATA = 1_000_000_000  # bytes of metadata.jsonl


@dataclass(frozen=True)
class ImageFolder(DataSource):
    """Images below `path`, sorted by name; the caption of a.png is a.txt, or the line of metadata.jsonl
    ({"file_name": "a.png", "text": "..."}, the layout of Hugging Face datasets) that names it.

    Each image is cropped to its central square and resized to `size` pixels (bicubic, antialiased).

    quarantine: names of images that are left out, as --quarantine finds them. Every other image keeps its index. At
    the index of one that is left out stands the next sound one, image and caption, of the same parity where there is
    one: evaluations take the even and the odd indices for halves that have nothing in common. A file that is named
    here and was removed since keeps its place too.

    Raises ValueError for a folder without images, and names the file for a missing caption or an unreadable image.
    """

    path: str
    size: int = 512  # pixels; a multiple of the VAE's downsampling factor
    quarantine: tuple[str, ...] = ()  # below `path`, with "/" on every system

    def __post_init__(self) -> None:
        if not Path(self.path).is_dir():
            raise ValueError(f"ImageFolder path: there is no folder {self.path!r}.")
        if self.size < 1:
            raise ValueError(f"ImageFolder size must be at least 1 pixel, but got {self.size}.")
        if not self._files:
            raise ValueError(f"ImageFolder path: {self.path!r} holds no image ({', '.join(sorted(SUFFIXES))}).")
        if set(self._files) <= self._left_out:
            raise ValueError(f"ImageFolder quarantine: every image of {self.path!r} is left out.")

    @cached_property
    def _files(self) -> list[Path]:
        """Every image, the removed ones that are in quarantine among them, by name."""
        there = (f for f in Path(self.path).rglob("*") if f.suffix.lower() in SUFFIXES)
        return sorted({*there, *self._left_out})

    @cached_property
    def _left_out(self) -> set[Path]:
        return {Path(self.path) / name for name in self.quarantine}

    @cached_property
    def _shown(self) -> list[Path]:
        """The file that stands at each index."""
        files, count = self._files, len(self._files)
        shown = list(files)
        for i in (i for i, file in enumerate(files) if file in self._left_out):
            same = chain(range(i + 2, count, 2), range(i % 2, i, 2))
            other = chain(range(i + 1, count, 2), range(1 - i % 2, i, 2))
            shown[i] = next(files[j] for j in chain(same, other) if files[j] not in self._left_out)
        return shown

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
        return [self._caption(self._shown[i]) for i in as_list(indices)]

    def _caption(self, file: Path) -> str:
        name = file.relative_to(self.path).as_posix()
        if name in self._metadata:
            return self._metadata[name]
        text = file.with_suffix(".txt")
        if not text.is_file():
            raise ValueError(f"{file}: no caption. Write one to {text.name} beside it, or add it to metadata.jsonl.")
        return read_text(text, 1_000_000).strip()

    def images(self, indices: Index) -> Tensor:
        return torch.stack([self._image(self._shown[i]) for i in as_list(indices)])

    def image_files(self) -> dict[str, Path]:
        kept = (file for file in self._files if file not in self._left_out)
        return {file.relative_to(self.path).as_posix(): file for file in kept}

    def _image(self, file: Path) -> Tensor:
        image = read_image(file)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((self.size, self.size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
