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
from engine.grounding.sites import site_of
from engine.grounding.terms import mentions_of, words_of

ABNORMAL = ("increased", "decreased", "absent")
NORMAL = "normal"
_FIRST = (*ABNORMAL, NORMAL)  # which of several states of one group counts

_UPTAKE = r"(?:uptake|avid\w*|activity|accumulation|metaboli\w+|FDG|tracer|radiotracer)"
_STATES = (
    ("absent", rf"\b(?:no|without|absent|absence\s+of|lack\s+of|not)\b[^,;.]{{0,30}}{_UPTAKE}"
               r"|\bnon-?\s?avid\b|\bnot\s+\w*-?\s?avid\b"),
    ("decreased", rf"\b(?:decreased|reduced|diminished|low(?:er)?)\s+(?:\w+[\s-]){{0,2}}{_UPTAKE}"
                  r"|\bhypometabol\w+|\bphotopeni\w+|\bcold\b"),
    (NORMAL, r"\bphysiolog\w*|\bnormal\b|\bunremarkable\b"),
    ("increased", rf"\bhypermetabol\w+|{_UPTAKE}"),
)  # fmt: skip
_PATTERNS = tuple((state, re.compile(pattern, re.I)) for state, pattern in _STATES)
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
        state = next((name for name, pattern in _PATTERNS if pattern.search(sentence)), None)
        if group is not None and state is not None:
            states.setdefault(group, state)
    return states


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
