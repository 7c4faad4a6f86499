"""The judge's CLIP: a small transformers CLIPModel, trained with the contrastive loss on the judge's fold.

    python -m workbench.world clip

It serves CLIP[wardrobe]; any other CLIPModel can take its place by a path or an id.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from workbench.data import Wardrobe
from workbench.world import tokenizer as tokens
from workbench.world.judge import JUDGE
from workbench.world.loop import fit

MEAN, STD = 0.5, 0.25  # of the pixels, each channel


def build() -> CLIPModel:
    """Vision: 32 px in patches of 8; text: the tokenizer's words; both 96 wide, 64 shared dimensions."""
    tokenizer = tokens.build()
    shape = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 4}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokens.MAX_LENGTH,
        "num_hidden_layers": 2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": 32, "patch_size": 8, "num_hidden_layers": 3}
    return CLIPModel(CLIPConfig(text_config=shape | text, vision_config=shape | vision, projection_dim=64))


@torch.no_grad()
def retrieval(model: CLIPModel, n: int = 1000) -> float:
    """Share of test captions whose own image is the best of 32."""
    tokenizer = tokens.build()
    images, records = Wardrobe("test", n).batch(range(n))
    pixels = (images.float() / 255 - MEAN) / STD
    ids = tokenizer([r.caption for r in records], padding="max_length", return_tensors="pt").input_ids
    out = model(input_ids=ids, pixel_values=pixels)
    similarity = out.text_embeds @ out.image_embeds.T
    blocks = [similarity[i : i + 32, i : i + 32].argmax(1) for i in range(0, n - 31, 32)]
    return torch.cat([(b == torch.arange(32)).float() for b in blocks]).mean().item()


def train(
    folder: Path = JUDGE / "clip", *, steps: int, batch_size: int = 64, learning_rate: float = 1e-3
) -> dict[str, float]:
    """Train and write a transformers folder with tokenizer and image processor. Returns the retrieval accuracy."""
    torch.manual_seed(2)
    tokenizer = tokens.build()
    model = build().train()
    data = Wardrobe("judge", 10_000_000, seed=1)

    def loss(step: int) -> dict[str, Tensor]:
        images, records = data.batch(range(step * batch_size, (step + 1) * batch_size))
        ids = tokenizer([r.caption for r in records], padding="max_length", return_tensors="pt").input_ids
        out = model(input_ids=ids, pixel_values=(images.float() / 255 - MEAN) / STD)
        target = torch.arange(batch_size)
        value = 0.5 * (F.cross_entropy(out.logits_per_image, target) + F.cross_entropy(out.logits_per_text, target))
        return {"loss": value}

    fit("clip", {"clip": model}, loss, steps=steps, learning_rate=learning_rate, weight_decay=0.05, ema=0.998)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=[MEAN] * 3, image_std=[STD] * 3
    ).save_pretrained(folder)
    return {"retrieval_of_32": retrieval(model)}
