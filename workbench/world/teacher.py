"""Train the embedded teacher: a miniature Stable Diffusion, with its text encoder, in diffusers' folder layout.

    python -m workbench.world teacher

UNet and text encoder train together on epsilon prediction (Ho et al. 2020) with the weights of the v loss (Salimans and
Ho 2022); one caption in ten is empty, for classifier-free guidance (Ho and Salimans 2022). The VAE must be there
already.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from workbench.data import Wardrobe
from workbench.data.wardrobe import captions
from workbench.data.wardrobe.attributes import VALUES
from workbench.files import write_atomically
from workbench.tensor_files import read_torch
from workbench.world import tokenizer as tokens
from workbench.world.loop import WORK, fit
from workbench.world.vae import to_signed

# Scaled linear. Stable Diffusion ends at 0.012; `python -m workbench.world leak` prints why this one ends sooner.
BETA_START, BETA_END = 0.00085, 0.0095
EMPTY_CAPTIONS = 0.1
# Offset noise (Guttenberg 2023): near T, where a caption names the background, a constant a channel comes on top of the
# noise, so that the mean of the latent does not give the background away and the caption has to be read. Other rows
# and sampling keep plain noise: what a caption leaves out still leaks from x_T.
OFFSET_NOISE = 0.2
ATTRIBUTES = tuple(VALUES)


def build_unet(latent_channels: int, text_dim: int) -> UNet2DConditionModel:
    """2.5 M parameters; cross-attention at 4 x 4 and in the middle."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_dim,
        attention_head_dim=4,  # the number of heads, as Stable Diffusion 1's configs have it
        norm_num_groups=8,
    )


def build_text_encoder(tokenizer: CLIPTokenizer, width: int = 96) -> CLIPTextModel:
    """Two layers of CLIP's text transformer."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokens.MAX_LENGTH,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler(beta_end: float = BETA_END) -> DDIMScheduler:
    """The teacher's schedule, with the settings that make diffusers' samplers agree with ours."""
    return DDIMScheduler(
        beta_start=BETA_START,
        beta_end=beta_end,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="trailing",
        set_alpha_to_one=True,
        clip_sample=False,
        steps_offset=1,  # the pipeline insists; trailing spacing does not use it
    )


@torch.no_grad()
def latent_pool(vae: AutoencoderKL, n: int, work: Path = WORK) -> tuple[Tensor, Tensor]:
    """Scaled latents (n, C, 16, 16) float16 and attribute labels (n, 5) uint8 of the teacher's fold; kept in `work`."""
    digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in vae.state_dict().values())).hexdigest()[:12]
    path = work / f"latents-{digest}-{n}.pt"
    if path.is_file():
        state = read_torch(path)
        return state["latents"], state["labels"]
    data = Wardrobe("teacher", n)
    latents, labels = [], []
    for start in range(0, n, 500):
        images, records = data.batch(range(start, min(n, start + 500)))
        mean = vae.encode(to_signed(images)).latent_dist.mean
        latents.append((mean * vae.config.scaling_factor).half())
        labels.append(torch.tensor([[r.labels[name] for name in ATTRIBUTES] for r in records], dtype=torch.uint8))
    state = {"latents": torch.cat(latents), "labels": torch.cat(labels)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: torch.save(state, temporary))
    return state["latents"], state["labels"]


def draw_captions(labels: Tensor, rng: np.random.Generator) -> list[str]:
    """A fresh phrasing a row of labels (B, 5), naming a fresh subset of its attributes; one in ten is empty."""
    out = []
    for row in labels.tolist():
        values = {name: VALUES[name][k] for name, k in zip(ATTRIBUTES, row, strict=True)}
        opening = captions.OPENINGS[int(rng.integers(len(captions.OPENINGS)))]
        caption = captions.phrase(values, captions.draw_named(rng), opening)
        out.append("" if rng.random() < EMPTY_CAPTIONS else caption)
    return out


def draw_times(n: int, rng: np.random.Generator) -> np.ndarray:
    """n training times, stratified: half over all of 0 .. 999, half over the noisiest 40 %, where captions decide."""
    u = (np.arange(n) + rng.random()) / n
    return np.where(u < 0.5, 2 * u * 1000, 600 + (2 * u - 1) * 400).astype(np.int64)


