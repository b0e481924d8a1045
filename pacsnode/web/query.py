"""What a QIDO-RS query string asks for (PS3.18 8.3.4): names, values, pages; no answers here.

Raises Refusal (400), which names parameters and never their values: those may be a patient's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from pacsnode.web.refusal import BAD_REQUEST, Refusal
from storage.catalog.searching import COLUMNS, Between, Condition, Level, Like, OneOf, Search
from storage.header import is_uid

MOST_RESULTS: Final = 10_000
LONGEST_VALUE: Final = 1024  # characters; lists of UIDs may be as long as a request line
EVERYTHING: Final = "all"
PAGES: Final = frozenset(("limit", "offset", "fuzzymatching", "includefield"))
OURS: Final = PAGES | {"accept"}

_DATE: Final = re.compile(r"(\d{8})?(-)?(\d{8})?", re.ASCII)
_TIME: Final = re.compile(r"(\d{2,6}(?:\.\d{1,6})?)?(-)?(\d{2,6}(?:\.\d{1,6})?)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,12}", re.ASCII)
AFTER_ANY_DIGIT: Final = ":"  # so that a time that is less exact holds all that begins with it


@dataclass(frozen=True, slots=True)
class Query:
    """A search, the keywords asked for besides the usual ones, and what must be said of it."""

    search: Search
    included: frozenset[str]
    is_fuzzy: bool
    is_capped: bool  # fewer results are given than were asked for


def read_query(
    level: Level, parameters: Iterable[tuple[str, str]], scope: Mapping[str, str]
) -> Query:
    """The query on a resource; `scope` are the UIDs of its path by keyword."""
    told = list(parameters)
    conditions: list[Condition] = [OneOf(keyword, (uid,)) for keyword, uid in scope.items()]
    included: set[str] = set()
    for name, value in told:
        if name == "includefield":
            included |= {_included(word) for word in value.split(",") if word}
        elif name not in PAGES and (keyword := _keyword(name)) is not None:
            included.add(keyword)
            conditions += _conditions(level, keyword, value)
    pages = {name: value for name, value in told if name in PAGES}
    limit = _count(pages, "limit", MOST_RESULTS)
    search = Search(
        level=level,
        conditions=tuple(conditions),
        limit=min(limit, MOST_RESULTS) + 1,  # one more, to know whether there are more
        offset=_count(pages, "offset", 0),
        everything=level == "instance" and bool(included),
    )
    return Query(
        search=search,
        included=frozenset(included),
        is_fuzzy=_yes(pages, "fuzzymatching"),
        is_capped="limit" not in pages or limit > MOST_RESULTS,
    )


def told_name(name: str) -> str:
    """The name of a parameter, or the keyword it means; `?` for any other, which may be the rest
    of a patient's name after a `&`."""
    return name if name in OURS else _keyword(name) or "?"


def _included(word: str) -> str:
    if word == EVERYTHING:
        return word
    keyword = _keyword(word)
    if keyword is None:
        raise Refusal(BAD_REQUEST, "includefield names what is no attribute")
    return keyword


def _keyword(name: str) -> str | None:
    """`PatientID`, `00100020`, or the last of a dotted path; None for what is no attribute."""
    last = name.rpartition(".")[2]
    if re.fullmatch(r"[0-9A-Fa-f]{8}", last):
        return keyword_for_tag(int(last, 16)) or None
    return last if tag_for_keyword(last) is not None else None


def _conditions(level: Level, keyword: str, value: str) -> Iterator[Condition]:
    known = COLUMNS[level].keys() | {"ModalitiesInStudy"}
    if keyword not in known:
        raise Refusal(
            BAD_REQUEST, f"{keyword} is no matching key of a {level}; these are: {_listed(known)}"
        )
    if value.strip("*") == "":
        return  # PS3.4 C.2.2.2.3: universal matching
    vr = dictionary_VR(keyword)
    if vr != "UI" and len(value) > LONGEST_VALUE:
        raise Refusal(BAD_REQUEST, f"The value of {keyword} is too long")
    if vr == "UI":
        yield OneOf(keyword, _uids(keyword, value))
    elif vr in ("DA", "TM"):
        yield _range(keyword, vr, value)
    elif vr in ("IS", "US"):
        if _NUMBER.fullmatch(value.strip()) is None:
            raise Refusal(BAD_REQUEST, f"{keyword} is a whole number")
        yield OneOf(keyword, (str(int(value)),))
    elif vr == "PN":
        yield Like(keyword, _name_pattern(value))
    elif "*" in value or "?" in value:
        yield Like(keyword, rf"(?s)\A{_wildcards(value, '.')}\Z")
    else:
        # what padding is for DICOM, PS3.5 6.2, is none for whoever types a query
        yield OneOf(keyword, tuple(re.split(r"[\\,]", value)) if vr == "CS" else (value.strip(),))


def _uids(keyword: str, value: str) -> tuple[str, ...]:
    uids = tuple(re.split(r"[\\,]", value))
    if not all(map(is_uid, uids)):
        raise Refusal(BAD_REQUEST, f"{keyword} is a UID, or several joined by commas")
    return uids


def _range(keyword: str, vr: str, value: str) -> Between:
    """PS3.4 C.2.2.2.5: `from-to`, either end open, or one date or time."""
    form = (_DATE if vr == "DA" else _TIME).fullmatch(value.strip())
    if form is None or not (form[1] or form[3]) or (form[3] and not form[2]):
        raise Refusal(
            BAD_REQUEST,
            f"{keyword} is {'YYYYMMDD' if vr == 'DA' else 'HHMMSS'}, or two of them joined by -",
        )
    least, dash, greatest = form.groups()
    last = greatest if dash else least
    return Between(keyword, least, last + AFTER_ANY_DIGIT if last else None)


def _name_pattern(value: str) -> str:
    """A name matches whole or by one of its component groups (PS3.5 6.2.1.2), in any case;
    components that are left out at the end are empty ones."""
    groups = (_wildcards(group.rstrip("^"), "[^=]") for group in value.strip().split("="))
    return r"(?si)(?:\A|=)" + r"\^*=".join(groups) + r"\^*(?:=|\Z)"


def _wildcards(value: str, letter: str) -> str:
    """PS3.4 C.2.2.2.4: `*` is any letters, `?` is one.

    Each run up to a literal is taken once and never again: no pattern can make matching slow.
    """
    first, *others = (re.escape(piece).replace(r"\?", letter) for piece in re.split(r"\*+", value))
    if not others:
        return first
    *between, last = others
    runs = (rf"(?>{letter}*?{piece})" for piece in between)
    return rf"{first}{''.join(runs)}{letter}*{last}"


def _count(pages: Mapping[str, str], name: str, default: int) -> int:
    value = pages.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise Refusal(BAD_REQUEST, f"{name} is a whole number from 0")
    return int(value)


def _yes(pages: Mapping[str, str], name: str) -> bool:
    value = pages.get(name, "false")
    if value not in ("true", "false"):
        raise Refusal(BAD_REQUEST, f"{name} is true or false")
    return value == "true"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
