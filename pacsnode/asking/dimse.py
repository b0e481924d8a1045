"""A DIMSE source: C-FIND says what it has, C-MOVE or C-GET brings it (PS3.4 annex C)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import product
from typing import Any, Final, cast

from pydicom import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
)
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from pacsnode.addresses import Source
from pacsnode.asking.door import Door
from pacsnode.asking.listed import MOST_LISTED, ListedSeries, listed_series
from pacsnode.delivery.statuses import needs_a_person
from pacsnode.dimse_peer import opened
from pacsnode.errors import PeerFailed, PeerRefused
from pacsnode.intake import acceptance
from storage.header import is_uid
from storage.records import Reference

IMAGES: Final = (
    PositronEmissionTomographyImageStorage, EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage, CTImageStorage, EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)  # fmt: skip
# the Study Root Query/Retrieve Information Model (PS3.4 C.6.2)
FIND, MOVE, GET = (UID(f"1.2.840.10008.5.1.4.1.2.2.{number}") for number in (1, 2, 3))
AT_A_TIME = 64  # UIDs in one identifier
PENDING = (0xFF00, 0xFF01)
MOVE_DESTINATION_UNKNOWN = 0xA801


class DimseAsked:
    """A conversation with a DIMSE source over one association."""

    def __init__(self, source: Source, calling_ae: str, association: Association) -> None:
        self._source = source
        self._calling_ae = calling_ae
        self._association = association

    def series(self, study: str | None, series: str | None = None) -> list[ListedSeries]:
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "Modality": None,
                "FrameOfReferenceUID": None}  # fmt: skip
        try:
            rows = self._find("SERIES", keys)
        except (PeerFailed, PeerRefused):
            if study is not None:
                raise
            return []  # a series without its study is a relational query, which few promise
        found = (
            listed_series(row.get("StudyInstanceUID") or study, row.get("SeriesInstanceUID"),
                          row.get("Modality"), row.get("FrameOfReferenceUID"))
            for row in rows
        )  # fmt: skip
        return [one for one in found if one is not None]

    def instances(self, series: ListedSeries) -> list[str]:
        rows = self._find("IMAGE", _of(series) | {"SOPInstanceUID": None})
        uids = (str(row.get("SOPInstanceUID", "")) for row in rows)
        return list(dict.fromkeys(filter(is_uid, uids)))[:MOST_LISTED]

    def fetch(self, series: ListedSeries, instances: Sequence[str], *, whole: bool) -> None:
        if whole:  # not every source knows lists of UIDs
            self._retrieve("SERIES", _of(series))
            return
        for start in range(0, len(instances), AT_A_TIME):
            some = list(instances[start : start + AT_A_TIME])
            self._retrieve("IMAGE", _of(series) | {"SOPInstanceUID": some})

    def _find(self, level: str, keys: dict[str, Any]) -> list[Dataset]:
        rows = []
        for status, row in self._association.send_c_find(_identifier(level, keys), FIND):
            if self._status(status, "C-FIND") in PENDING:
                rows += [row] if row is not None else []
        return rows

    def _retrieve(self, level: str, keys: dict[str, Any]) -> None:
        identifier = _identifier(level, keys)
        if self._source.retrieve == "get":
            for status, _ in self._association.send_c_get(identifier, GET):
                self._status(status, "C-GET")
        else:
            for status, _ in self._association.send_c_move(identifier, self._calling_ae, MOVE):
                self._status(status, "C-MOVE")

    def _status(self, answer: Dataset, operation: str) -> int:
        """A status that lets the operation go on, or ends it well (PS3.4 C.4.1 to C.4.3)."""
        named = self._source.address
        if "Status" not in answer:
            raise PeerFailed(f"{named} gave no answer to {operation}")
        status = int(answer.Status)
        if status in (0x0000, *PENDING) or status >> 12 == 0xB:
            return status
        said = f"{named} answers 0x{status:04X} to {operation}"
        if status == MOVE_DESTINATION_UNKNOWN:
            raise PeerRefused(
                f"{said}: it does not know our AE title {self._calling_ae}",
                fix=f"Register {self._calling_ae} with this machine's address and port there, or "
                'set retrieve = "get"',
            )
        if meaning := needs_a_person(status):
            raise PeerRefused(f"{said}: {meaning}", fix="Look in the source's log for our query")
        raise PeerFailed(said)


@contextmanager
def dimse_asked(source: Source, calling_ae: str, door: Door) -> Iterator[DimseAsked]:
    """Ask a source until the block ends. Raises PeerFailed or PeerRefused."""
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    wanted = [FIND, GET if source.retrieve == "get" else MOVE]
    contexts = [build_context(one) for one in wanted]
    if source.retrieve == "get":
        # one syntax a context: the source then sends each object as it is kept
        syntaxes = (*acceptance.LOSSLESS, *acceptance.POSSIBLY_LOSSY)
        contexts += [
            build_context(sop_class, syntax)
            for sop_class, syntax in product(IMAGES, syntaxes)
            if syntax in acceptance.syntaxes_for(sop_class, "keep")
        ]

    def stored(event: evt.Event) -> int:
        request = cast(Any, event.request)
        expected = Reference(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        try:
            encoded = cast(BytesIO, request.DataSet).getvalue()
            door.keep(encoded, str(event.context.transfer_syntax), expected)
        except Exception as exc:  # noqa: BLE001 the source is owed a status, whatever went wrong
            return acceptance.status_for(exc)
        return acceptance.SUCCESS

    stored_by = stored if source.retrieve == "get" else None
    with opened(source, calling_ae, contexts, stored=stored_by) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        for one in wanted:
            if one not in accepted:
                raise PeerRefused(
                    f"{source.address} does not offer {one.name} to {calling_ae}",
                    fix="Allow this AE title to query and retrieve at the source",
                )
        yield DimseAsked(source, calling_ae, association)


def _of(series: ListedSeries) -> dict[str, Any]:
    return {
        "StudyInstanceUID": series.study_instance_uid,
        "SeriesInstanceUID": series.series_instance_uid,
    }


def _identifier(level: str, keys: dict[str, Any]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value or "")
    return identifier
