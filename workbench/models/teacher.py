"""The frozen teacher: a Stable Diffusion folder in diffusers' layout, loaded part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion import NoiseProcess
from workbench.models.denoiser import UNetDenoiser
from workbench.models.folder_check import check_model_folder
from workbench.models.guidance import GuidanceScale, GuidedDenoiser
from workbench.safe_json import read_json

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
DEFAULT_GUIDANCE_SCALE = 7.5  # Stable Diffusion's; a folder says its own in workbench.json
_ASSETS = Path(__file__).parent.parent / "assets" / "teachers"
# diffusers' names for our prediction types
_PREDICTION_TYPES = {"flow_prediction": "flow"}


class Teacher:
    """Everything a text-to-image teacher consists of, frozen and in eval mode.

    Not a module, on purpose: as an attribute of one it is not registered, hence never saved into a checkpoint.

    Attributes:
        name, path: as given, and where it was found.
        process, denoiser: the noise process and the UNet as a Denoiser (no guidance).
        vae, text_encoder, tokenizer: the other parts.
        guidance_scale: the scale committed with the teacher in `workbench.json`, else 7.5.
        settings: all of `workbench.json`, {} without it.
        latent_shape: (C, h, w).
        uncond: (L, D), the embedding of the empty prompt.
    """

    def __init__(
        self,
        *,
        name: str,
        path: Path,
        denoiser: UNetDenoiser,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        settings: dict[str, Any],
    ) -> None:
        self.name = name
        self.path = path
        self.settings = settings
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.vae = vae.eval().requires_grad_(False)
        self.text_encoder = text_encoder.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.guidance_scale = float(settings.get("guidance_scale", DEFAULT_GUIDANCE_SCALE))
        config = denoiser.unet.config
        size = config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        self.latent_shape: tuple[int, int, int] = (config.in_channels, height, width)
        self.uncond = self.encode_text([""])[0]

    @property
    def process(self) -> NoiseProcess:
        return self.denoiser.process

    @property
    def device(self) -> torch.device:
        return next(self.denoiser.parameters()).device

    @cached_property
    def sha256(self) -> str:
        """Hash of all weights, configs and vocabulary of its parts, and of workbench.json: the teacher's identity."""
        digest = hashlib.sha256()
        files = [file for part in PARTS for file in sorted((self.path / part).iterdir()) if _is_read(file)]
        settings = self.path / "workbench.json"
        for file in [*files, settings] if settings.exists() else files:
            digest.update(f"{file.relative_to(self.path).as_posix()}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Teacher:
        """Move in place; `dtype` (say bfloat16) applies to UNet, VAE and text encoder, never to coefficients."""
        for part in (self.denoiser, self.vae, self.text_encoder):
            part.to(device=device, dtype=dtype)
        self.uncond = self.uncond.to(device=device)
        return self

    def guided(self, guidance_scale: GuidanceScale | None = None) -> GuidedDenoiser:
        """The teacher under classifier-free guidance; None takes its own scale."""
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        return GuidedDenoiser(self.denoiser, self.uncond, scale)

    @torch.no_grad()
    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Captions -> (B, L, D) float32, padded and truncated to the tokenizer's length as diffusers' pipeline does."""
        tokens = self.tokenizer(
            list(captions),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids.to(self.text_encoder.device))[0].float()

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> latents (B, C, h, w) float32: posterior mean x scaling_factor."""
        posterior = self.vae.encode(images.to(self.vae.device, self.vae.dtype)).latent_dist
        return posterior.mean.float() * self.vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> images (B, 3, H, W) float32, nominally in [-1, 1], not clamped."""
        scaled = latents / self.vae.config.scaling_factor
        return self.vae.decode(scaled.to(self.vae.device, self.vae.dtype)).sample.float()


def load_teacher(path_or_name: str | Path) -> Teacher:
    """Load a teacher from a folder in diffusers' Stable Diffusion layout; no network, safetensors only.

    Args:
        path_or_name: a folder, or the bare name of a teacher shipped in workbench/assets/teachers ("wardrobe").

    Raises:
        ValueError: no such folder or name, a part or its weights are missing, or epsilon prediction with alpha_T = 0.
    """
    import diffusers  # 5 s: not paid by --help
    from transformers import CLIPTextModel, CLIPTokenizer

    path = _find(path_or_name)
    process, prediction_type = _scheduled(path)
    settings = path / "workbench.json"

    def part(kind: Any, name: str, **options: Any) -> Any:
        try:
            return kind.from_pretrained(path, subfolder=name, local_files_only=True, **options)
        except Exception as error:  # the libraries have an error of their own for each lie of a config or a header
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"Teacher {path}: {name}/ cannot be read ({reason[:300]}).") from error

    for name in PARTS:
        check_model_folder(path / name)

    unet = part(diffusers.UNet2DConditionModel, "unet", use_safetensors=True)
    return Teacher(
        name=str(path_or_name),
        path=path,
        denoiser=UNetDenoiser(unet, process, prediction_type),
        vae=part(diffusers.AutoencoderKL, "vae", use_safetensors=True),
        text_encoder=part(CLIPTextModel, "text_encoder", use_safetensors=True),
        tokenizer=part(CLIPTokenizer, "tokenizer"),
        settings=_settings(settings) if settings.exists() else {},
    )


def load_process(path_or_name: str | Path) -> NoiseProcess:
    """The noise process of a teacher, without its networks: cheap enough to check every cell of a sweep.

    Raises:
        ValueError: as `load_teacher`.
    """
    process, prediction_type = _scheduled(_find(path_or_name))
    process.check(prediction_type)
    return process


def _scheduled(path: Path) -> tuple[NoiseProcess, str]:
    """The process and the prediction type that the teacher's scheduler declares."""
    import diffusers

    file = path / "scheduler" / "scheduler_config.json"
    name = str(_config(file).get("_class_name"))
    # the name is a file's: of all that diffusers holds it may mean a scheduler, and no pipeline, model or module
    scheduler_class: Any = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    is_scheduler = isinstance(scheduler_class, type) and issubclass(scheduler_class, diffusers.SchedulerMixin)
    if not is_scheduler:
        raise ValueError(f"Teacher: {file} names the scheduler {name!r}, which diffusers does not have as a scheduler.")
    check_model_folder(path / "scheduler")
    try:
        scheduler = scheduler_class.from_pretrained(path, subfolder="scheduler", local_files_only=True)
    except Exception as error:  # a number that no schedule can be made of, whatever it is
        raise ValueError(f"Teacher: {file}: no schedule can be made of it ({' '.join(str(error).split())}).") from error
    process = NoiseProcess.from_scheduler(scheduler)
    declared = scheduler.config.get("prediction_type", "flow" if process.kind == "flow" else "epsilon")
    return process, _PREDICTION_TYPES.get(declared, declared)


def _find(path_or_name: str | Path) -> Path:
    shipped = sorted(folder.name for folder in _ASSETS.iterdir() if folder.is_dir()) if _ASSETS.is_dir() else []
    path = _ASSETS / path_or_name if str(path_or_name) in shipped else Path(path_or_name)
    if not path.is_dir():
        raise ValueError(
            f"Teacher {str(path_or_name)!r}: no such folder, and no shipped teacher of that name "
            f"(shipped: {', '.join(shipped) or 'none'}). Give the path of a folder in diffusers' Stable Diffusion "
            "layout."
        )
    for part in PARTS:
        if not (path / part).is_dir():
            raise ValueError(
                f"Teacher {path}: the folder {part}/ is missing. A teacher consists of {', '.join(PARTS)}, as "
                "StableDiffusionPipeline.save_pretrained writes them."
            )
        if part not in ("tokenizer", "scheduler") and not any((path / part).glob("*.safetensors")):
            raise ValueError(
                f"Teacher {path}: {part}/ holds no .safetensors file. Pickled weights are not opened; convert them "
                "with save_pretrained(..., safe_serialization=True)."
            )
    return path


def _config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ValueError(f"Teacher: the file {file} is missing.")
    config = read_json(file, limit=1_000_000)
    if not isinstance(config, dict):
        raise ValueError(f"Teacher: {file} must hold a JSON object.")
    return config


def _settings(file: Path) -> dict[str, Any]:
    settings = _config(file)
    scale = settings.get("guidance_scale", DEFAULT_GUIDANCE_SCALE)
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise ValueError(f"Teacher: {file}: guidance_scale must be a number.")
    return settings


def _is_read(file: Path) -> bool:
    return file.is_file() and file.suffix in {".safetensors", ".json", ".txt"}
