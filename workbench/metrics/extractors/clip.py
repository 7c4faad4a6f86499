"""A CLIP model from transformers: text and images in one space."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.metrics.extractors.base import Extractor
from workbench.metrics.resize import resize
from workbench.models.folder_check import check_model_folder
from workbench.safe_json import read_json

WARDROBE_CLIP = Path(__file__).parents[2] / "assets" / "judge" / "clip"


class ClipModel:
    """Unit-length embeddings of captions and images by any transformers CLIPModel.

    path: a local folder, or an id of the hub that is already in the local cache; None is the wardrobe's own model. Only
    safetensors are loaded, nothing is downloaded. Images are resized bicubic and antialiased (the model's own
    processor differs between releases; ours is part of the hash). Captions longer than the model's context are cut,
    but keep their end token, from which the embedding is read; `truncated` counts them.
    Raises ValueError if there is no model at `path`.
    """

    def __init__(self, path: str | None = None, device: torch.device | str = "cpu") -> None:
        from transformers import AutoTokenizer, CLIPModel

        source = str(WARDROBE_CLIP if path is None else path)
        check_clip(source)
        try:
            self.model = (
                CLIPModel.from_pretrained(source, local_files_only=True, use_safetensors=True).eval().to(device)
            )
            self.tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # the libraries have an error of their own for each lie of a config or a header
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise ValueError(f"evaluation.clip: no CLIPModel with its tokenizer at {source} ({reason}).") from error
        self.name = "wardrobe" if path is None else Path(source).name
        self.device = torch.device(device)
        self.dim = int(self.model.config.projection_dim)
        self.input_size = int(self.model.config.vision_config.image_size)
        self.context = int(self.model.config.text_config.max_position_embeddings)
        self.sha256 = weights_hash(self.model)
        self.truncated = 0
        self._mean, self._std = _normalisation(source)

    @torch.inference_mode()
    def images(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) on `device` -> (B, dim) of length 1."""
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (self._mean, self._std))
        x = (resize(images, self.input_size) / 255 - mean) / std
        pooled = self.model.vision_model(pixel_values=x).pooler_output
        return F.normalize(self.model.visual_projection(pooled).float(), dim=-1)

    @torch.inference_mode()
    def texts(self, captions: Sequence[str], batch_size: int = 256) -> Tensor:
        """(N, dim) of length 1 on the CPU; equal captions are embedded once."""
        unique = sorted(set(captions))
        self.truncated = sum(len(self.tokenizer(c)["input_ids"]) > self.context for c in unique)
        rows = []
        for start in range(0, len(unique), batch_size):
            part = unique[start : start + batch_size]
            # The tokenizer truncates before it adds the end token, so the end token survives.
            tokens = self.tokenizer(
                part, padding="max_length", max_length=self.context, truncation=True, return_tensors="pt"
            ).to(self.device)
            pooled = self.model.text_model(**tokens).pooler_output
            rows.append(F.normalize(self.model.text_projection(pooled).float(), dim=-1).cpu())
        where = {caption: i for i, caption in enumerate(unique)}
        return torch.cat(rows)[[where[c] for c in captions]]


class ClipImages(Extractor):
    """The image half of a CLIP model as an extractor: FD[clip] and the like, `clip:PATH`, or the wardrobe's own."""

    kind: ClassVar[str] = "clip"
    takes_argument: ClassVar[bool] = True
    argument_help: ClassVar[str] = "folder of a transformers CLIPModel, or the word wardrobe"

    @classmethod
    def check_argument(cls, argument: str) -> None:
        if argument != "wardrobe":
            super().check_argument(argument)

    @classmethod
    def label(cls, argument: str) -> str:
        return f"CLIP {Path(argument).name}"

    def __init__(self, path: str | ClipModel = "wardrobe") -> None:
        self.clip = path if isinstance(path, ClipModel) else ClipModel(None if path == "wardrobe" else path)
        self.name = f"CLIP {self.clip.name}"
        self.dim = self.clip.dim
        self.sha256 = self.clip.sha256
        self.preprocessing = f"bicubic antialiased to {self.clip.input_size} px, mean and std of the model; unit length"
        self.device = self.clip.device

    def to(self, device: torch.device | str) -> None:
        super().to(device)
        self.clip.model.to(device)
        self.clip.device = torch.device(device)

    def forward(self, images: Tensor) -> Tensor:
        return self.clip.images(images)


def weights_hash(module: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a module's tensors; independent of how they were stored."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_clip(source: str) -> None:
    """Whether there is a CLIP model to load, and no code with it; cheap enough to check every cell of a sweep.

    source: a folder, or an id of the hub that is in the local cache. Raises ValueError, see `check_model_folder`.
    """
    from transformers.utils import cached_file

    folder = Path(source)
    if not folder.is_dir():
        try:
            folder = Path(cached_file(source, "config.json", local_files_only=True)).parent
        except (OSError, ValueError) as error:
            raise ValueError(
                f"evaluation.clip: no CLIPModel with its tokenizer at {source[:200]}, neither as a folder nor in the "
                "local cache of the hub. Nothing is downloaded here: fetch it first."
            ) from error
    check_model_folder(folder)


def _normalisation(source: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and std of the model's own preprocessor_config.json; OpenAI's CLIP values if there is none."""
    from transformers.utils import cached_file

    file = cached_file(
        source, "preprocessor_config.json", local_files_only=True, _raise_exceptions_for_missing_entries=False
    )
    if file is not None:
        config = read_json(Path(file), limit=1_000_000)
        if isinstance(config, dict) and "image_mean" in config and "image_std" in config:
            mean, std = config["image_mean"], config["image_std"]
            for values in (mean, std):
                if not isinstance(values, list) or len(values) != 3 or not all(type(v) in (int, float) for v in values):
                    raise ValueError(f"evaluation.clip: {file}: image_mean and image_std must be three numbers each.")
            return mean, std
    return (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
