"""Span: a piece of a describer's text that holds a number, and what became of it."""

from dataclasses import dataclass
from typing import Literal

Action = Literal["replaced", "removed", "kept"]


@dataclass(frozen=True, slots=True)
class Span:
    """A number in the raw text with the words that belong to it.

    `kind` is suv, size1, size2, size3, slice, volume, glycolysis, prior, unknown, or keep- and what
    it names (keep-anatomy, keep-tracer, keep-score). `measured` is what stands there now. A number
    that was read anew once its neighbours were gone has no place in the raw text: -1, -1.
    """

    raw: str
    kind: str
    measured: str | None
    action: Action
    start: int  # in the raw text: raw == raw_text[start:end]
    end: int
