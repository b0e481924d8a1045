"""The mask swap test: two lesions of one volume must each get a finding of their own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, groupby, islice

from engine.cohort.dataset import Example
from engine.errors import UnusableCase
from engine.evaluating.asking import lesion_of, words_of
from engine.evaluating.clinical import wilson
from engine.evaluating.facts import Facts, facts_in, facts_of
from engine.finding import Describer, Unable

NO_PAIR = "no-pair"
_PLACE = ("region", "organ", "laterality", "site")  # what tells two findings apart


@dataclass(frozen=True, slots=True)
class Pair:
    """Two lesions of one study, what was said of each, and whether each got its own finding."""

    study_id: str
    lesion_ids: tuple[str, str]
    texts: tuple[str, str]
    told_apart_by: tuple[str, ...]  # facts that the records give different values for
    passed: bool


@dataclass(frozen=True, slots=True)
class MaskSwap:
    """All pairs that were tried; `share` and `interval` are None where there was none."""

    pairs: tuple[Pair, ...]

    @property
    def passed(self) -> int:
        return sum(pair.passed for pair in self.pairs)

    @property
    def share(self) -> float | None:
        return self.passed / len(self.pairs) if self.pairs else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of `share`."""
        return None if not self.pairs else wilson(self.passed, len(self.pairs))


def mask_swap(
    describer: Describer,
    examples: Iterable[Example],
    pairs: int = 200,
    each_study: int = 3,
    say: Callable[[int], None] = lambda _: None,
) -> MaskSwap:
    """Describe two lesions on the same images, one call a mask: only the mask differs.

    A pair counts where the records differ in region, organ, laterality or site. It passes where, in
    at least one of the facts that differ, each text states its own lesion's, and in none of them
    either text states the other's. At most `each_study` pairs come from one study.
    Raises UnusableCase where no pair is found.
    """
    tried = []
    for pair in islice(_pairs(describer, examples, each_study), pairs):
        tried.append(pair)
        say(len(tried))
    if not tried:
        raise UnusableCase("No study holds two lesions at different places", code=NO_PAIR)
    return MaskSwap(tuple(tried))


def _pairs(describer: Describer, examples: Iterable[Example], each_study: int) -> Iterator[Pair]:
    for study_id, group in groupby(examples, key=lambda one: one.record.study_id):
        study = list(group)
        different = (
            (one, other, facts)
            for one, other in combinations(study, 2)
            if (facts := _differing(facts_of(one.record), facts_of(other.record)))
        )
        texts: dict[str, str] = {}
        for one, other, facts in islice(different, each_study):
            for example in (one, other):
                if example.record.lesion_id not in texts:
                    texts[example.record.lesion_id] = _words(describer, example)
            said = texts[one.record.lesion_id], texts[other.record.lesion_id]
            ids = one.record.lesion_id, other.record.lesion_id
            yield Pair(study_id, ids, said, facts, _passed(one, other, said, facts))


def _words(describer: Describer, example: Example) -> str:
    """What is said of one mask alone, always as the same lesion number one."""
    try:
        lesion = lesion_of(example.scan, example.mask)
    except UnusableCase:
        return ""
    (words,) = words_of(describer, example.scan, [lesion])
    return "" if isinstance(words, Unable) else words


def _differing(one: Facts, other: Facts) -> tuple[str, ...]:
    return tuple(
        fact
        for fact in _PLACE
        if None not in (getattr(one, fact), getattr(other, fact))
        and getattr(one, fact) != getattr(other, fact)
    )


def _passed(one: Example, other: Example, said: tuple[str, str], facts: tuple[str, ...]) -> bool:
    known = facts_of(one.record), facts_of(other.record)
    told = facts_in(said[0]), facts_in(said[1])
    own = [
        all(getattr(told[at], fact) == getattr(known[at], fact) for at in (0, 1)) for fact in facts
    ]
    swapped = [
        any(getattr(told[at], fact) == getattr(known[1 - at], fact) for at in (0, 1))
        for fact in facts
    ]
    return any(own) and not any(swapped)
