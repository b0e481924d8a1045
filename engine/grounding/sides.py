"""Left, right or both: which side a text gives to a site."""

import re
from collections.abc import Iterator, Sequence

from pydicom.sr.coding import Code

from engine.codes import BILATERAL, LEFT, RIGHT
from engine.grounding.terms import Mention, Word

_SIDES = {
    "left": LEFT,
    "lt": LEFT,
    "right": RIGHT,
    "rt": RIGHT,
    "bilateral": BILATERAL,
    "bilaterally": BILATERAL,
    "both": BILATERAL,
}
_BETWEEN_BOTH = frozenset({"and", "or", "greater", "more", "larger", "worse", "than", "sided"})


def claims_both_sides(text: str) -> bool:
    """Whether any word of the text speaks of both sides."""
    return re.search(r"\b(?:bilateral(?:ly)?|both sides)\b", text, re.IGNORECASE) is not None


def side_of(
    mine: Sequence[Mention], mentions: Sequence[Mention], words: Sequence[Word]
) -> Code | None:
    """The side that stands nearest to one of my mentions and to no other site."""
    for mention in mine:
        if mention.site.side in ("left", "right"):
            return _SIDES[mention.site.side]
    stated = sorted(_of_mine(mine, mentions, words))
    if not stated:
        return None
    sides = {words[at].text for _, at in stated}
    if sides >= {"left", "right"} and _are_joined(words, sorted(at for _, at in stated)):
        return BILATERAL
    return _side_at(words, stated[0][1])


def only_side_in(words: Sequence[Word]) -> Code | None:
    """The side of a text that speaks of one side alone."""
    sides = {side for at in range(len(words)) if (side := _side_at(words, at)) is not None}
    return sides.pop() if len(sides) == 1 else None


def _of_mine(
    mine: Sequence[Mention], mentions: Sequence[Mention], words: Sequence[Word]
) -> Iterator[tuple[int, int]]:
    """(distance, index) of each side word whose nearest site is one of mine."""
    for at in range(len(words)):
        if _side_at(words, at) is None:
            continue
        # of two at one distance the one that follows: sides precede what they belong to
        nearest = min(mentions, key=lambda one: (_distance(one, at), one.last < at))
        if nearest in mine:
            yield _distance(nearest, at), at


def _distance(mention: Mention, at: int) -> int:
    return max(mention.first - at, at - mention.last, 0)


def _are_joined(words: Sequence[Word], places: Sequence[int]) -> bool:
    between = range(places[0] + 1, places[-1])
    return all(words[at].text in _BETWEEN_BOTH for at in between if at not in places)


def _side_at(words: Sequence[Word], at: int) -> Code | None:
    word = words[at].text
    station = re.fullmatch(r"\d{1,2}([rl])", word)
    if station is not None:
        return RIGHT if station[1] == "r" else LEFT
    if word == "both" and at + 1 < len(words) and words[at + 1].text in ("pet", "ct"):
        return None
    return _SIDES.get(word)
