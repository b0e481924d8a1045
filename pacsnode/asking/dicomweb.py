"""A DICOMweb source: QIDO-RS (PS3.18 10.6) says what it has, WADO-RS (10.4) gives it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pacsnode.addresses import WebSource
from pacsnode.asking.door import Door
from pacsnode.asking.listed import MOST_LISTED, ListedSeries, listed_series
from pacsnode.errors import PeerFailed
from pacsnode.web_peer import ROOT, Answer, Conversation, by_status
from storage.header import is_uid

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
MODALITY, FRAME_OF_REFERENCE = "00080060", "00200052"

REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("calls the question malformed", ROOT),
    405: ("answers no questions there", ROOT),
    406: ("has no answer in a form that we can read", "Enable QIDO-RS in JSON and WADO-RS there"),
}


class WebAsked:
    """A conversation with a DICOMweb source."""

    def __init__(self, source: WebSource, peer: Conversation, door: Door) -> None:
        self._source = source
        self._peer = peer
        self._door = door

    def series(self, study: str | None, series: str | None = None) -> list[ListedSeries]:
        rows = self._rows(self._peer.search_series(study, series))
        found = (
            listed_series(
                _first(row, STUDY) or study, _first(row, SERIES), _first(row, MODALITY),
                _first(row, FRAME_OF_REFERENCE),
            )
            for row in rows
        )  # fmt: skip
        return [one for one in found if one is not None]

    def instances(self, series: ListedSeries) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < MOST_LISTED:
            before = len(found)
            answer = self._peer.search_instances(
                series.study_instance_uid, series.series_instance_uid, offset=before
            )
            uids = (str(_first(row, INSTANCE)) for row in self._rows(answer))
            found.update(dict.fromkeys(filter(is_uid, uids)))
            if len(found) == before:  # the end, or a source that knows no offset
                break
        return list(found)

    def fetch(self, series: ListedSeries, instances: Sequence[str], *, whole: bool) -> None:
        for uid in instances:
            answer = self._peer.retrieve(series.study_instance_uid, series.series_instance_uid, uid)
            if answer.status in (404, 410):  # it went meanwhile
                continue
            if answer.status != 200:
                raise by_status(self._source.url, answer.status, REFUSALS)
            for part in answer.parts()[:1]:
                self._door.keep_part10(part, uid)

    def _rows(self, answer: Answer) -> list[Any]:
        if answer.status in (204, 404):  # some say so of a study that they do not have
            return []
        if answer.status not in (200, 206):
            raise by_status(self._source.url, answer.status, REFUSALS)
        rows = answer.json()
        if not isinstance(rows, list):
            raise PeerFailed(f"{self._source.url} answers a search with what is no list")
        return rows


def _first(row: Any, tag: str) -> Any:
    """The first value of an attribute in the DICOM JSON model (PS3.18 F.2); None without one."""
    element = row.get(tag) if isinstance(row, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
