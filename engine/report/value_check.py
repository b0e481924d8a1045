"""Whether the numbers of an SR are those that were measured."""

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from engine.finding import Finding, Report
from engine.report import walk
from engine.report.group_check import exact_value, quantity_of
from engine.report.quantities import QUANTITIES
from engine.report.sources import has_voxels_to_show, tracking_uid


def value_problems(groups: Sequence[Dataset], report: Report) -> Iterator[str]:
    """Groups and findings are matched by tracking UID; every value must be there, and equal."""
    findings = {tracking_uid(finding.lesion.segment): finding for finding in report.findings}
    told = set()
    for position, group in enumerate(groups, start=1):
        uids = [str(item.get("UID")) for item in walk.of_type(group, "UIDREF")[:1]]
        finding = findings.get(uids[0]) if uids else None
        if finding is None:
            yield f"group {position}: no finding of the report has its tracking UID"
            continue
        told.add(uids[0])
        yield from _differences(group, finding, f"group {position}")
    for uid, finding in findings.items():
        if uid not in told and has_voxels_to_show(finding.lesion.segment):
            yield f"segment {finding.lesion.segment.number} was measured and has no group"


def _differences(group: Dataset, finding: Finding, where: str) -> Iterator[str]:
    stated = {
        quantity.name: exact_value(num)
        for num in walk.of_type(group, "NUM")
        if (quantity := quantity_of(num)) is not None
    }
    for quantity in QUANTITIES:
        measured = getattr(finding.lesion.measurements, quantity.name)
        if stated.get(quantity.name) != measured:
            yield (
                f"{where}: {quantity.name} is stated as {stated.get(quantity.name)},"
                f" measured as {measured}"
            )
