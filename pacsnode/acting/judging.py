"""Which report a person judges, which of its findings, and what would be written of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from engine.errors import EngineError
from engine.reading.part10 import FOREIGN
from engine.report.attesting import name_of
from engine.report.change_check import tracking_uid
from engine.report.check import groups_of
from pacsnode.assembly.kinds import MASK_CLASSES
from pacsnode.assembly.ours import is_ours
from pacsnode.errors import CannotAct
from pacsnode.jobs.judging import document_of
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.records import Instance


def report_of(archive: Archive, sr: str) -> Instance:
    """The report of ours with this SOP Instance UID. Raises CannotAct."""
    found = archive.instance(sr)
    if found is None:
        raise CannotAct(f"The archive holds no report {sr}.")
    if found.sop_class_uid != Comprehensive3DSRStorage or not is_ours(found):
        raise CannotAct(f"{sr} is no lesion report of pacsnode: only those can be judged.")
    return found


def mask_of(archive: Archive, report: Instance) -> tuple[str, str]:
    """Study and SOP Instance UID of the mask that a report is on. Raises CannotAct."""
    for reference in report.references:
        if reference.sop_class_uid not in MASK_CLASSES:
            continue
        mask = archive.instance(reference.sop_instance_uid)
        if mask is None:
            continue
        lines = archive.decisions(mask.study_instance_uid, mask.sop_instance_uid)
        if any(line.facts.get("sr") == report.sop_instance_uid for line in lines):
            return mask.study_instance_uid, mask.sop_instance_uid
    raise CannotAct(
        f"The journal knows nothing of the report {report.sop_instance_uid}: requeue its study."
    )


def read_report(report: Instance) -> Dataset:
    """The document itself. Raises CannotAct."""
    try:
        return dcmread(report.path)
    except FOREIGN as exc:
        raise CannotAct(
            f"The report {report.sop_instance_uid} cannot be read ({type(exc).__name__}): restore"
            " its file from a backup."
        ) from exc


def chosen(sr: Dataset, findings: Sequence[str]) -> list[str]:
    """The tracking UIDs of findings named by that, by Tracking Identifier or by segment number.

    Raises CannotAct where one is not there, or named as several are, or none would be left.
    """
    groups = groups_of(sr)
    uids = []
    for named in dict.fromkeys(findings):
        found = [group for group in groups if named.strip() in _names(group)]
        if len(found) != 1:
            known = ", ".join(f"{name_of(group)}, {tracking_uid(group)}" for group in groups)
            what = "several findings" if found else "no finding"
            raise CannotAct(f"{named!r} names {what} of the report. It has: {known}.")
        uids.append(str(tracking_uid(found[0])))
    if not uids:
        raise CannotAct("No finding is named: name some, or reject the report as a whole.")
    if len(set(uids)) == len(groups):
        raise CannotAct("No finding would be left: reject the report as a whole.")
    return sorted(set(uids))


def try_out(sr: Dataset, facts: dict[str, Any], settings: Settings) -> None:
    """Write the document once for nothing, so that what cannot be written is refused at once."""
    try:
        organization = settings.report.verifying_organization
        document_of(sr, facts | {"asked_at": datetime.now(UTC).isoformat()}, organization)
    except EngineError as exc:
        raise CannotAct(f"The new document would break a rule: {exc}.") from exc


def _names(group: Dataset) -> set[str]:
    """What a finding may be called: "1.2.3", "Lesion 3", "3"."""
    called, _, segment = name_of(group).rpartition(" (segment ")
    return {str(tracking_uid(group)), called, segment.rstrip(")")}
