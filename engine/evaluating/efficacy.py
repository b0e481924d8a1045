"""Clinical efficacy as PET2Rep has it: the state of uptake in 19 groups of organs, study by study.

arXiv 2508.04062: increased, decreased, absent, normal; precision, recall and F1 averaged over the
three that are abnormal. The groups are our own list (engine.evaluating.groups).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from engine.evaluating.clinical import class_scores
from engine.evaluating.groups import GROUP_OF, GROUPS
from engine.evaluating.interpretation import PHYSIOLOGIC, interpretation_in
from engine.grounding.sites import site_of
from engine.grounding.terms import mentions_of, words_of
from engine.grounding.uptake import MILD, grades_in

ABNORMAL = ("increased", "decreased", "absent")
NORMAL = "normal"
_FIRST = (*ABNORMAL, NORMAL)  # which of several states of one group counts

_UPTAKE = r"(?:uptake|avid\w*|activity|accumulation|metaboli\w+|FDG|tracer|radiotracer)"
_LESS = r"(?:decreased|reduced|diminished|hypometabol\w+|photopeni\w+)"
_ABSENT = re.compile(
    rf"\b(?:no|without|absent|absence\s+of|lack\s+of|not)\b[^,;.]{{0,30}}{_UPTAKE}"
    r"|\bnon-?\s?avid\b|\bnot\s+\w*-?\s?avid\b",
    re.I,
)
# "lower" is a comparison before "than" alone: lobes and poles are lower as well
_DECREASED = re.compile(
    rf"\b(?:decreased|reduced|diminished)\s+(?:\w+[\s-]){{0,2}}{_UPTAKE}"
    rf"|\blower\s+(?:(?:\w+[\s-]){{0,2}}{_UPTAKE}\s+)?than\b"
    r"|\bhypometabol\w+|\bphotopeni\w+|\bcold\b",
    re.I,
)
_INCREASED = re.compile(rf"\bhypermetabol\w+|{_UPTAKE}", re.I)
_NORMAL_BY_NAME = re.compile(r"\bphysiolog\w*|\bexcret\w+|\bunremarkable\b", re.I)
# how much less, and how large: neither grades an uptake, or calls it normal
_BESIDE = re.compile(
    rf"\b(?!(?:no|not|without)\b)(?:\w+[\s-]+(?:to|and)[\s-]+)?\w+[\s-]+(?=\b{_LESS}\b)"
    r"|\bnormal(?:ly)?[\s-]+(?:in\s+)?siz\w+",
    re.I,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Efficacy:
    """(precision, recall, F1) by state, and their means over the states that occur."""

    by_state: dict[str, tuple[float, float, float] | None]  # None: neither known nor said
    precision: float
    recall: float
    f1: float
    studies: int


def states_in(text: str) -> dict[str, str]:
    """The state of each group that `text` tells of; a sentence without a place is of the last."""
    states: dict[str, str] = {}
    group: str | None = None
    for sentence in _SENTENCE.split(text):
        organ = _organ_in(sentence)
        group = GROUP_OF.get(organ) if organ else group
        state = _state_in(sentence)
        if group is not None and state is not None:
            states.setdefault(group, state)
    return states


def _state_in(sentence: str) -> str | None:
    """A grade of mild or more is an increase, unless the uptake is called physiologic."""
    plain = _BESIDE.sub(" ", sentence)
    is_normal = interpretation_in(plain) == PHYSIOLOGIC or "unremarkable" in plain.lower()
    is_graded = any(grade >= MILD for grade in grades_in(plain))
    if is_graded and not (is_normal and _NORMAL_BY_NAME.search(plain)):
        return "increased"
    if _ABSENT.search(plain):
        return "absent"
    if _DECREASED.search(plain):
        return "decreased"
    if is_normal:
        return NORMAL
    return "increased" if _INCREASED.search(plain) else None


def _organ_in(sentence: str) -> str | None:
    """The organ group that a sentence is about; one that it denies uptake in counts as well."""
    located = site_of(sentence)
    if located.organ_group is not None:
        return located.organ_group
    mentioned = (one.site.organ_group for one in mentions_of(words_of(sentence)))
    return next((organ for organ in mentioned if organ in GROUP_OF), None)


def efficacy_of(
    candidates: Mapping[str, Sequence[str]], references: Mapping[str, Sequence[str]]
) -> Efficacy:
    """Clinical efficacy over studies: by study id, the texts of its lesions on both sides."""
    counts: Counter[tuple[str, str]] = Counter()
    for study, texts in references.items():
        known, said = _merged(texts), _merged(candidates.get(study, ()))
        counts.update((known.get(group, NORMAL), said.get(group, NORMAL)) for group in GROUPS)
    seen = {state for pair in counts for state in pair}
    by_state = {state: class_scores(counts, state) if state in seen else None for state in ABNORMAL}
    scores = [one for one in by_state.values() if one is not None]
    means = [fmean(column) for column in zip(*scores, strict=True)] if scores else [0.0] * 3
    return Efficacy(by_state, means[0], means[1], means[2], len(references))


def _merged(texts: Iterable[str]) -> dict[str, str]:
    """The states of one study; of several of one group the abnormal one."""
    states: dict[str, str] = {}
    for text in texts:
        for group, state in states_in(text).items():
            states[group] = min(states.get(group, state), state, key=_FIRST.index)
    return states
