"""What a mask object holds once read onto the PET grid, gathered segment by segment."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import EngineError, Unreadable
from engine.finding import Unreported
from engine.lesion import Role, Segment

MAX_SEGMENTS = 1000
# Voxels that all masks together may touch: one byte each.
MAX_TOUCHED_VOXELS = 2**32


@dataclass(frozen=True, slots=True, eq=False)
class MaskContent:
    """The segments of a SEG or RTSTRUCT in ascending number, and those that could not be read."""

    segments: tuple[Segment, ...]
    failed: tuple[Unreported, ...]
    flags: tuple[str, ...] = ()


class Unusable(EngineError):
    """One segment cannot be placed; the others can. Becomes an Unreported."""


class Gathering:
    """Segments as they are read: one that cannot be is listed with its reason, and costs no other.

    Raises Unreadable where a mask object asks for more than any real one.
    """

    def __init__(self, what: str) -> None:
        self._what = what  # "SEG 1.2.3"
        self._segments: list[Segment] = []
        self._failed: list[Unreported] = []
        self._touched = 0

    @contextmanager
    def segment(self, number: int, label: str, role: Role) -> Iterator[None]:
        """Read one segment inside; its own errors end here."""
        if len(self._segments) + len(self._failed) >= MAX_SEGMENTS:
            sentence = f"{self._what} has more than {MAX_SEGMENTS} segments"
            raise Unreadable(sentence, code="too-many-segments")
        try:
            yield
        except (Unusable, Unreadable) as exc:
            self._failed.append(Unreported(number, label, exc.code, str(exc), role))

    def keep(self, segment: Segment, touched_voxels: int) -> None:
        self._touched += touched_voxels
        if self._touched > MAX_TOUCHED_VOXELS:
            sentence = "the masks before it already fill the memory that one object may take"
            raise Unusable(sentence, code="mask-too-large")
        self._segments.append(segment)

    def content(
        self, lesion_numbers: Collection[int] | None, flags: tuple[str, ...] = ()
    ) -> MaskContent:
        """All of it; a lesion that was asked for and is not there is listed too."""
        met = {each.number for each in self._segments} | {each.number for each in self._failed}
        for number in sorted(set(lesion_numbers or ()) - met):
            sentence = f"{self._what} has no number {number}"
            self._failed.append(Unreported(number, "", "no-such-segment", sentence))
        return MaskContent(
            tuple(sorted(self._segments, key=lambda segment: segment.number)),
            tuple(sorted(self._failed, key=lambda failed: failed.number)),
            flags,
        )
