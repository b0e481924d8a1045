"""Whether a sentence is about a site it mentions, or is near to it, compares with it, denies it."""

from collections.abc import Sequence
from enum import Enum

from engine.grounding.terms import APART, ENDED, Mention, Word


class Standing(Enum):
    """What a sentence does with a site that it mentions."""

    SUBJECT = "subject"
    NEAR = "near"
    COMPARED = "compared"
    DENIED = "denied"


NEAR_CUES = (
    "adjacent to", "next to", "close to", "near", "abutting", "abut", "anterior to",
    "posterior to", "lateral to", "medial to", "inferior to", "superior to", "cranial to",
    "cephalad to", "caudal to", "deep to", "superficial to", "proximal to", "distal to",
    "contiguous with", "continuous with", "separate from", "distinct from", "inseparable from",
    "away from", "below", "beneath", "behind", "beside", "between", "underlying", "overlying",
    "level of", "invading", "invade", "invasion of", "extending to", "extending into",
    "extending toward", "extend to", "extend into", "extension into", "extension to", "displacing",
    "surrounding", "surround", "encasing", "encase", "sparing", "spare", "outside", "toward",
    "over", "bordering", "eroding", "erode", "indenting", "compressing", "compress",
)  # fmt: skip
_COMPARED = (
    "than", "above", "exceeding", "exceed", "compared to", "compared with", "comparable to",
    "comparable with", "relative to", "similar to", "equal to", "comparison to",
    "comparison with", "versus", "vs", "isometabolic to", "intensity to", "uptake to",
    "activity to", "avidity to", "reference",
)  # fmt: skip
_DENIED = frozenset(
    {"no", "without", "not", "negative", "absent", "nor", "neither", "never", "free"}
)
_NOT_DENIED = frozenset({"only", "longer", "correlate", "correlation"})
_TURN = frozenset({"but", "however", "except", "although", "whereas", "while", "though"})
_ANEW = frozenset(
    {"in", "within", "at", "involving", "involve", "is", "are", "show", "demonstrate"}
    | {"with", "which", "that", "there"}
)
_OF_UPTAKE = frozenset({"that", "uptake", "activity", "avidity", "those", "seen", "than", "to"})
_CUES: dict[str, list[tuple[list[str], Standing]]] = {}  # by their last word
for _standing, _cues in ((Standing.NEAR, NEAR_CUES), (Standing.COMPARED, _COMPARED)):
    for _cue in _cues:
        _CUES.setdefault(_cue.split()[-1], []).append((_cue.split(), _standing))
_AFTER = {
    "background": Standing.COMPARED,
    "reference": Standing.COMPARED,
    "blood": Standing.COMPARED,  # mediastinal blood pool
    "level": Standing.NEAR,
}
_SIDES = frozenset({"left", "right", "lt", "rt"})


def standing_of(mention: Mention, words: Sequence[Word]) -> Standing:
    """What the sentence does with the mention, by the words before and right after it."""
    after = words[mention.last + 1] if mention.last + 1 < len(words) else None
    is_written = after is not None and after.end > after.start  # no repeated head of a list
    if after is not None and is_written and after.break_before < APART and after.text in _AFTER:
        return _AFTER[after.text]
    if _is_denied(mention, words):
        return Standing.DENIED
    return _governed(mention, words)


def _governed(mention: Mention, words: Sequence[Word]) -> Standing:
    """The nearest cue before the mention in its own phrase."""
    for at in range(mention.first - 1, -1, -1):
        if words[at + 1].break_before >= APART:
            break
        for cue, standing in _CUES.get(words[at].text, ()):
            told = [word.text for word in words[max(at - len(cue) + 1, 0) : at + 1]]
            if told == cue and not _of_sides(words, at):
                return standing
        if _begins_anew(words, at, mention):
            break
    return Standing.SUBJECT


def _begins_anew(words: Sequence[Word], at: int, mention: Mention) -> bool:
    word = words[at].text
    if word not in _ANEW:
        return False
    if word in ("in", "within", "at"):  # "greater than that in the liver" is one phrase
        return at == 0 or words[at - 1].text not in _OF_UPTAKE
    return word != "that" or at + 1 >= mention.first or words[at + 1].text not in ("in", "of")


def _of_sides(words: Sequence[Word], at: int) -> bool:
    """Whether "than" compares the two sides: right greater than left."""
    return (
        words[at].text == "than"
        and at >= 2
        and at + 1 < len(words)
        and words[at + 1].text in _SIDES
        and words[at - 2].text in _SIDES
    )


def _is_denied(mention: Mention, words: Sequence[Word]) -> bool:
    commas = 0
    for at in range(mention.first - 1, -1, -1):
        commas += words[at + 1].break_before == APART
        if words[at + 1].break_before == ENDED or words[at].text in _TURN:
            return False
        if words[at].text in _DENIED:
            told = {word.text for word in words[at + 1 : at + 4]}
            return not told & _NOT_DENIED and (not commas or _is_list(words, at))
    return False


def _is_list(words: Sequence[Word], start: int) -> bool:
    """Whether the sentence goes on with a list: no uptake in the liver, spleen or kidneys."""
    for word in words[start + 1 :]:
        if word.break_before == ENDED:
            return False
        if word.text in ("or", "nor"):
            return True
    return False
