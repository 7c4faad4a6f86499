"""The shipped tokenizer: every word of a caption is one token, and any other text still has a spelling."""

from __future__ import annotations

from workbench.data import Wardrobe
from workbench.world.tokenizer import MAX_LENGTH, build, words


def test_each_word_is_one_token_and_every_caption_fits():
    tokenizer = build()
    for word in words():
        assert len(tokenizer(word).input_ids) == 3, word  # start, the word, end
    lengths = [len(tokenizer(caption).input_ids) for caption in Wardrobe().captions(range(2000))]
    assert max(lengths) <= MAX_LENGTH


def test_unknown_words_are_spelt_not_dropped():
    tokenizer = build()
    ids = tokenizer("a zebra-patterned häт").input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == "azebra-patternedhäт"


def test_building_it_again_gives_the_same_ids():
    assert build().get_vocab() == build().get_vocab()
