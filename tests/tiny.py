"""A tiny random Stable Diffusion folder: every part is real, only small. Used wherever a test needs a teacher."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LATENT_SHAPE = (4, 8, 8)
IMAGE_SIZE = 32
TEXT_LENGTH = 12  # L
TEXT_WIDTH = 16  # D


def make_tiny_teacher(
    folder: Path | str,
    prediction_type: str = "epsilon",
    zero_terminal_snr: bool = False,
    guidance_scale: float = 3.0,
    seed: int = 0,
) -> Path:
    """Write a teacher of 92 thousand UNet parameters with random weights; returns the folder.

    Images are (3, 32, 32), latents LATENT_SHAPE, text embeddings (TEXT_LENGTH, TEXT_WIDTH); T = 1000, scaled-linear
    betas, trailing spacing, alpha_T = .068 (0 with zero_terminal_snr).
    """
    folder = Path(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=LATENT_SHAPE[1],
            in_channels=LATENT_SHAPE[0],
            out_channels=LATENT_SHAPE[0],
            block_out_channels=(16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=8,
            cross_attention_dim=TEXT_WIDTH,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = AutoencoderKL(
            sample_size=IMAGE_SIZE,
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=LATENT_SHAPE[0],
            layers_per_block=1,
            norm_num_groups=4,
            scaling_factor=0.7,
        )
        tokenizer = _tokenizer()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=TEXT_LENGTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=1,  # without effect under trailing spacing; diffusers' pipeline warns of any other value
        prediction_type=prediction_type,
        rescale_betas_zero_snr=zero_terminal_snr,
    )
    for name, part in {
        "unet": unet,
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "scheduler": scheduler,
    }.items():
        part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps(_MODEL_INDEX))
    (folder / "workbench.json").write_text(json.dumps({"guidance_scale": guidance_scale}))
    return folder


def _tokenizer() -> CLIPTokenizer:
    """Letters only: every caption is spelt out, nothing is unknown."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-,."
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=TEXT_LENGTH
    )


_MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
