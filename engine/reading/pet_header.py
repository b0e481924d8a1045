"""What a PET series' headers state of units, dose, time and decay, as one PetAcquisition."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydicom.sr.coding import Code

from engine.acquisition import Frame, PetAcquisition, parse_offset
from engine.reading.attributes import Attributes, as_number, as_text, without_creator
from engine.reading.times import Moment, joined, parse_date_time, parse_time

# Enhanced PET states its unit as a UCUM code (PS3.16 CID 84), classic PET by a term of Units.
_UNITS_BY_UCUM = {
    "Bq/ml": "BQML",
    "g/ml": "GML",
    "g/ml{SUVbw}": "GML",
    "{SUVbw}g/ml": "GML",
    "cm2/ml": "CM2ML",
    "{counts}": "CNTS",
}
_GE = (0x0009, "GEMS_PETD_01")
_PHILIPS = (0x7053, "Philips PET Private Group")
_SAME_CLOCK = timedelta(seconds=60)


def pet_acquisition(slices: Sequence[Attributes], flags: tuple[str, ...] = ()) -> PetAcquisition:
    """One series' headers, one a slice in the order of k; `flags` are those known already."""
    first = slices[0]
    items = first.items("RadiopharmaceuticalInformationSequence")
    dose = Attributes(tuple(items[:1]))
    zone, is_ambiguous = _time_zone(slices, dose)
    acquired = [_acquired(each) for each in slices]
    frames = tuple(_frame(each, at, zone) for each, at in zip(slices, acquired, strict=True))
    series = joined(first.text("SeriesDate"), first.text("SeriesTime"))
    injected, is_time_only = _injected(dose, first, frames, series, zone)
    suv_factor, activity_factor, philips_flags = _philips(first)
    return PetAcquisition(
        units=_units(first),
        suv_type=first.text("SUVType"),
        decay_correction=_decay_correction(first),
        corrected_image=_corrections(first),
        rescale_intercepts=tuple(sorted({rescale(each)[1] for each in slices})),
        series_at=_at(series, zone),
        frames=frames,
        patient_weight_kg=first.number("PatientWeight"),
        patient_size_m=first.number("PatientSize"),
        patient_sex=first.text("PatientSex"),
        radionuclide_total_dose_bq=dose.number("RadionuclideTotalDose"),
        radionuclide_half_life_s=dose.number("RadionuclideHalfLife"),
        injected_at=injected,
        injected_at_is_time_only=is_time_only,
        has_radiopharmaceutical=bool(items),
        tracer=_tracer(dose),
        tracer_name=dose.text("Radiopharmaceutical"),
        ge_scan_at=_at(_private_moment(first, 0x0D), zone),
        ge_injected_at=_at(_private_moment(first, 0x3B), zone),
        philips_suv_factor=suv_factor,
        philips_activity_factor=activity_factor,
        flags=(*flags, *philips_flags, *_lossy(slices), *_cut(slices)),
        radiopharmaceutical_count=len(items),
        decay_corrected_at=_at(parse_date_time(first.text("DecayCorrectionDateTime")), zone),
        is_time_zone_ambiguous=is_ambiguous,
        inconsistent=_inconsistent(slices),
    )


def rescale(plane: Attributes) -> tuple[float | None, float]:
    """Slope and intercept from stored values to the unit that `units` states.

    Enhanced PET: the Real World Value Mapping has the unit (PS3.3 A.56.4), so its slope is meant.
    """
    mapping = None if plane.text("Units") else _mapping(plane)
    if mapping is not None:
        return (
            mapping.number("RealWorldValueSlope"),
            mapping.number("RealWorldValueIntercept") or 0.0,
        )
    return plane.number("RescaleSlope"), plane.number("RescaleIntercept") or 0.0


def _units(plane: Attributes) -> str | None:
    stated = plane.text("Units")
    mapping = None if stated else _mapping(plane)
    return _UNITS_BY_UCUM.get(_ucum(mapping)) if mapping is not None else stated


def _mapping(plane: Attributes) -> Attributes | None:
    """The linear mapping whose unit we know; Bq/ml before any that is normalised already."""
    mappings = [Attributes((item,)) for item in plane.items("RealWorldValueMappingSequence")]
    linear = [each for each in mappings if each.number("RealWorldValueSlope") is not None]
    known = [each for each in linear if _ucum(each) in _UNITS_BY_UCUM]
    return min(known, key=lambda each: list(_UNITS_BY_UCUM).index(_ucum(each)), default=None)


def _ucum(mapping: Attributes) -> str:
    codes = mapping.items("MeasurementUnitsCodeSequence")
    return (Attributes(tuple(codes[:1])).text("CodeValue") or "") if codes else ""


def _corrections(plane: Attributes) -> tuple[str, ...]:
    """Corrected Image, or what Enhanced PET states of it one by one (PS3.3 C.8.22)."""
    stated = plane.texts("CorrectedImage")
    enhanced = (("AttenuationCorrected", "ATTN"), ("DecayCorrected", "DECY"))
    more = [term for keyword, term in enhanced if plane.text(keyword) == "YES"]
    return (*stated, *(term for term in more if term not in stated))


def _decay_correction(plane: Attributes) -> str | None:
    """Decay Correction; an Enhanced PET says NO, or YES and to which time."""
    stated = plane.text("DecayCorrection")
    return "NONE" if stated is None and plane.text("DecayCorrected") == "NO" else stated


def _acquired(plane: Attributes) -> Moment | None:
    return (
        parse_date_time(plane.text("FrameAcquisitionDateTime"))
        or joined(plane.text("AcquisitionDate"), plane.text("AcquisitionTime"))
        or parse_date_time(plane.text("AcquisitionDateTime"))
    )


