import pytest
import torch

from workbench.metrics import to_uint8


def test_every_grey_level_survives_the_round_trip() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_uint8(levels.float() / 255 * 2 - 1), levels)


def test_rounds_and_does_not_darken() -> None:
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    error = to_uint8(x).double() - (x.double() + 1) / 2 * 255
    assert error.abs().max() <= 0.5 + 1e-4
    assert abs(float(error.mean())) < 0.01  # truncation would give -0.5


def test_clamps() -> None:
    x = torch.tensor([-3.0, -1.0, 1.0, 3.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert to_uint8(x)[0, 0, 0].tolist() == [0, 0, 255, 255]


def test_nan_is_refused_and_named() -> None:
    x = torch.zeros(3, 3, 2, 2)
    x[1, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN in image 1 of this batch"):
        to_uint8(x)
