"""The training loop of the shipped networks: a stopped run goes on as if it had not been stopped."""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.world.loop import fit


def train(work: Path, steps: int, stop_after: int | None = None, ema: float = 0.0) -> torch.Tensor:
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 1)

    def loss(step: int) -> dict[str, torch.Tensor]:
        if step == stop_after:
            raise KeyboardInterrupt
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return {"loss": (net(x) - x.sum(1, keepdim=True)).square().mean()}

    try:
        # A checkpoint after every step, so that the stop loses nothing.
        fit("net", {"net": net}, loss, steps=steps, learning_rate=0.05, ema=ema, checkpoint_minutes=0, work=work)
    except KeyboardInterrupt:
        return train(work, steps, ema=ema)
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 120, ema=0.9)
    parts = train(tmp_path / "parts", 120, stop_after=70, ema=0.9)
    assert torch.equal(whole, parts)
    assert [path.name for path in sorted((tmp_path / "parts").iterdir())] == ["net.ckpt", "net.jsonl"]


def test_the_loop_learns_and_the_average_follows(tmp_path: Path) -> None:
    raw, averaged = train(tmp_path / "raw", 300), train(tmp_path / "averaged", 300, ema=0.9)
    ideal = torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert (raw - ideal).abs().max() < 0.05 and (averaged - ideal).abs().max() < 0.05
