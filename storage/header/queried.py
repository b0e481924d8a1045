"""What a query may ask of studies and series (PS3.18 10.6): here patients are told by name.

It goes into the catalog's own columns for queries, and nowhere else: not into `Instance`, so not
into jobs, logs, figures or paths.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from storage.header.attributes import Chosen, by_tag
from storage.header.elements import Elements
from storage.header.values import select

STUDY: Final[Chosen] = dict.fromkeys((
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID",
    "StudyDescription", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
))  # fmt: skip
REQUEST: Final = ("ScheduledProcedureStepID", "RequestedProcedureID")
SERIES: Final[Chosen] = {
    **dict.fromkeys((
        "Modality", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime",
        "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
    )),
    "RequestAttributesSequence": dict.fromkeys(REQUEST),
}  # fmt: skip
STUDY_TAGS: Final = by_tag(STUDY)
SERIES_TAGS: Final = by_tag(SERIES)


class Queried(NamedTuple):
    """What one object states of its study and of its series, by DICOM keyword; text or number."""

    study: Mapping[str, str | int]
    series: Mapping[str, str | int]


def find_queried(encoded: bytes, elements: Elements) -> Queried:
    """Absent, empty and undecodable attributes are left out; of requests, the first is told."""
    series = dict(select(encoded, elements, SERIES_TAGS))
    requests = series.pop("RequestAttributesSequence", ())
    series |= requests[0] if requests else {}
    return Queried(_plain(select(encoded, elements, STUDY_TAGS)), _plain(series))


def _plain(attributes: Mapping[str, Any]) -> Mapping[str, str | int]:
    return MappingProxyType(
        {
            keyword: value if isinstance(value, str | int) else "\\".join(map(str, value))
            for keyword, value in attributes.items()
            if isinstance(value, str | int | tuple)
        }
    )
