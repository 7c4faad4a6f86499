"""The rule that chooses the teacher's guidance scale."""

from __future__ import annotations

import json

from workbench.models import load_teacher
from workbench.world.measure import best_scale


def row(fd: float, complex_: float) -> dict[str, float]:
    return {"FD[judge]": fd, "align/complex": complex_}


def test_the_least_fd_wins_and_alignment_decides_between_equals() -> None:
    assert best_scale({"1.0": row(12.0, 0.5), "1.5": row(10.0, 0.7), "3.0": row(10.3, 0.9)}) == "1.5"
    assert best_scale({"1.0": row(12.0, 0.5), "1.5": row(10.0, 0.7), "2.0": row(10.15, 0.8)}) == "2.0"


def test_the_card_holds_the_scale_that_the_rule_chooses_from_its_own_curve() -> None:
    teacher = load_teacher("wardrobe")
    card = json.loads((teacher.path / "workbench.json").read_text())
    assert teacher.guidance_scale == card["guidance_scale"]
    assert best_scale(card["tune_at_25_steps_by_guidance_scale"]) == str(card["guidance_scale"])
