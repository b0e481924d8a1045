"""The terms of the table of sites in a text: its words, and the longest term at each of them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from engine.grounding.site_table import Site, table

JOINED, APART, ENDED = 1, 2, 3  # what stands before a word: a hyphen or slash; a comma; a full stop

_WORD = re.compile(r"[A-Za-z0-9]+")
_END = re.compile(r"[.!?;]\s|\n")
_ABBREVIATED = frozenset({"vs", "approx", "ca", "e", "g", "i", "rt", "lt"})
# "R lung", "R. lung", and at the start of a sentence "R. Lung"; no litre, and no end of a sentence
_SIDE_LETTER = re.compile(
    r"(?<![\w/-])(?<!\d\s)[RL](?=\.?\s+(?!spine)[a-z]{3})|(?:^|[.!?;]\s|\n)\s*[RL](?=\.?\s+[A-Z][a-z]{2})"
)
_SIDE_LETTERS = {"R": "right", "L": "left"}
# A term may hold these anywhere: "upper lobe of the left lung".
_PASSED_OVER = frozenset(
    {"a", "an", "the", "of", "in", "at", "within", "on", "its", "their", "s"}
    | {"left", "right", "bilateral", "sided", "lt", "rt"}
)
_NUMBERED = frozenset({"level", "station", "segment"})
_NUMERAL = re.compile(r"(?:\d{1,2}|[ivx]+)[a-crlp]?")
_LIST_WORDS = frozenset({"and", "or", "to", "through"})


@dataclass(frozen=True, slots=True)
class Word:
    """A word in lower case and in the singular, where it stands, and what stands before it."""

    text: str
    start: int
    end: int
    break_before: int = 0


@dataclass(frozen=True, slots=True)
class Mention:
    """A site that the words [first, last] of a text name."""

    site: Site
    first: int
    last: int


def words_of(text: str) -> list[Word]:
    """The words of a text; "levels II/III" reads as "level II / level III"."""
    words: list[Word] = []
    letters = {match.end() - 1 for match in _SIDE_LETTER.finditer(text)}
    for match in _WORD.finditer(text):
        gap = text[words[-1].end : match.start()] if words else ""
        previous = words[-1].text if words else ""
        word = _of_a_range(singular(match[0].lower()), previous, gap)
        if match.start() in letters:
            word = _SIDE_LETTERS[match[0]]
        is_short = previous in _ABBREVIATED or (bool(words) and words[-1].start in letters)
        words.append(Word(word, match.start(), match.end(), _break(gap, is_short)))
    return list(_with_repeated_heads(words))


def mentions_of(words: Sequence[Word]) -> list[Mention]:
    """The longest term at each word, from left to right, none overlapping another."""
    found: list[Mention] = []
    at = 0
    while at < len(words):
        mention = _longest_at(words, at)
        if mention is None:
            at += 1
        else:
            found.append(mention)
            at = mention.last + 1
    return found


def singular(word: str) -> str:
    """A word without its plural: terms and texts are both read so, hence it need not be a word."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("lae", "rae", "nae")):
        return word[:-1]
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return "ln" if word == "lns" else word


def _break(gap: str, is_short: bool) -> int:
    if _END.search(gap) and not is_short:
        return ENDED
    if re.search(r"[,:()\[\]]", gap):
        return APART
    return JOINED if re.search(r"[-/&\u2013\u2014]", gap) else 0


def _of_a_range(word: str, previous: str, gap: str) -> str:
    """The second number of "L4-5" or "T11/12" with the letter of the first."""
    is_second = word.isdigit() and re.fullmatch(r"\s*[-/\u2013]\s*", gap)
    return previous[0] + word if is_second and re.fullmatch(r"[ctl]\d+", previous) else word


def _with_repeated_heads(words: Sequence[Word]) -> Iterator[Word]:
    head: Word | None = None
    numerals = 0
    for word in words:
        if word.text in _NUMBERED:
            head, numerals = word, 0
        elif head is not None and _NUMERAL.fullmatch(word.text) and word.break_before < ENDED:
            numerals += 1
            if numerals > 1:
                yield Word(head.text, word.start, word.start, word.break_before)
                word = Word(word.text, word.start, word.end)
        elif word.text not in _LIST_WORDS:
            head = None
        yield word


def _longest_at(words: Sequence[Word], first: int) -> Mention | None:
    if words[first].text in _PASSED_OVER:
        return None
    terms, found, key = _terms(), None, ""
    for last in range(first, len(words)):
        word = words[last]
        if last > first and word.break_before >= APART:
            break
        if word.text in _PASSED_OVER:
            continue
        key = f"{key} {word.text}".strip()
        if key not in terms:
            break
        site = terms[key]
        if site is not None:
            found = Mention(site, first, last)
    return found


@cache
def _terms() -> dict[str, Site | None]:
    """Every term in the singular; the beginnings of terms as well, with None."""
    terms: dict[str, Site | None] = {}
    for site in table().values():
        for synonym in site.synonyms:
            words = [singular(word) for word in _WORD.findall(synonym.lower())]
            key = " ".join(word for word in words if word not in _PASSED_OVER)
            for end in range(1, key.count(" ") + 1):
                terms.setdefault(" ".join(key.split()[:end]), None)
            terms[key] = site
    return terms
