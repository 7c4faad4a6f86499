import numpy as np
import pytest
import torch

from workbench.metrics import precision_recall


def by_definition(x: np.ndarray, y: np.ndarray, k: int) -> tuple[float, float, float]:
    def radii(z: np.ndarray) -> list[float]:
        return [
            sorted(float(np.linalg.norm(z[i] - z[j])) for j in range(len(z)) if j != i)[k - 1] for i in range(len(z))
        ]

    x_radii, y_radii = radii(x), radii(y)
    precision = np.mean([any(np.linalg.norm(a - b) <= r for b, r in zip(y, y_radii, strict=True)) for a in x])
    recall = np.mean([any(np.linalg.norm(a - b) <= r for a, r in zip(x, x_radii, strict=True)) for b in y])
    coverage = np.mean([any(np.linalg.norm(a - b) <= r for a in x) for b, r in zip(y, y_radii, strict=True)])
    return float(precision), float(recall), float(coverage)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("k", [1, 3])
def test_equals_the_definition_for_any_chunk(chunk: int, k: int) -> None:
    rng = np.random.default_rng(k)
    x, y = rng.standard_normal((25, 3)), rng.standard_normal((31, 3)) * 1.5
    ours = precision_recall(torch.from_numpy(x), torch.from_numpy(y), k, chunk)
    assert (ours.precision, ours.recall, ours.coverage) == pytest.approx(by_definition(x, y, k), abs=1e-12)


def test_identical_sets_are_perfect_and_distant_sets_are_nothing() -> None:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)))
    same, far = precision_recall(x, x.clone()), precision_recall(x, x + 100)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert (far.precision, far.recall, far.coverage) == (0, 0, 0)


def test_a_collapsed_set_keeps_precision_and_loses_recall() -> None:
    rng = np.random.default_rng(1)
    real = torch.from_numpy(rng.standard_normal((200, 4)))
    collapsed = real[:1] + 0.01 * torch.from_numpy(rng.standard_normal((200, 4)))
    result = precision_recall(collapsed, real)
    assert result.precision == 1 and result.recall < 0.05 and result.coverage < 0.1


def test_too_few_images_are_refused() -> None:
    x = torch.randn(3, 4)
    with pytest.raises(ValueError, match="at least 4 images, but got 3"):
        precision_recall(x, x, k=3)
