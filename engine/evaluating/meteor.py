"""METEOR without synonyms (Banerjee & Lavie, ACL workshop 2005): exact words, then Porter stems.

The parameters are those of Lavie & Agarwal (2007): alpha 0.9, beta 3, gamma 0.5. No WordNet stage,
no paraphrases: its figures are not those of METEOR 1.5.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5

Stem = Callable[[str], str]


def porter() -> Stem:
    """The Porter stemmer."""
    # only a report on wording needs it
    import snowballstemmer  # type: ignore[import-untyped]

    stem: Stem = snowballstemmer.stemmer("porter").stemWord
    return stem


def meteor(candidate: Sequence[str], reference: Sequence[str], stem: Stem) -> float:
    """METEOR (exact and stem stages) of two token lists."""
    pairs = _aligned(candidate, reference, stem)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(candidate), len(pairs) / len(reference)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return float(mean * (1 - GAMMA * (_chunks(pairs) / len(pairs)) ** BETA))


def _aligned(
    candidate: Sequence[str], reference: Sequence[str], stem: Stem
) -> Sequence[tuple[int, int]]:
    """Pairs of positions with the same word, else the same stem; each taken from the end."""
    mine, theirs = list(enumerate(candidate)), list(enumerate(reference))
    pairs = _matched(mine, theirs)
    mine = [(at, stem(word)) for at, word in mine]
    theirs = [(at, stem(word)) for at, word in theirs]
    return sorted((*pairs, *_matched(mine, theirs)))


def _matched(mine: list[tuple[int, str]], theirs: list[tuple[int, str]]) -> list[tuple[int, int]]:
    """The pairs, each of which is taken out of both lists."""
    pairs = []
    for one in reversed(tuple(mine)):
        other = next((each for each in reversed(theirs) if each[1] == one[1]), None)
        if other is not None:
            pairs.append((one[0], other[0]))
            mine.remove(one)
            theirs.remove(other)
    return pairs


def _chunks(pairs: Sequence[tuple[int, int]]) -> int:
    """Runs of words that follow each other on both sides."""
    return 1 + sum(after != (one[0] + 1, one[1] + 1) for one, after in pairwise(pairs))
