"""A text as the scanner reads it: of the same length, every numeral an ASCII digit."""

import unicodedata
from functools import lru_cache

_TIMES = frozenset("\u00d7\u2715\u2716\u2a2f\u2573\u2217\u2a09")  # multiplication signs
_ALIKE = {
    "\u2212": "-",  # minus sign
    "\u00b7": ".",  # middle dot
    "\u066b": ".",  # Arabic decimal separator
    "\u066c": ",",  # Arabic thousands separator
    "\u201a": ",",  # low quotation mark
    "\u2044": "/",  # fraction slash
    "\u2215": "/",  # division slash
}


def folded(text: str) -> str:
    """The text with one plain character for each of its own, so that positions stay the same."""
    return text if text.isascii() else "".join(map(_plain, text))


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character.isascii():
        return character
    if character.isnumeric():
        value = unicodedata.numeric(character)
        return str(int(value)) if value in range(10) else "0"  # a fraction, or a numeral of ten
    if character in _TIMES:
        return "x"
    if character in _ALIKE:
        return _ALIKE[character]
    if character.isspace():
        return " "
    if unicodedata.category(character) == "Pd":
        return "-"
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and not plain.isnumeric() else character
