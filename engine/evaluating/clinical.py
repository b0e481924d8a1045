"""How often texts state what is known of their lesions: exact match and macro-F1, fact by fact."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from engine.evaluating.facts import FACTS, UNSAID, Facts

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class FactScore:
    """One fact over all lesions whose record knows it."""

    fact: str
    judged: int
    right: int
    macro_f1: float | None  # None where nothing was judged

    @property
    def exact(self) -> float | None:
        """Share of the judged lesions whose text says what is known."""
        return self.right / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of `exact`."""
        return wilson(self.right, self.judged) if self.judged else None


def fact_scores(known: Sequence[Facts], said: Sequence[Facts]) -> tuple[FactScore, ...]:
    """Every fact; what a text leaves out counts as said wrong where the record knows it."""
    return tuple(_scored(fact, known, said) for fact in FACTS)


def confusion(fact: str, known: Sequence[Facts], said: Sequence[Facts]) -> Counter[tuple[str, str]]:
    """How often (what is known, what was said) occurred; nothing said is UNSAID."""
    return Counter(
        (truth, getattr(told, fact) or UNSAID)
        for one, told in zip(known, said, strict=True)
        if (truth := getattr(one, fact)) is not None
    )


def macro_f1(counts: Counter[tuple[str, str]]) -> float | None:
    """Mean F1 of the classes that are known to occur; a class only said is a false positive."""
    classes = {truth for truth, _ in counts}
    return fmean(class_scores(counts, one)[2] for one in sorted(classes)) if classes else None


def class_scores(counts: Counter[tuple[str, str]], name: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of one class; 0 where its denominator is."""
    hits = counts[name, name]
    said = sum(count for (_, told), count in counts.items() if told == name)
    known = sum(count for (truth, _), count in counts.items() if truth == name)
    f1 = 2 * hits / (said + known) if said + known else 0.0
    return hits / said if said else 0.0, hits / known if known else 0.0, f1


def wilson(right: int, judged: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927)."""
    share, z = right / judged, Z_95
    middle = (share + z * z / (2 * judged)) / (1 + z * z / judged)
    half = z * sqrt(share * (1 - share) / judged + z * z / (4 * judged**2)) / (1 + z * z / judged)
    return max(0.0, middle - half), min(1.0, middle + half)


def _scored(fact: str, known: Sequence[Facts], said: Sequence[Facts]) -> FactScore:
    counts = confusion(fact, known, said)
    right = sum(count for (truth, told), count in counts.items() if truth == told)
    return FactScore(fact, counts.total(), right, macro_f1(counts))
