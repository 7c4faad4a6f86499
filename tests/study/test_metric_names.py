"""A table can ask for every metric that an evaluation gives, and for no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.study.metric_names import check_metric

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"


def test_every_metric_of_a_real_evaluation_is_known() -> None:
    names = {name for file in REFERENCE.rglob("evaluation.json") for name in json.loads(file.read_text())["metrics"]}
    assert len(names) > 40
    for name in names:
        check_metric(name)
    for name in ("FID", "KID", "FID[clean-fid]", "FD[efficientnet-lite0]", "CLIP[ViT-B/32]"):
        check_metric(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("FD", r"name the extractor, as FD\[judge\]"),
        ("FDD[judge]", r"Did you mean \"FD\[judge\]\"\?"),
        ("align/colours", r"Did you mean \"align/colour\"\?"),
        ("saturatoin", r"Did you mean \"saturation\"\?"),
    ],
)
def test_a_misspelt_metric_is_refused_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_metric(name)