def write(
    folder: Path, unet: UNet2DConditionModel, text: CLIPTextModel, tokenizer: CLIPTokenizer, beta_end: float
) -> None:
    """Write a diffusers folder that StableDiffusionPipeline.from_pretrained loads."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True, use_safetensors=True)
    pipeline = StableDiffusionPipeline(
        vae, text, tokenizer, unet, build_scheduler(beta_end), None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    for file in folder.glob(
        "*/*.json"
    ):  # diffusers writes where a part was loaded from, which is this machine's business
        config = json.loads(file.read_text())
        if config.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def train(
    folder: Path,
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 1.5e-3,
    images: int = 100_000,
    beta_end: float = BETA_END,
    from_shipped: bool = False,
    work: Path = WORK,
) -> dict[str, float]:
    """Train on `images` draws of the teacher's fold and write the folder; the VAE is read from folder/vae.

    from_shipped: begin with the weights that are in the folder instead of random ones.
    Raises ValueError if the VAE, or the weights to begin with, are missing.
    """
    if not (folder / "vae" / "config.json").is_file():
        raise ValueError(f"{folder / 'vae'}: no VAE there. Run `python -m workbench.world vae` first.")
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True, use_safetensors=True)
    latents, labels = latent_pool(vae, images, work)
    tokenizer = tokens.build()
    text = build_text_encoder(tokenizer).train()
    unet = build_unet(latents.shape[1], text.config.hidden_size).train().to(memory_format=torch.channels_last)
    if from_shipped:
        load_shipped(folder, unet, text)
    alphas_cumprod = build_scheduler(beta_end).alphas_cumprod.double()

    def loss(step: int) -> dict[str, Tensor]:
        rng = np.random.Generator(np.random.Philox(key=[7, step]))
        rows = torch.from_numpy(rng.integers(images, size=batch_size))
        x0 = latents[rows].float()
        t = torch.from_numpy(draw_times(batch_size, rng))
        eps = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
        texts = draw_captions(labels[rows], rng)
        named = torch.tensor(["background" in text for text in texts]) & (t >= 600)
        offset = torch.from_numpy(rng.standard_normal((batch_size, x0.shape[1], 1, 1), dtype=np.float32))
        eps += OFFSET_NOISE * offset * named.view(-1, 1, 1, 1)
        a = alphas_cumprod[t].view(-1, 1, 1, 1)
        x_t = a.sqrt().float() * x0 + (1 - a).sqrt().float() * eps
        ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        out = unet(x_t.contiguous(memory_format=torch.channels_last), t, text(ids)[0]).sample
        error = F.mse_loss(out, eps, reduction="none").mean((1, 2, 3))
        # The plain mean hardly sees t near T, where ground and position are decided and an error of eps counts 1/alpha
        # in x0; captions that name them were ignored. 1/alpha^2 makes it the loss of v.
        weighted = error / a.flatten().float()
        return {"loss": weighted.mean(), "eps": error.mean(), "noisy": error[t >= 900].mean()}

    networks = {"unet": unet, "text": text}
    fit("teacher", networks, loss, steps=steps, learning_rate=learning_rate, ema=0.9993, work=work)
    # A new tokenizer: one that has been used is written with the padding of its last call.
    write(folder, unet.eval(), text.eval(), tokens.build(), beta_end)
    return {"parameters": sum(p.numel() for p in unet.parameters())}


def load_shipped(folder: Path, unet: UNet2DConditionModel, text: CLIPTextModel) -> None:
    """Fill both networks with the weights in the folder. Raises ValueError if there are none."""
    for part, network in (("unet", unet), ("text_encoder", text)):
        if not (folder / part / "config.json").is_file():
            raise ValueError(f"{folder / part}: no weights there to begin with. Leave out --from-shipped.")
        loaded = type(network).from_pretrained(folder / part, local_files_only=True, use_safetensors=True)
        network.load_state_dict(loaded.state_dict())


def export(folder: Path, *, beta_end: float = BETA_END, work: Path = WORK) -> dict[str, int]:
    """Write the folder from the last checkpoint's averaged weights, also while the training still runs.

    Raises ValueError without a checkpoint.
    """
    path = work / "teacher.ckpt"
    if not path.is_file():
        raise ValueError(f"{path}: no checkpoint there. Run `python -m workbench.world teacher` first.")
    state = read_torch(path)
    tokenizer = tokens.build()
    text = build_text_encoder(tokenizer)
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True, use_safetensors=True)
    unet = build_unet(vae.config.latent_channels, text.config.hidden_size)
    parameters = [p for module in (unet, text) for p in module.parameters()]
    with torch.no_grad():
        for p, average in zip(parameters, state["averages"], strict=True):
            p.copy_(average)
    write(folder, unet.eval(), text.eval(), tokenizer, beta_end)
    return {"step": state["step"]}
