"""PromptCache: the text encoder runs once a caption, and no caption sees its batch."""

from __future__ import annotations

import torch

from workbench.models import PromptCache, Teacher


class Counting:
    """A teacher that counts the captions it encodes."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher, self.device, self.encoded = teacher, teacher.device, []  # type: ignore[var-annotated]

    def encode_text(self, captions):
        self.encoded.extend(captions)
        return self.teacher.encode_text(captions)


def test_each_caption_is_encoded_once(tiny_teacher):
    counting = Counting(tiny_teacher)
    cache = PromptCache(counting)  # type: ignore[arg-type]
    first = cache(["a boot", "a dress", "a boot"])
    assert torch.equal(first[0], first[2]) and not torch.equal(first[0], first[1])
    assert torch.equal(cache(["a dress"])[0], first[1])
    assert counting.encoded == ["a boot", "a dress"] and len(cache) == 2


def test_embeddings_are_the_encoders_and_bitwise_independent_of_the_batch(tiny_teacher):
    captions = [f"a boot {i}" for i in range(9)]
    at_once, one_by_one = PromptCache(tiny_teacher)(captions), PromptCache(tiny_teacher)
    for caption, embedding in zip(reversed(captions), reversed(at_once), strict=True):
        assert torch.equal(one_by_one([caption])[0], embedding)
    torch.testing.assert_close(at_once, tiny_teacher.encode_text(captions))


def test_the_caption_unused_for_longest_is_dropped_first(tiny_teacher):
    counting = Counting(tiny_teacher)
    cache = PromptCache(counting, max_entries=2)  # type: ignore[arg-type]
    cache(["a", "b", "a", "c"])  # "b" goes
    assert len(cache) == 2
    cache(["a", "c"])
    assert counting.encoded == ["a", "b", "c"]
    cache(["b"])
    assert counting.encoded == ["a", "b", "c", "b"]
