"""Numbers hidden from a comparison of words, as PETAR's authors hid them from their readers."""

import re

from engine.grounding.folding import folded
from engine.grounding.keeping import kept_in

MASK = "[#]"
# not behind a letter (HER2 is a name), but for the words that a value may be glued to
_NUMBER = re.compile(
    r"\[[\s#]*#[\s#]*\]|(?:(?<![^\W\d_])|(?<=max)|(?<=mean)|(?<=peak)|(?<=suv))[.,]?\d+(?:[.,]\d+)*",
    re.I,
)


def masked(text: str) -> str:
    """The text with `[#]` for every number but those that are names: C6, level 2, 18F."""
    view, pieces, at = folded(text), [], 0
    for _, start, end in sorted(kept_in(view), key=lambda kept: kept[1]):
        pieces += [_NUMBER.sub(MASK, view[at:start]), text[start:end]]
        at = end
    return "".join((*pieces, _NUMBER.sub(MASK, view[at:])))
