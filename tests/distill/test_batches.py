"""Which sample is seen when: a function of the seed and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from workbench.data import Wardrobe
from workbench.diffusion import Draws
from workbench.distill.batches import Batches


def batches(teacher: Any, seed: int = 0, images: bool = False, size: int = 10, batch_size: int = 4) -> Batches:
    return Batches(Wardrobe(size=size), teacher, Draws(seed), batch_size, images)


def test_every_epoch_is_a_permutation_and_epochs_differ(tiny_teacher: Any) -> None:
    given = batches(tiny_teacher)
    seen = [i for tick in range(5) for i in given.share(tick).indices]  # two epochs of 10
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10)) and seen[:10] != seen[10:]
    assert batches(tiny_teacher, seed=1).share(0).indices != given.share(0).indices


def test_shares_of_any_world_size_tile_the_global_batch(tiny_teacher: Any) -> None:
    for world_size in (1, 2, 4):
        parts = [batches(tiny_teacher, images=True).share(7, rank, world_size) for rank in range(world_size)]
        whole = batches(tiny_teacher, images=True).share(7)
        assert sum((part.numbers for part in parts), ()) == whole.numbers == tuple(range(28, 32))
        assert sum((part.indices for part in parts), ()) == whole.indices
        assert torch.equal(torch.cat([part.cond for part in parts]), whole.cond)  # bit for bit
        assert whole.latents is not None
        assert torch.equal(torch.cat([part.latents for part in parts]), whole.latents)  # type: ignore[misc]


def test_a_late_start_sees_the_same_as_an_early_one(tiny_teacher: Any) -> None:
    early, late = batches(tiny_teacher, images=True), batches(tiny_teacher, images=True)
    for tick in range(4):
        early.share(tick)
    a, b = early.share(4), late.share(4)
    assert a.indices == b.indices and torch.equal(a.cond, b.cond)
    assert a.latents is not None and b.latents is not None and torch.equal(a.latents, b.latents)


def test_images_are_rendered_once_and_only_if_somebody_needs_them(tiny_teacher: Any) -> None:
    rendered: list[int] = []

    class Counting(Wardrobe):
        def images(self, indices: Any) -> torch.Tensor:
            rendered.extend(indices)
            return super().images(indices)

    source = Counting(size=6)
    assert Batches(source, tiny_teacher, Draws(0), 4, images=False).share(0).latents is None and not rendered
    with_images = Batches(source, tiny_teacher, Draws(0), 4, images=True)
    for tick in range(6):
        with_images.share(tick)
    assert sorted(rendered) == list(range(6))


def test_images_of_another_size_than_the_teachers_are_refused(tiny_teacher: Any) -> None:
    class Large(Wardrobe):
        def images(self, indices: Any) -> torch.Tensor:
            return super().images(indices).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)

    with pytest.raises(ValueError, match=r"an image of \(64, 64\) pixels gives latents of .*, but the teacher draws"):
        Batches(Large(size=4), tiny_teacher, Draws(0), 4, images=True).share(0)


def test_latents_are_the_encoded_image(tiny_teacher: Any) -> None:
    given = batches(tiny_teacher, images=True)
    share = given.share(0)
    images = Wardrobe(size=10).images(list(share.indices)).float() / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(share.latents, tiny_teacher.encode(images), rtol=1e-4, atol=1e-5)
