"""ground: a describer's words, held to what was measured in the lesion's mask."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.sr.coding import Code

from engine.finding import Description
from engine.grounding.anatomy import flags_of
from engine.grounding.claims import claims_of
from engine.grounding.measured import measured_of
from engine.grounding.numbers import grounded_numbers
from engine.grounding.sites import site_of
from engine.grounding.spans import Span
from engine.lesion import Lesion
from engine.volume import Scan

EMPTY_TEXT = "empty-text"  # nothing was said, or nothing that could be kept


@dataclass(frozen=True, slots=True)
class Grounded:
    """Words fit for a report: every number in `text` is a measured one, or part of a name."""

    text: str
    site: Code | None
    laterality: Code | None
    flags: tuple[str, ...]
    spans: tuple[Span, ...]
    raw_text: str


def ground(
    description: Description, lesion: Lesion, scan: Scan, context: Sequence[Lesion]
) -> Grounded:
    """The description with measured numbers, its site as a code, and its conflicts as flags.

    For words of a model: a template's are measured already. `context` are the measured context
    segments of the study (a label map of organs among them). A site that the description brings
    along stands; words are never changed for a conflict, only flagged.
    """
    text, spans, number_flags = grounded_numbers(description.text, measured_of(lesion, scan))
    located = site_of(text)
    flags = (
        *number_flags,
        *flags_of(text, located, lesion, scan, context),
        *claims_of(text, has_ct=scan.ct is not None),
        *(() if any(character.isalnum() for character in text) else (EMPTY_TEXT,)),
    )
    return Grounded(
        text=text,
        site=description.site or located.site,
        laterality=description.laterality or located.laterality,
        flags=tuple(dict.fromkeys(flags)),
        spans=spans,
        raw_text=description.text,
    )
