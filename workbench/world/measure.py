"""Measure the embedded teacher and commit its guidance scale.

    python -m workbench.world measure

The scale is the FD-best at 25 DPM-Solver++ steps on the *tune* half of the test prompts: of the scales whose FD[judge]
is within 2 % of the least, the margin of every equivalence here, the one that follows the captions best. What is then
reported is on the *report* half. Everything is printed, and kept in the teacher's workbench.json.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.config import resolve
from workbench.data import Wardrobe
from workbench.data.wardrobe.attributes import VALUES
from workbench.evaluation.run import evaluate_run
from workbench.models import load_teacher
from workbench.world.judge import accuracy, load_judge
from workbench.world.leak import table
from workbench.world.vae import to_signed

SCALES = (1.0, 1.5, 2.0, 3.0)
SAME = 0.02  # of the least FD: a difference that a thousand images do not tell from none
KEPT: tuple[str, ...] = ("FD[judge]", "recall[judge]", "CLIP[wardrobe]", "saturation")
KEPT += tuple(f"align/{name}" for name in ("colour", "background", "spatial", "texture", "shape", "complex", "binding"))


def score(teacher: Path, steps: int, guidance_scale: float, prompts: str, num_images: int) -> dict[str, float]:
    """The metrics of the teacher itself, DPM-Solver++, on a half of the test prompts."""
    group = {"subject": "teacher", "num_inference_steps": steps, "guidance_scale": guidance_scale}
    group |= {"prompts": prompts, "num_images": num_images, "teacher_steps": 0}
    overrides: dict[str, Any] = {f"evaluation.{key}": value for key, value in group.items()}
    with tempfile.TemporaryDirectory() as out:
        return evaluate_run(resolve({"teacher": {"path": str(teacher)}}, overrides), None, Path(out))


@torch.no_grad()
def judge_accuracy(teacher: Path, n: int = 2000) -> dict[str, dict[str, float]]:
    """The judge on real test images, and on the same images through the teacher's VAE."""
    images, records = Wardrobe("test").batch(range(n))
    labels = {name: torch.tensor([r.labels[name] for r in records]) for name in VALUES}
    loaded = load_teacher(teacher)
    through = torch.cat([loaded.decode(loaded.encode(to_signed(part))) for part in images.split(250)])
    decoded = ((through.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    judge = load_judge()
    return {"real": accuracy(judge, images, labels), "through_vae": accuracy(judge, decoded, labels)}


def kept(values: dict[str, float]) -> dict[str, float]:
    """The figures that a teacher's card holds, with seen and unseen combinations apart."""
    return {
        name: round(value, 4)
        for name, value in values.items()
        if name in KEPT or (name.startswith("align/") and name.endswith("seen"))
    }


def best_scale(curve: Mapping[str, Mapping[str, float]]) -> str:
    """Of the scales whose FD[judge] is within 2 % of the least, the one with the highest align/complex."""
    least = min(row["FD[judge]"] for row in curve.values())
    equal = [scale for scale, row in curve.items() if row["FD[judge]"] <= (1 + SAME) * least]
    return max(equal, key=lambda scale: curve[scale]["align/complex"])


def measure(folder: Path, num_images: int = 500) -> str:
    """Choose the scale, score the teacher, write workbench.json. Returns what was measured, as JSON."""
    curve = {}
    for scale in SCALES:
        curve[str(scale)] = kept(score(folder, 25, scale, "tune", num_images))
        print(
            f"guidance_scale {scale}: {json.dumps({k: v for k, v in curve[str(scale)].items() if k in KEPT})}",
            flush=True,
        )
    best = float(best_scale(curve))
    card = {
        "guidance_scale": best,
        "measured_by": "python -m workbench.world measure",
        "num_images": num_images,
        "report": {f"{n} steps": kept(score(folder, n, best, "report", num_images)) for n in (25, 4, 3, 2, 1)},
        "tune_at_25_steps_by_guidance_scale": {
            s: {k: v for k, v in row.items() if k in KEPT} for s, row in curve.items()
        },
        "judge_accuracy": judge_accuracy(folder),
        "leak_of_the_ground_colour": table(folder),
    }
    (folder / "workbench.json").write_text(json.dumps(card, indent=2) + "\n")
    return json.dumps(card, indent=2)
