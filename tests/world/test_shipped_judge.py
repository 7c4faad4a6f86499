"""The shipped judge reads real test images as its card says."""

from __future__ import annotations

import json

import pytest
import torch

from workbench.data import Wardrobe
from workbench.data.wardrobe.attributes import VALUES
from workbench.world.judge import JUDGE, accuracy, load_judge


def test_its_accuracy_is_the_one_on_its_card():
    card = json.loads((JUDGE / "config.json").read_text())
    images, records = Wardrobe("test").batch(range(1500))
    labels = {name: torch.tensor([r.labels[name] for r in records]) for name in VALUES}
    for name, value in accuracy(load_judge(), images, labels).items():
        # Three standard errors of a share over 1500 images
        error = 3 * (card["test_accuracy"][name] * (1 - card["test_accuracy"][name]) / 1500) ** 0.5 + 1e-3
        assert value == pytest.approx(card["test_accuracy"][name], abs=error), name


def test_it_is_frozen_and_has_sixty_four_features():
    judge = load_judge()
    assert not any(p.requires_grad for p in judge.parameters()) and not judge.training
    assert judge.features(torch.rand(2, 3, 32, 32)).shape == (2, 64)
    assert len(judge.sha256) == 64


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"judge\.safetensors: the judge's weights are missing"):
        load_judge(tmp_path)