def _clock(plane: Attributes) -> timedelta | None:
    return parse_offset(plane.text("TimezoneOffsetFromUTC"))


def _time_zone(slices: Sequence[Attributes], dose: Attributes) -> tuple[timedelta | None, bool]:
    """The offset of the scanner's clock, and whether the injection's cannot be joined to it.

    Where only the injection states an offset, its Start Time, always local, may confirm that it
    is the scanner's own.
    """
    stated = _clock(slices[0])
    acquired = _acquired(slices[0])
    if stated is not None or (acquired is not None and acquired.offset is not None):
        return stated if acquired is None or stated is not None else acquired.offset, False
    injected = parse_date_time(dose.text("RadiopharmaceuticalStartDateTime"))
    if injected is None or injected.offset is None:
        return None, False
    local = parse_time(dose.text("RadiopharmaceuticalStartTime"))
    if local is not None and local.replace(microsecond=0) == injected.local.time().replace(
        microsecond=0
    ):
        return injected.offset, False
    return None, True


def _at(moment: Moment | None, zone: timedelta | None) -> datetime | None:
    return None if moment is None else moment.seen_by(zone)


def _frame(plane: Attributes, acquired: Moment | None, zone: timedelta | None) -> Frame:
    """A slice's timing on the clock of the series: its own offset goes before that of its clock."""
    at = None
    if acquired is not None:
        offset = _clock(plane) if acquired.offset is None else acquired.offset
        at = replace(acquired, offset=offset).seen_by(zone)
    return Frame(
        acquired_at=at,
        frame_reference_time_s=_seconds(plane.number("FrameReferenceTime")),
        actual_frame_duration_s=_seconds(
            plane.number("ActualFrameDuration") or plane.number("FrameAcquisitionDuration")
        ),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000.0


def _injected(
    dose: Attributes,
    first: Attributes,
    frames: tuple[Frame, ...],
    series: Moment | None,
    zone: timedelta | None,
) -> tuple[datetime | None, bool]:
    """The injection, and whether its date is only that of the scan."""
    stated = parse_date_time(dose.text("RadiopharmaceuticalStartDateTime"))
    if stated is not None:
        return stated.seen_by(zone), False
    hour = parse_time(dose.text("RadiopharmaceuticalStartTime"))
    known = [frame.acquired_at for frame in frames if frame.acquired_at is not None]
    day = min(known).date() if known else (series.local.date() if series else None)
    if hour is None or day is None:
        return None, False
    return datetime.combine(day, hour), True


def _private_moment(plane: Attributes, element: int) -> Moment | None:
    value = plane.private(*_GE, element)
    return None if value is None else parse_date_time(as_text(value))


def _philips(plane: Attributes) -> tuple[float | None, float | None, tuple[str, ...]]:
    """SUV and activity factors; a sender may have lost the Private Creator that owns them."""
    factors = [as_number(plane.private(*_PHILIPS, element)) for element in (0x00, 0x09)]
    if factors != [None, None]:
        return factors[0], factors[1], ()
    bare = [
        as_number(without_creator(plane.places, _PHILIPS[0], element))
        for element in (0x1000, 0x1009)
    ]
    flags = ("private-creator-missing",) if bare != [None, None] else ()
    return bare[0], bare[1], flags


def _tracer(dose: Attributes) -> Code | None:
    items = dose.items("RadiopharmaceuticalCodeSequence")
    code = Attributes(tuple(items[:1]))
    value, scheme = code.text("CodeValue"), code.text("CodingSchemeDesignator")
    if value is None or scheme is None:
        return None
    return Code(value, scheme, code.text("CodeMeaning") or value)


def _lossy(slices: Sequence[Attributes]) -> tuple[str, ...]:
    lossy = any(each.text("LossyImageCompression") == "01" for each in slices)
    return ("lossy-compressed",) if lossy else ()


def _cut(slices: Sequence[Attributes]) -> tuple[str, ...]:
    """A series that lost planes at its ends has no gap to show for it."""
    stated = slices[0].number("NumberOfSlices")
    return ("fewer-slices-than-stated",) if stated is not None and stated > len(slices) else ()


def _inconsistent(slices: Sequence[Attributes]) -> tuple[str, ...]:
    """Attributes of the series or the patient that two slices state differently."""
    first = {keyword: look(slices[0]) for keyword, look in _SERIES_WIDE.items()}
    differing = {
        keyword
        for each in slices[1:]
        for keyword, look in _SERIES_WIDE.items()
        if look(each) != first[keyword]
    }
    return tuple(sorted(differing))


def _in_dose(keyword: str) -> Callable[[Attributes], Any]:
    def look(plane: Attributes) -> Any:
        items = plane.items("RadiopharmaceuticalInformationSequence")
        return Attributes(tuple(items[:1])).value(keyword)

    return look


def _plain(keyword: str) -> Callable[[Attributes], Any]:
    return lambda plane: plane.value(keyword)


_SERIES_WIDE: dict[str, Callable[[Attributes], Any]] = {
    "Units": _units,
    "DecayCorrection": _decay_correction,
    "CorrectedImage": lambda plane: frozenset(_corrections(plane)),
    "PhilipsFactors": _philips,
    **{
        keyword: _plain(keyword)
        for keyword in (
            "SUVType",
            "DecayCorrectionDateTime",
            "PatientWeight",
            "PatientSize",
            "PatientSex",
            "SeriesDate",
            "SeriesTime",
        )
    },
    **{
        keyword: _in_dose(keyword)
        for keyword in (
            "RadionuclideTotalDose",
            "RadionuclideHalfLife",
            "RadiopharmaceuticalStartTime",
            "RadiopharmaceuticalStartDateTime",
        )
    },
}
