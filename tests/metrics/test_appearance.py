import numpy as np
import pytest
import torch

from workbench.metrics.appearance import NAMES, appearance


def one(image: np.ndarray) -> dict[str, float]:
    """image: (H, W, 3)."""
    x = torch.from_numpy(image.astype(np.uint8)).permute(2, 0, 1)[None]
    return dict(zip(NAMES, appearance(x)[0].tolist(), strict=True))


def constant(rgb: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(rgb), (8, 8, 3)).copy()


def test_grey_has_no_colour() -> None:
    values = one(constant((128, 128, 128)))
    assert values["colourfulness"] == values["saturation"] == values["contrast"] == values["high_frequency_energy"] == 0
    assert values["brightness"] == pytest.approx(128 / 255)


def test_pure_red_by_hand() -> None:
    # rg = 255, yb = 127.5, no spread: 0.3 sqrt(255^2 + 127.5^2).
    values = one(constant((255, 0, 0)))
    assert values["colourfulness"] == pytest.approx(0.3 * np.hypot(255, 127.5))
    assert values["saturation"] == pytest.approx(1)


def test_halves_of_red_and_grey_by_hand() -> None:
    image = constant((255, 0, 0))
    image[:, 4:] = 100
    values = one(image)  # rg: 255 or 0, yb: 127.5 or 0; means and standard deviations are half of each
    spread = np.hypot(127.5, 63.75)
    assert values["colourfulness"] == pytest.approx(1.3 * spread)
    assert values["saturation"] == pytest.approx(0.5)
    red, grey = 0.299, 100 / 255
    assert values["contrast"] == pytest.approx(abs(red - grey) / 2)


def test_black_is_not_a_division_by_zero() -> None:
    assert all(np.isfinite(list(one(constant((0, 0, 0))).values())))


def test_energy_of_sine_waves_is_low_or_high() -> None:
    x = np.arange(32)
    for cycles, share in ((4, 0.0), (12, 1.0)):  # in 32 pixels; the limit is 8
        wave = 127.5 + 100 * np.sin(2 * np.pi * cycles * x / 32)
        image = np.broadcast_to(np.rint(wave)[None, :, None], (32, 32, 3))
        assert one(image)["high_frequency_energy"] == pytest.approx(share, abs=1e-3)  # rounding to uint8


def test_white_noise_has_the_share_of_the_spectrum_outside_the_circle() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 1)).repeat(3, 3)
    x = torch.from_numpy(noise.astype(np.uint8)).permute(0, 3, 1, 2)
    mean = appearance(x)[:, NAMES.index("high_frequency_energy")].mean()
    assert float(mean) == pytest.approx(1 - np.pi / 16, abs=0.01)


def test_blur_lowers_energy_and_dimming_lowers_contrast() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8))
    blurred = torch.nn.functional.avg_pool2d(x.float(), 3, 1, 1).round().to(torch.uint8)
    dim = (x.float() * 0.6 + 50).round().to(torch.uint8)
    sharp, energy, contrast = appearance(x), NAMES.index("high_frequency_energy"), NAMES.index("contrast")
    assert (appearance(blurred)[:, energy] < sharp[:, energy]).all()
    assert (appearance(dim)[:, contrast] < sharp[:, contrast]).all()
