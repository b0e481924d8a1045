"""When the dose was given, and to which time the image's activity is decay-corrected."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp, expm1, log
from statistics import median

from engine.acquisition import Frame, PetAcquisition
from engine.measuring.refusal import Refused

MAX_HALF_LIVES = 6.0  # after that 1.6 % of the dose is left, and a wrong date is likelier

_AGREE = timedelta(seconds=60)
_DAY = timedelta(days=1)
# With the time alone the day of injection is a guess, unless a day would be too long (F-18, Ga-68)
# or would not matter (a Ge-68 phantom).
_DAY_IS_TOO_LONG_S = 86400 / MAX_HALF_LIVES
_DAY_DOES_NOT_MATTER_S = 100 * 86400.0


@dataclass(frozen=True, slots=True)
class Reference:
    """The time that an image is decay-corrected to, and the rule that gave it."""

    at: datetime
    rule: str


def reference_time(a: PetAcquisition, half_life_s: float, flags: list[str]) -> Reference:
    """The decay reference of a START image, by the first rule that applies.

    Decay Correction DateTime where stated (Enhanced PET); the GE scan time; the series' time
    unless it is later than the scan (post-processing writes a new one); what the first two of
    Acquisition Time, Frame Reference Time and Actual Frame Duration imply; the acquisition's start.
    """
    began = scan_start(a)
    back = _back_computed(a, half_life_s)
    reference = _stated_reference(a, began, flags)
    if reference is None and back is not None:
        reference = Reference(back, "back-computed from Frame Reference Time")
        flags.append("reference-time-back-computed")
    if reference is None and began is not None:
        reference = Reference(began, "earliest Acquisition Date and Time")
        flags.append("reference-time-from-acquisition")
    if reference is None:
        raise Refused(
            "missing-ref-time",
            "No Series Date and Time, Acquisition Date and Time or vendor's scan time is stated",
        )
    if back is not None and abs(reference.at - back) > _AGREE:
        flags.append("reference-time-disagrees")
    return reference


def scan_start(a: PetAcquisition) -> datetime | None:
    """The earliest Acquisition Date and Time of the whole series."""
    return min((f.acquired_at for f in a.frames if f.acquired_at is not None), default=None)


def injection_time(
    a: PetAcquisition, before: datetime, half_life_s: float, flags: list[str]
) -> datetime:
    """When the dose was given; `before` is the time that a time without a date must precede."""
    if a.is_time_zone_ambiguous:
        raise Refused(
            "time-zone-unknown",
            "Radiopharmaceutical Start DateTime states an offset from UTC and the scan's times"
            " none: Timezone Offset From UTC (0008,0201) is absent",
        )
    if a.injected_at is not None and not a.injected_at_is_time_only:
        return a.injected_at
    is_of_this_scan = a.ge_scan_at is None or _is_of_this_scan(a, scan_start(a))
    if a.ge_injected_at is not None and is_of_this_scan:
        return a.ge_injected_at
    if a.injected_at is None:
        raise Refused(
            "missing-injection-time",
            "Radiopharmaceutical Start DateTime (0018,1078) and Time (0018,1072) are absent",
        )
    if _DAY_IS_TOO_LONG_S < half_life_s < _DAY_DOES_NOT_MATTER_S:
        raise Refused(
            "missing-injection-date",
            "Only the time of injection is stated, and the radionuclide lives long enough for it"
            " to be of another day",
        )
    if a.injected_at > before:
        flags.append("injection-on-the-day-before")
        return a.injected_at - _DAY
    return a.injected_at


def elapsed_s(injected: datetime, at: datetime, half_life_s: float) -> float:
    """Seconds from injection to `at`, or Refused where that cannot be."""
    elapsed = (at - injected).total_seconds()
    if elapsed < 0:
        raise Refused(
            "injection-after-scan",
            f"The dose was given {-elapsed / 60:.1f} min after the time the image refers to",
        )
    if elapsed > MAX_HALF_LIVES * half_life_s:
        raise Refused(
            "uptake-over-6-half-lives",
            f"The dose was given {elapsed / 60:.1f} min before the scan, which is"
            f" {elapsed / half_life_s:.1f} half-lives",
        )
    return elapsed


def mean_decay_s(duration_s: float, half_life_s: float) -> float:
    """When within a frame the activity equals its average over the frame, from its start."""
    x = log(2) / half_life_s * duration_s
    return log(x / -expm1(-x)) * half_life_s / log(2)


def undecayed(frame: Frame, injected: datetime, half_life_s: float) -> float:
    """What brings a frame without decay correction back to the time of injection."""
    if frame.acquired_at is None:
        raise Refused("missing-ref-time", "A slice states no Acquisition Date and Time")
    if not frame.actual_frame_duration_s or frame.actual_frame_duration_s <= 0:
        raise Refused("missing-frame-duration", "A slice states no Actual Frame Duration")
    rate = log(2) / half_life_s
    x = rate * frame.actual_frame_duration_s
    return x / -expm1(-x) * exp(rate * elapsed_s(injected, frame.acquired_at, half_life_s))


def _stated_reference(
    a: PetAcquisition, began: datetime | None, flags: list[str]
) -> Reference | None:
    if a.decay_corrected_at is not None and a.decay_correction is None:
        return Reference(a.decay_corrected_at, "Decay Correction DateTime")
    if a.ge_scan_at is not None:
        if _is_of_this_scan(a, began):
            return Reference(a.ge_scan_at, "GE scan date and time")
        flags.append("vendor-scan-time-ignored")
    if a.series_at is not None and (began is None or a.series_at <= began):
        return Reference(a.series_at, "Series Date and Time")
    return None


def _is_of_this_scan(a: PetAcquisition, began: datetime | None) -> bool:
    """Whether GE's times are on the series' time base: a shift of dates may leave them behind."""
    return a.ge_scan_at is not None and (began is None or -_AGREE <= began - a.ge_scan_at < _DAY)


def _back_computed(a: PetAcquisition, half_life_s: float) -> datetime | None:
    """Acquisition Time + T_ave - Frame Reference Time, where all slices agree on it."""
    began = scan_start(a)
    offsets = [
        (f.acquired_at - began).total_seconds()
        + mean_decay_s(f.actual_frame_duration_s, half_life_s)
        - f.frame_reference_time_s
        for f in a.frames
        if began is not None
        and f.acquired_at is not None
        and (f.frame_reference_time_s or 0) > 0
        and (f.actual_frame_duration_s or 0) > 0
        and f.frame_reference_time_s is not None
        and f.actual_frame_duration_s is not None
    ]
    if began is None or not offsets or max(offsets) - min(offsets) > _AGREE.total_seconds():
        return None
    return began + timedelta(seconds=median(offsets))
