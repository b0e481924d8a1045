"""ground: a describer's words, held to what was measured in the lesion's mask."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.sr.coding import Code

from engine.finding import Description
from engine.grounding.spans import Span
from engine.lesion import Lesion
from engine.volume import Scan


@dataclass(frozen=True, slots=True)
class Grounded:
    """Words fit for a report: every number in `text` is a measured one, or names anatomy."""

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

    `context` are the measured context segments of the study (a label map of organs among them).
    """
    raise NotImplementedError  # the scanner follows
