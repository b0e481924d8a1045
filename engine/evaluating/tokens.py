"""A text as the words that wording metrics compare."""

import re
from collections import Counter
from collections.abc import Sequence

_TOKEN = re.compile(r"\[#\]|[^\W_]+(?:'[^\W_]+)?")

Gram = tuple[str, ...]


def tokens_of(text: str) -> tuple[str, ...]:
    """Lower-case words without punctuation; a masked number is one word, "3-fold" are two."""
    return tuple(_TOKEN.findall(text.lower()))


def grams_of(tokens: Sequence[str], order: int) -> Counter[Gram]:
    """How often each sequence of `order` tokens occurs."""
    return Counter(tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1))
