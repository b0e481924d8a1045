"""The SUVmax and the slice that a sentence of a report gives to one lesion, by rules."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.grounding.folding import folded
from engine.grounding.measured import Measured
from engine.grounding.numbers import PRIOR_NUMBER, grounded_numbers
from engine.grounding.quantities import Quantity, quantities_in
from engine.grounding.spans import Span

NO_SUV, NO_SLICE, PRIOR_ONLY = "no-suv", "no-slice", "prior-only"
SEVERAL_SUVS, SEVERAL_SLICES, INEXACT_SUV = "several-suvs", "several-slices", "inexact-suv"

# What may be said of one lesion: numbers that the scanner would put these in the place of.
_SOUGHT = Measured(
    suv={"max": "0.0"}, long_cm=None, short_cm=None, craniocaudal_cm=None, slice="0", slices="0-0",
    volume_cm3="0.0", glycolysis_g=None,
)  # fmt: skip
_END = re.compile(
    r"(?<!\bmax)(?<!\bapprox)(?<!\bvs)(?<!\bno)(?<!\bim)(?<!\bse)(?<!\be\.g)(?<!\bi\.e)(?<!\bdr)"
    r"(?<!\bca)[.!?](?:\s+|$)|\s*\n\s*(?:\n\s*)*",
    re.I,
)
_SUV_WORD = re.compile(r"\b(?:suvs?|suvmax|standardi[sz]ed\s+uptake)", re.I)
_BOUND = re.compile(
    r"[<>≤≥~]|\b(?:less|greater|more|lower|higher|below|above|under|over|about|approximately|between"
    r"|approx|around|nearly|least|most|exceed\w*)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Said:
    """A lesion as a sentence gives it. `slices` are the first and last slice number, ascending."""

    text: str
    suv_max: float
    slices: tuple[int, int]


def sentences_of(report: str) -> Iterator[str]:
    """The sentences of a report, and its headings; wrapped lines are not joined."""
    at = 0
    for end in _END.finditer(report):
        yield from _kept(report[at : end.end()])
        at = end.end()
    yield from _kept(report[at:])


def said_in(sentence: str) -> Said | str:
    """The one lesion of a sentence, or the code of why there is none.

    Numbers of an earlier examination, of another statistic than the maximum, of a reference organ
    and of what is denied are passed over, as the scanner of generated text passes them over.
    """
    _, spans, flags = grounded_numbers(sentence, _SOUGHT)
    uptakes = [span for span in spans if span.kind == "suv" and span.action == "replaced"]
    others = [span for span in spans if span.kind == "suv" and span.action == "removed"]
    if not uptakes:
        return PRIOR_ONLY if PRIOR_NUMBER in flags and _SUV_WORD.search(sentence) else NO_SUV
    if len(uptakes) > 1 or any(_is_maximum(span) for span in others):
        return SEVERAL_SUVS
    suv_max = _one_number(uptakes[0], sentence)
    if suv_max is None:
        return INEXACT_SUV
    slices = _slices(spans)
    if isinstance(slices, str):
        return slices
    return Said(sentence, suv_max, slices)


def is_worth_asking(code: str) -> bool:
    """Whether a reader of more than rules might find lesions where `said_in` found this."""
    return code in (SEVERAL_SUVS, SEVERAL_SLICES, NO_SLICE)


def _kept(piece: str) -> Iterator[str]:
    stripped = piece.strip()
    if re.search(r"[^\W\d_]", stripped):
        yield stripped


def _is_maximum(span: Span) -> bool:
    """Whether a number was taken out as another lesion's maximum, not as a mean or a peak."""
    return not re.search(r"mean|peak|avg|average|median|min", span.raw, re.I)


def _quantities(span: Span) -> list[Quantity]:
    return list(quantities_in(folded(span.raw)))


def _one_number(span: Span, sentence: str) -> float | None:
    found = _quantities(span)
    before = sentence[max(span.start - 12, 0) : span.start]
    if len(found) != 1 or found[0].is_range or _BOUND.search(before[-12:] + span.raw):
        return None
    return _float(found[0].factors[0])


def _slices(spans: Sequence[Span]) -> tuple[int, int] | str:
    """The slices told of this lesion; those behind an earlier examination's number are its own."""
    earlier = [span.start for span in spans if span.kind == "prior"]
    told = [
        span for span in spans
        if span.kind == "slice"
        and (span.action == "replaced" or not any(start < span.start for start in earlier))
    ]  # fmt: skip
    if not told:
        return NO_SLICE
    ends = {tuple(sorted(map(int, re.findall(r"\d+", _first_factor(span))))) for span in told}
    if len(ends) > 1:
        return SEVERAL_SLICES
    numbers = ends.pop()
    return (numbers[0], numbers[-1]) if 0 < len(numbers) < 3 else SEVERAL_SLICES


def _first_factor(span: Span) -> str:
    """Of "image 77 of 267" the 77."""
    found = _quantities(span)
    return found[0].factors[0] if found else ""


def _float(written: str) -> float | None:
    plain = written.strip().replace(",", ".")
    return float(plain) if re.fullmatch(r"\d+(?:\.\d+)?|\.\d+", plain) else None
