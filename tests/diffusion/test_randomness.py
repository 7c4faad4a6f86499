"""Counter-based draws: keyed, independent of how they are asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.diffusion import Draws

DRAWS = Draws(seed=7)
SHAPE = (2, 3)


@given(indices=st.lists(st.integers(0, 2**40), min_size=1, max_size=8), cut=st.integers(0, 8))
def test_a_sample_does_not_depend_on_its_batch(indices, cut):
    whole = DRAWS.normal("noise", 3, indices, SHAPE)
    parts = torch.cat([DRAWS.normal("noise", 3, part, SHAPE) for part in (indices[:cut], indices[cut:])])
    assert torch.equal(whole, parts)
    for draw in (DRAWS.uniform("u", 3, indices), DRAWS.integers("i", 3, 0, 1000, indices)):
        assert len(draw) == len(indices)
    assert torch.equal(DRAWS.uniform("u", 3, indices)[:1], DRAWS.uniform("u", 3, indices[:1]))
    assert torch.equal(DRAWS.integers("i", 3, 0, 9, indices)[-1:], DRAWS.integers("i", 3, 0, 9, indices[-1:]))


def test_seed_stream_step_and_index_each_change_the_draw():
    base = DRAWS.normal("noise", 3, [5], SHAPE)
    others = [
        Draws(seed=8).normal("noise", 3, [5], SHAPE),
        DRAWS.normal("chi", 3, [5], SHAPE),
        DRAWS.normal("noise", 4, [5], SHAPE),
        DRAWS.normal("noise", 3, [6], SHAPE),
        DRAWS.normal("noise", 5, [3], SHAPE),  # step and index are not added up
    ]
    for other in others:
        assert not torch.isclose(base, other).any()


def test_neighbouring_keys_do_not_overlap():
    long = DRAWS.normal("noise", 0, [0, 1], (4096,))
    assert not torch.isin(long[1, :16], long[0]).any()


def test_a_draw_repeats_and_tensors_are_indices_too():
    assert torch.equal(DRAWS.normal("n", 1, [4, 2], SHAPE), Draws(7).normal("n", 1, torch.tensor([4, 2]), SHAPE))


def test_the_stream_is_the_one_of_earlier_versions():
    # Pinned: a change here changes every experiment that was ever recorded.
    torch.testing.assert_close(DRAWS.normal("noise", 3, [5], (3,)), torch.tensor([[0.054456, 0.653048, 0.67415]]))
    assert DRAWS.integers("i", 0, 0, 1000, [0, 1, 2]).tolist() == [382, 560, 228]


def test_normal_draws_are_standard_normal_and_independent():
    x = DRAWS.normal("noise", 0, range(64), (1024,)).double()
    n = x.numel()
    assert abs(float(x.mean())) < 4 / n**0.5  # four standard errors
    assert abs(float(x.var()) - 1) < 4 * (2 / n) ** 0.5
    assert abs(float((x**4).mean()) - 3) < 4 * (96 / n) ** 0.5
    off_diagonal = torch.corrcoef(x) - torch.eye(64, dtype=torch.float64)
    assert off_diagonal.abs().max() < 5 / 1024**0.5  # 2016 pairs


def test_uniform_and_integers_stay_in_range():
    u = DRAWS.uniform("u", 0, range(2000))
    assert u.dtype == torch.float64 and u.min() >= 0 and u.max() < 1
    assert abs(float(u.mean()) - 0.5) < 4 * (1 / 12 / 2000) ** 0.5
    i = DRAWS.integers("i", 0, 2, 5, range(2000))
    assert i.dtype == torch.long and set(i.tolist()) == {2, 3, 4}
    with pytest.raises(ValueError, match="low must be below high, got 3 and 3"):
        DRAWS.integers("i", 0, 3, 3, [0])


def test_an_empty_batch_draws_nothing():
    assert DRAWS.normal("n", 0, [], SHAPE).shape == (0, 2, 3)
    assert DRAWS.uniform("n", 0, []).shape == (0,)


def test_what_a_step_shares_is_its_own_stream():
    assert DRAWS.one("t", 4).integers(1000) == Draws(7).one("t", 4).integers(1000)
    firsts = [DRAWS.one("t", step).random() for step in range(100)]
    assert len(set(firsts)) == 100
    assert DRAWS.one("t", 0).random() != DRAWS.uniform("t", 0, [0]).item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_draw_is_the_same_on_every_device():
    assert torch.equal(DRAWS.normal("n", 0, [1], SHAPE, "cuda").cpu(), DRAWS.normal("n", 0, [1], SHAPE))
