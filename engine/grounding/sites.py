"""Where a sentence says a lesion lies: the longest term of a table of sites, and its side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydicom.sr.coding import Code

from engine.grounding.cues import Standing, standing_of
from engine.grounding.sides import only_side_in, side_of
from engine.grounding.site_table import Site, is_within, region_site, table
from engine.grounding.terms import APART, ENDED, JOINED, Mention, Word, mentions_of, words_of

_JOINING = frozenset(("and", "or", "to", "through", "the", "left", "right", "both", "bilateral"))


@dataclass(frozen=True, slots=True)
class Located:
    """The site that words name. `term` is the part of the text that said so.

    `region` is Head, Neck, Chest, Abdomen, Pelvis or Extremity; `organ_group` groups sites as
    structured PET reports do (Lung, Lymph node, Bone, ...); `name` is the row in the table.
    """

    site: Code | None = None
    laterality: Code | None = None
    region: str | None = None
    organ_group: str | None = None
    term: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    """The site of a sentence, the mentions that tell of it, and those that its term spans."""

    site: Site
    mentions: tuple[Mention, ...]
    spanned: tuple[Mention, ...]


def site_of(text: str) -> Located:
    """The site that `text` names for its lesion; all None where it names none.

    The first sentence that names a place decides. What a sentence denies or compares with is
    no place of the lesion; what it lies next to tells its region alone.
    """
    words = words_of(text)
    sentences = list(_sentences(words))
    for least_rank in (1, 0):
        for sentence in sentences:
            mentions = mentions_of(sentence)
            choice = _chosen(mentions, sentence, least_rank)
            if choice is not None:
                located = _located(choice, mentions, sentence, text)
                has_side = located.laterality is not None or choice.site.side == "no"
                return located if has_side else replace(located, laterality=_side_apart(sentences))
    return _nearby(sentences) or Located(laterality=only_side_in(words))


def _sentences(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    start = 0
    for at, word in enumerate(words):
        if word.break_before == ENDED and at > start:
            yield words[start:at]
            start = at
    if start < len(words):
        yield words[start:]


def _chosen(mentions: Sequence[Mention], words: Sequence[Word], least_rank: int) -> _Choice | None:
    """The first place among the subjects, else the first tissue, as precise as they make it."""
    told = [one for one in mentions if standing_of(one, words) is Standing.SUBJECT]
    subjects = _as_nodes(told, words)
    for rank in (2, 1, 0)[: 3 - least_rank]:
        first = next((one for one in subjects if one.site.rank == rank), None)
        if first is not None:
            return _joined(_refined(first, subjects), subjects, words)
    return None


def _as_nodes(subjects: Sequence[Mention], words: Sequence[Word]) -> Sequence[Mention]:
    """Places as the lymph nodes there: "right axillary, hypermetabolic lymph node"."""
    node = next((one for one in subjects if one.site.name == "lymph node"), None)
    meant: list[Mention] = []
    for one in reversed(subjects):
        named = table().get(one.site.node or "")
        following = next((other for other in reversed(meant) if other.first > one.last), None)
        is_of_list = following is not None and _is_node_list(words, one, following)
        is_named = named is not None and any(is_within(other.site, named) for other in subjects)
        if named is not None and (node is not None or is_of_list or is_named):
            meant.append(Mention(named, one.first, one.last))
        else:
            meant.append(one)
    return meant[::-1]


def _is_node_list(words: Sequence[Word], one: Mention, other: Mention) -> bool:
    """Whether the node of "hilar and mediastinal lymph nodes" is meant for both."""
    return is_within(other.site, table()["lymph node"]) and _is_list(words, one, other)


def _refined(first: Mention, subjects: Sequence[Mention]) -> _Choice:
    """The first mention, or the part of it that the sentence names as well."""
    mentions = [first]
    for one in subjects:
        if one.site.name != mentions[-1].site.name and is_within(one.site, mentions[-1].site):
            mentions.append(one)
    return _Choice(mentions[-1].site, tuple(mentions), (mentions[-1],))


def _joined(choice: _Choice, subjects: Sequence[Mention], words: Sequence[Word]) -> _Choice:
    """The whole, where a list names several of its parts: "L4-L5", "segments V and VI"."""
    listed = [choice.mentions[-1]]
    for one in subjects:
        is_next = one.first > listed[-1].last and one.site.part_of == choice.site.part_of
        if is_next and _is_list(words, listed[-1], one):
            listed.append(one)
    mentions = (*choice.mentions, *listed[1:])
    whole = table().get(choice.site.part_of or "")
    if whole is None or whole.rank < 2 or len({one.site.name for one in listed}) == 1:
        return _Choice(choice.site, mentions, choice.spanned)
    return _Choice(whole, mentions, tuple(listed))


def _is_list(words: Sequence[Word], one: Mention, other: Mention) -> bool:
    between = words[one.last + 1 : other.first]
    follows = words[other.first].break_before
    if any(word.text not in _JOINING for word in between):
        return False
    return follows in (JOINED, APART) or any(
        word.text in ("and", "to", "through") for word in between
    )


def _located(
    choice: _Choice, mentions: Sequence[Mention], words: Sequence[Word], text: str
) -> Located:
    site = choice.site
    # the same place in the sentence, whichever row it stands for there
    places = {(one.first, one.last) for one in choice.mentions}
    mine = [one for one in mentions if (one.first, one.last) in places]
    side = None if site.side == "no" else side_of(mine, mentions, words)
    if side is None and site.side == "yes":  # "lung nodule in the right hemithorax"
        side = side_of(_wholes(site, mentions, words), mentions, words)
    told = choice.spanned
    return Located(
        site=site.code,
        laterality=side,
        region=site.region,
        organ_group=site.organ_group,
        term=text[words[told[0].first].start : words[told[-1].last].end],
        name=site.name,
    )


def _wholes(site: Site, mentions: Sequence[Mention], words: Sequence[Word]) -> list[Mention]:
    """The mentions of what the site is part of, its region among them."""
    return [
        one
        for one in mentions
        if (is_within(site, one.site) or (one.site.rank == 0 and one.site.region == site.region))
        and standing_of(one, words) is Standing.SUBJECT
    ]


def _side_apart(sentences: Sequence[Sequence[Word]]) -> Code | None:
    """The one side that sentences speak of which name no site: "It lies on the right"."""
    return only_side_in([word for words in sentences if not mentions_of(words) for word in words])


def _nearby(sentences: Sequence[Sequence[Word]]) -> Located | None:
    """The region alone, of a text that only says what its lesion lies next to."""
    for words in sentences:
        for one in mentions_of(words):
            region = region_site(one.site.region)
            if region is not None and standing_of(one, words) is Standing.NEAR:
                return Located(site=region.code, region=region.region, name=region.name)
    return None
