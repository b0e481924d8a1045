"""What a PET header states of dose, time and decay, and what came of it: a factor or a refusal."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code

_OFFSET = re.compile(r"([+-])(\d{2})([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Frame:
    """The timing of one PET slice (or frame), as stated in its own header."""

    acquired_at: datetime | None  # Acquisition Date + Time
    frame_reference_time_s: float | None  # (0054,1300), from ms
    actual_frame_duration_s: float | None  # (0018,1242), from ms


@dataclass(frozen=True, slots=True)
class PetAcquisition:
    """A PET series' header, as far as SUV depends on it; None where absent or empty.

    Times are naive and local to the scanner unless the header states an offset, in which case all
    are shifted to one offset before they are stored here.
    """

    units: str | None  # (0054,1001)
    suv_type: str | None  # (0054,1006)
    decay_correction: str | None  # (0054,1102)
    corrected_image: tuple[str, ...]  # (0028,0051)
    rescale_intercepts: tuple[float, ...]  # the distinct ones
    series_at: datetime | None
    frames: tuple[Frame, ...]  # one a slice, in the order of the volume's k
    patient_weight_kg: float | None
    patient_size_m: float | None
    patient_sex: str | None
    radionuclide_total_dose_bq: float | None
    radionuclide_half_life_s: float | None
    injected_at: datetime | None  # (0018,1078), or the date of acquisition with (0018,1072)
    injected_at_is_time_only: bool
    has_radiopharmaceutical: bool  # item in (0054,0016)
    tracer: Code | None  # RadiopharmaceuticalCodeSequence
    tracer_name: str | None  # (0018,0031)
    ge_scan_at: datetime | None  # (0009,xx0D) GEMS_PETD_01
    ge_injected_at: datetime | None  # (0009,xx3B)
    philips_suv_factor: float | None  # (7053,xx00)
    philips_activity_factor: float | None  # (7053,xx09)
    flags: tuple[str, ...] = ()
    radiopharmaceutical_count: int = 1  # items in (0054,0016)
    decay_corrected_at: datetime | None = None  # (0018,9701), Enhanced PET
    is_time_zone_ambiguous: bool = False  # the injection states an offset that the scan does not
    inconsistent: tuple[str, ...] = ()  # keywords whose value differs among the slices


@dataclass(frozen=True, slots=True, eq=False)
class SuvConversion:
    """SUVbw in g/ml = rescaled value x `factors[k]`, and how that factor came about."""

    factors: npt.NDArray[np.float64]  # [k]
    norm: str  # "bw", or what the image itself was normalised to before we converted
    rule: str  # which rule gave the reference time, in words
    reference_at: datetime | None = None
    injected_at: datetime | None = None
    uptake_min: float | None = None
    dose_bq: float | None = None  # in its right unit; None where absent or in doubt
    weight_kg: float | None = None  # likewise
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuvRefusal:
    """Why no SUV is stated: a stable `code`, and a `sentence` that names the attribute."""

    code: str
    sentence: str
    flags: tuple[str, ...] = field(default=())
    dose_bq: float | None = None  # as in SuvConversion
    weight_kg: float | None = None


def parse_offset(text: str | None) -> timedelta | None:
    """&ZZXX, as in Timezone Offset From UTC (0008,0201); None unless between -12 and +14 h."""
    found = _OFFSET.fullmatch(text or "")
    if not found:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None
