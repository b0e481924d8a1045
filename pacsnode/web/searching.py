"""QIDO-RS (PS3.18 10.6): studies, series and instances, out of the catalog alone."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword
from starlette.requests import Request
from starlette.responses import Response

from pacsnode.web.answers import encoded, root_url, uid_of
from pacsnode.web.query import EVERYTHING, Query, read_query
from pacsnode.web.retrieving import json_kind
from storage.archive import Archive
from storage.catalog.searching import Found, Level

# PS3.18 tables 10.6.3-3, -4, -5: what every result has, with a value or without
STUDY: Final = (
    "StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName",
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
    "StudyDescription", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
)  # fmt: skip
SERIES: Final = (
    "StudyInstanceUID", "Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber",
    "NumberOfSeriesRelatedInstances", "SeriesDate", "SeriesTime",
    "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
)  # fmt: skip
INSTANCE: Final = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "InstanceNumber",
    "AvailableTransferSyntaxUID",
)  # fmt: skip
ONLY_IMAGES_HAVE: Final = ("Rows", "Columns", "BitsAllocated", "NumberOfFrames")
REQUEST: Final = ("RequestedProcedureID", "ScheduledProcedureStepID")
MULTIPLE: Final = "\\"

NOT_FUZZY: Final = (
    '299 pacsnode "The fuzzymatching parameter is not supported. '
    'Only literal matching has been performed."'
)
MORE: Final = (
    '299 pacsnode "The number of results exceeded the maximum supported by the server. '
    'Additional results can be requested."'
)
KEYWORDS: Final = {
    "study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID",
}  # fmt: skip


class Searching:
    """The Search transaction on all its resources."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def studies(self, request: Request) -> Response:
        """`/studies`"""
        return self._answer("study", request)

    def series(self, request: Request) -> Response:
        """`/series`, `/studies/{study}/series`"""
        return self._answer("series", request)

    def instances(self, request: Request) -> Response:
        """`/instances`, and those of a study, or of a series in it."""
        return self._answer("instance", request)

    def _answer(self, level: Level, request: Request) -> Response:
        kind = json_kind(request)
        scope = {
            KEYWORDS[name]: uid
            for name in request.path_params
            if (uid := uid_of(request, name)) is not None
        }
        query = read_query(level, request.query_params.multi_items(), scope)
        found = self._archive.search(query.search)
        shown = found[: query.search.limit - 1]
        wanted = _wanted(level, query, scope)
        root = root_url(request)
        body = [_result(root, level, one, wanted) for one in shown]
        answer = Response(encoded(body), media_type=kind)
        if query.is_fuzzy:
            answer.headers.append("Warning", NOT_FUZZY)
        if query.is_capped and len(found) > len(shown):
            answer.headers.append("Warning", MORE)
        return answer


def _wanted(level: Level, query: Query, scope: Mapping[str, str]) -> frozenset[str]:
    """Keywords of a result: of its level, of the levels that the path leaves open (10.6.3.3), and
    those asked for."""
    wanted = set({"study": STUDY, "series": SERIES, "instance": INSTANCE}[level])
    if level == "instance" and "SeriesInstanceUID" not in scope:
        wanted |= {*SERIES}
    if level != "study" and "StudyInstanceUID" not in scope:
        wanted |= {*STUDY}
    return frozenset(wanted | query.included)


def _result(root: str, level: Level, found: Found, wanted: frozenset[str]) -> dict[str, Any]:
    everything = EVERYTHING in wanted
    told = {
        tag_of(keyword): element(keyword, value)
        for keyword, value in found.items()
        if everything or keyword in wanted or (keyword in ONLY_IMAGES_HAVE and value is not None)
        if keyword not in REQUEST
    }
    if any(found.get(keyword) for keyword in REQUEST):
        item = {tag_of(keyword): element(keyword, found.get(keyword)) for keyword in REQUEST}
        told[tag_of("RequestAttributesSequence")] = {"vr": "SQ", "Value": [item]}
    told[tag_of("InstanceAvailability")] = {"vr": "CS", "Value": ["ONLINE"]}
    told[tag_of("RetrieveURL")] = {"vr": "UR", "Value": [_url(root, level, found)]}
    return dict(sorted(told.items()))


def _url(root: str, level: Level, found: Found) -> str:
    url = f"{root}/studies/{found['StudyInstanceUID']}"
    if level != "study":
        url += f"/series/{found['SeriesInstanceUID']}"
    return url if level != "instance" else f"{url}/instances/{found['SOPInstanceUID']}"


@cache
def tag_of(keyword: str) -> str:
    """The tag as DICOM JSON names it."""
    return f"{tag_for_keyword(keyword) or 0:08X}"


@cache
def _vr_of(keyword: str) -> str:
    vr = dictionary_VR(keyword)
    return "US" if vr == "US or SS" else vr


def element(keyword: str, value: Any) -> dict[str, Any]:
    """An attribute that the catalog remembers, in DICOM JSON (PS3.18 F.2)."""
    vr = _vr_of(keyword)
    if value is None:
        return {"vr": vr}
    if vr == "SQ":
        return {"vr": vr, "Value": [_item(item) for item in value]}
    if isinstance(value, str):
        values: Iterable[Any] = value.split(MULTIPLE) if vr not in ("LT", "ST", "UT") else [value]
    else:
        values = value if isinstance(value, list | tuple) else [value]
    if vr == "PN":
        return {"vr": vr, "Value": [_name(str(one)) for one in values]}
    return {"vr": vr, "Value": list(values)}


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {tag_of(keyword): element(keyword, value) for keyword, value in item.items()}


def _name(name: str) -> dict[str, str]:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    return {kind: group for kind, group in groups if group}
