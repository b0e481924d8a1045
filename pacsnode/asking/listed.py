"""What a source lists, and what can be asked of it, whatever it speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.header import is_uid

MOST_LISTED = 50_000  # instances of one series: more is no PET and no CT


@dataclass(frozen=True, slots=True)
class ListedSeries:
    """A series at a source (PS3.4 table C.6-3)."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    frame_of_reference_uid: str | None  # where the source tells it


class Asked(Protocol):
    """An open conversation with a source; everything raises PeerFailed or PeerRefused."""

    def series(self, study: str | None, series: str | None = None) -> list[ListedSeries]:
        """The series of a study; of any study where none is named and the source can tell."""
        ...

    def instances(self, series: ListedSeries) -> list[str]:
        """The SOP Instance UIDs of a series."""
        ...

    def fetch(self, series: ListedSeries, instances: Sequence[str], *, whole: bool) -> None:
        """Have these instances kept; `whole` says that they are the series."""
        ...


def listed_series(
    study: object, series: object, modality: object, frame_of_reference: object
) -> ListedSeries | None:
    """A row of an answer; None where what should be UIDs are none."""
    uids = (str(study or ""), str(series or ""))
    if not all(map(is_uid, uids)):
        return None
    frame = str(frame_of_reference or "")
    return ListedSeries(*uids, str(modality or "").strip(), frame if is_uid(frame) else None)
