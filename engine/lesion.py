"""A segment as drawn, what was measured in it, and both together."""

from dataclasses import dataclass
from typing import Literal

from pydicom.sr.coding import Code

from engine.volume import ImageReference, Mask

Role = Literal["lesion", "context"]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One segment of a SEG, or one ROI of an RTSTRUCT, with its mask on the PET grid.

    A segment that is finer than the PET and vanishes on its grid has an empty `mask` and the flag
    `below-pet-resolution`; `drawn_volume_cm3` and `drawn_centroid_lps_mm` still tell where it was.
    """

    number: int  # SegmentNumber (0062,0004) or ROINumber (3006,0022)
    label: str
    role: Role
    mask: Mask
    source_class_uid: str
    source_instance_uid: str
    tracking_id: str | None = None
    tracking_uid: str | None = None
    property_category: Code | None = None
    property_type: Code | None = None
    anatomic_region: Code | None = None
    laterality: Code | None = None
    drawn_volume_cm3: float | None = None  # on the grid it was drawn on
    drawn_centroid_lps_mm: tuple[float, float, float] | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the mask says of the image. SUV in g/ml (body weight); None where refused.

    Definitions: docs/reference/measurements.md. Indices are [k, j, i]; contour points are
    (column, row) in the PET slice with pixel centres at +0.5, the first point repeated at the end
    (PS3.3 C.18.6.1.1, image-relative coordinates).
    """

    volume_cm3: float
    suv_max: float | None = None
    suv_peak: float | None = None
    suv_mean: float | None = None
    suv_median: float | None = None
    suv_sd: float | None = None
    suv_refusal: str | None = None  # a code: SuvRefusal's, or below-pet-resolution
    total_lesion_glycolysis_g: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    centroid_lps_mm: tuple[float, float, float] | None = None
    hottest_voxel_kji: tuple[int, int, int] | None = None
    hottest_slice: ImageReference | None = None  # with SUV refused: the hottest stored value's
    hottest_slice_contour: tuple[tuple[float, float], ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A segment that was measured. `segment.role` says whether it is reported as a lesion."""

    segment: Segment
    measurements: Measurements
