"""Rank series by criteria in order, and say which criterion decided."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pacsnode.assembly.attributes import text
from storage.records import Series


@dataclass(frozen=True, slots=True)
class Criterion:
    """A preference: a smaller `key` is better; `clause` says why the better one was taken."""

    clause: str
    key: Callable[[Series], Any]


def ranked(series: Sequence[Series], criteria: Sequence[Criterion]) -> list[Series]:
    """Best first; among equals in the order of their UIDs, so that nothing depends on arrival."""
    if len(series) < 2:
        return list(series)
    return sorted(
        series,
        key=lambda one: (
            *(criterion.key(one) for criterion in criteria),
            one.series_instance_uid,
            one.sop_class_uid,
        ),
    )


def deciding(better: Series, other: Series, criteria: Sequence[Criterion]) -> Criterion | None:
    """The first criterion that tells two series apart; None where they tie."""
    for criterion in criteria:
        if criterion.key(better) != criterion.key(other):
            return criterion
    return None


def preference_rank(series: Series, patterns: Sequence[str]) -> int:
    """Which of the patterns fits the Series Description first; their number where none does."""
    described = {text(one.attributes, "SeriesDescription") or "" for one in series.instances}
    for rank, pattern in enumerate(patterns):
        if any(re.search(pattern, words, re.IGNORECASE) for words in described):
            return rank
    return len(patterns)


def named(series: Series) -> str:
    """A series as it is called in a sentence. Its description stays out: it is free text."""
    number = next(
        (text(one.attributes, "SeriesNumber") for one in series.instances if one.attributes), None
    )
    count = len(series.instances)
    modality = "PET" if series.modality == "PT" else series.modality
    return (
        f"{modality} series {number + ' ' if number else ''}"
        f"({series.series_instance_uid}, {count} object{'s' if count != 1 else ''})"
    )
