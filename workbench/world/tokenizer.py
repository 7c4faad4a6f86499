"""The embedded teacher's tokenizer: CLIP's own byte-pair encoding, with one token a word of the captions."""

from __future__ import annotations

from collections import Counter

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from workbench.data.wardrobe import attributes, captions

MAX_LENGTH = 20  # tokens, with the start and end tokens; the longest caption takes 18
START, END = "<|startoftext|>", "<|endoftext|>"


def words() -> list[str]:
    """Every word that a caption can hold, sorted."""
    phrases = [name for values in attributes.VALUES.values() for name in values]
    phrases += [*captions.OPENINGS, *captions.PREPOSITION.values(), "a an on of background"]
    return sorted({word for phrase in phrases for word in phrase.replace("-", " ").split()})


def merges() -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until each word is one token.

    Ours, since the library's trainer breaks ties by hash order: another process would get other ids.
    """
    spelt = [[*word[:-1], word[-1] + "</w>"] for word in words()]
    out = []
    while pairs := Counter(pair for pieces in spelt for pair in zip(pieces, pieces[1:], strict=False)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        out.append(best)
        for pieces in spelt:
            for i in range(len(pieces) - 2, -1, -1):
                if (pieces[i], *pieces[i + 1 : i + 2]) == best:
                    pieces[i : i + 2] = ["".join(best)]
    return out


def build() -> CLIPTokenizer:
    """The tokenizer; text outside the world's words is spelt in bytes, never unknown."""
    alphabet = sorted(ByteLevel.alphabet())
    joined = merges()
    vocabulary = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in joined), START, END]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(dict.fromkeys(vocabulary))},
        merges=joined,
        model_max_length=MAX_LENGTH,
    )
