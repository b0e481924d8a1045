"""What was measured in one lesion, as words print it."""

from dataclasses import dataclass

import numpy as np

from engine.finding import printed, printed_cm
from engine.lesion import Lesion
from engine.volume import Scan


@dataclass(frozen=True, slots=True)
class Measured:
    """Printed numbers without units; None where a value was refused or is not known."""

    suv: dict[str, str | None]  # by statistic: max, mean, peak, median
    long_cm: str | None
    short_cm: str | None
    craniocaudal_cm: str | None
    slice: str | None  # InstanceNumber (0020,0013) of the PET slice that holds SUVmax
    slices: str | None  # of the first and the last PET slice of the mask
    volume_cm3: str
    glycolysis_g: str | None


def measured_of(lesion: Lesion, scan: Scan) -> Measured:
    """The numbers that words about this lesion may hold."""
    values = lesion.measurements
    hottest = values.hottest_slice.instance_number if values.hottest_slice else None
    return Measured(
        suv={
            "max": _printed(values.suv_max),
            "mean": _printed(values.suv_mean),
            "peak": _printed(values.suv_peak),
            "median": _printed(values.suv_median),
        },
        long_cm=_printed_cm(values.long_axis_mm),
        short_cm=_printed_cm(values.short_axis_mm),
        craniocaudal_cm=_printed_cm(craniocaudal_mm(lesion)),
        slice=None if hottest is None else str(hottest),
        slices=_slices(lesion, scan),
        volume_cm3=printed(values.volume_cm3, _volume_decimals(values.volume_cm3)),
        glycolysis_g=_printed(values.total_lesion_glycolysis_g),
    )


def craniocaudal_mm(lesion: Lesion) -> float | None:
    """The extent of the mask's voxels along the patient's z axis, or None for an empty mask."""
    mask = lesion.segment.mask
    marked = np.argwhere(mask.voxels)
    if not len(marked):
        return None
    steps_mm = mask.grid.affine[2, :3]
    heights_mm = marked @ steps_mm
    return float(np.ptp(heights_mm) + np.abs(steps_mm).sum())


def _slices(lesion: Lesion, scan: Scan) -> str | None:
    marked = np.flatnonzero(lesion.segment.mask.voxels.any(axis=(1, 2)))
    if not len(marked) or marked[-1] >= len(scan.pet.slices):
        return None
    ends = [scan.pet.slices[int(k)].instance_number for k in (marked[0], marked[-1])]
    if None in ends:
        return None
    first, last = sorted(number for number in ends if number is not None)
    return str(first) if first == last else f"{first}-{last}"


def _printed(value: float | None) -> str | None:
    return None if value is None else printed(value, 1)


def _printed_cm(value_mm: float | None) -> str | None:
    return None if value_mm is None else printed_cm(value_mm)


def _volume_decimals(volume_cm3: float) -> int:
    return 1 if volume_cm3 >= 1 else 2 if volume_cm3 >= 0.1 else 3
