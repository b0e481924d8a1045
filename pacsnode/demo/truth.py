"""The report's numbers beside the phantom's: read from the SR that came back, and by formula."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.cohort.anatomy import LesionTruth
    from engine.report.read import ReadFinding


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of one lesion. `allowed` is a difference in the value's own unit."""

    lesion: int
    name: str
    measured: float | None
    true: float
    allowed: float

    @property
    def agrees(self) -> bool:
        return self.measured is not None and abs(self.measured - self.true) <= self.allowed


# What remains is the PET's own grain: the highest voxel lies at the centre and differs only by
# rounding; the other values are sums over whole voxels, lengths end within a voxel.
RELATIVE: Mapping[str, tuple[str, float]] = {
    "suv_max": ("suv_max", 0.001),
    "suv_mean": ("suv_mean", 0.005),
    "volume_cm3": ("volume_cm3", 0.01),
    "total_lesion_glycolysis_g": ("total_lesion_glycolysis_g", 0.015),
}
AXES = ("long_axis_mm", "short_axis_mm")
VOXEL_MM = 3.6458


def compare(
    findings: "Sequence[ReadFinding]", lesions: "Sequence[LesionTruth]"
) -> Iterator[Compared]:
    """Every number that has a formula, for every lesion; what is not in the report is None."""
    by_tracking_uid = {finding.tracking_uid: finding for finding in findings}
    for lesion in lesions:
        finding = by_tracking_uid.get(lesion.tracking_uid)
        measured = finding.measured if finding is not None else {}
        for name, (field, share) in RELATIVE.items():
            true = getattr(lesion, field)
            yield Compared(lesion.number, name, measured.get(name), true, share * true)
        for name in AXES:
            true = getattr(lesion, name)
            yield Compared(lesion.number, name, measured.get(name), true, VOXEL_MM)
