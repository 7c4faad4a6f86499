"""The judge: what looks at samples and says what it sees. Trained on a fold of its own.

    python -m workbench.world judge

A small residual network with one head an attribute, on 64 features that serve the Frechet distance.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.data.wardrobe.attributes import VALUES
from workbench.files import file_sha256
from workbench.tensor_files import read_safetensors

JUDGE = Path(__file__).resolve().parents[1] / "assets" / "judge"


class Block(nn.Module):
    """Pre-activation residual block, (B, C, H, W) -> (B, C', H / stride, W / stride)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, out)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        self.skip = nn.Conv2d(channels, out, 1, stride) if (channels != out or stride > 1) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Judge(nn.Module):
    """Images to 64 features, and to logits of every attribute (workbench.data.wardrobe.attributes.VALUES)."""

    num_features = 64

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1),
            Block(16, 32, 2),
            Block(32, 64, 2),
            Block(64, 96, 1),
            Block(96, 96, 1),
            nn.GroupNorm(8, 96),
            nn.SiLU(),
        )
        # 4 x 4 positions are kept: where the garment lies is part of the question.
        self.neck = nn.Linear(96 * 16, self.num_features)
        self.heads = nn.ModuleDict({name: nn.Linear(self.num_features, len(v)) for name, v in VALUES.items()})
        self.sha256 = ""

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, 32, 32) in [0, 1] -> (B, 64)."""
        h = F.adaptive_avg_pool2d(self.body(images * 2 - 1), 4)
        return self.neck(h.flatten(1))

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """(B, 64) -> attribute -> (B, number of values)."""
        h = F.silu(features)
        return {name: head(h) for name, head in self.heads.items()}

    def attributes(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, 32, 32) in [0, 1] -> attribute -> logits (B, number of values)."""
        return self.logits(self.features(images))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.attributes(images)


@cache
def load_judge(folder: Path | str = JUDGE) -> Judge:
    """The shipped judge, frozen, with `sha256` of its weights file.

    Raises ValueError if the file is missing.
    """
    file = Path(folder) / "judge.safetensors"
    if not file.is_file():
        raise ValueError(f"{file}: the judge's weights are missing. Install the package again.")
    judge = Judge()
    try:
        judge.load_state_dict(read_safetensors(file)[0])
    except RuntimeError as error:  # other names or shapes
        raise ValueError(f"{file}: holds other weights than the judge's. Install the package again.") from error
    judge.sha256 = file_sha256(file)
    return judge.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(judge: Judge, images: Tensor, labels: dict[str, Tensor], batch_size: int = 250) -> dict[str, float]:
    """Share of right answers an attribute; images uint8 (N, 3, 32, 32), labels attribute -> (N,) long."""
    right = dict.fromkeys(VALUES, 0)
    for start in range(0, len(images), batch_size):
        answers = judge.attributes(images[start : start + batch_size].float() / 255)
        for name, logits in answers.items():
            right[name] += int((logits.argmax(1) == labels[name][start : start + batch_size]).sum())
    return {name: n / len(images) for name, n in right.items()}


def train(folder: Path = JUDGE, *, steps: int, batch_size: int = 64, learning_rate: float = 2e-3) -> dict[str, float]:
    """Train on the judge's fold, write judge.safetensors and config.json. Returns the accuracy on the test fold."""
    from workbench.data import Wardrobe
    from workbench.world.loop import fit

    torch.manual_seed(1)
    judge = Judge().to(memory_format=torch.channels_last)
    data = Wardrobe("judge", 10_000_000)

    def loss(step: int) -> dict[str, Tensor]:
        images, records = data.batch(range(step * batch_size, (step + 1) * batch_size))
        x = images.float() / 255
        # Samples are a little noisy and blurred; a judge that never saw that would judge artefacts, not attributes.
        generator = torch.Generator().manual_seed(step)
        x = x + 0.08 * torch.rand(len(x), 1, 1, 1, generator=generator) * torch.randn(x.shape, generator=generator)
        logits = judge.attributes(x.contiguous(memory_format=torch.channels_last))
        terms = {
            name: F.cross_entropy(values, torch.tensor([r.labels[name] for r in records]), label_smoothing=0.02)
            for name, values in logits.items()
        }
        total = torch.stack(list(terms.values())).sum() + terms["garment"]
        return {"loss": total + 1e-4 * judge.neck.weight.square().sum(), **terms}

    fit("judge", {"judge": judge}, loss, steps=steps, learning_rate=learning_rate, weight_decay=0.02, ema=0.998)
    judge.eval().to(memory_format=torch.contiguous_format)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(judge.state_dict(), folder / "judge.safetensors")
    images, records = Wardrobe("test", 4000).batch(range(4000))
    labels = {name: torch.tensor([r.labels[name] for r in records]) for name in VALUES}
    result = accuracy(judge, images, labels)
    card = {"test_accuracy": result, "test_images": len(images), "steps": steps, "batch_size": batch_size}
    (folder / "config.json").write_text(json.dumps(card, indent=2) + "\n")
    return result
