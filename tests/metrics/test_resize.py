import numpy as np
import pytest
import torch

from workbench.metrics.resize import resize


@pytest.mark.parametrize("size", [32, 299, 400])
def test_is_clean_fids_resize(size: int) -> None:
    # Noise is the hardest image: every frequency is there. A hundredth of a grey level is the rounding of the filters.
    from cleanfid.resize import build_resizer

    x = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.uint8)
    theirs = np.stack([build_resizer("clean")(image) for image in x]).transpose(0, 3, 1, 2)
    ours = resize(torch.from_numpy(x).permute(0, 3, 1, 2), 299)
    assert np.abs(ours.numpy() - theirs).max() < 0.01


def test_the_same_size_changes_nothing() -> None:
    x = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(resize(x, 64), x.float())
