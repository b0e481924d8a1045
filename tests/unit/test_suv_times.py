"""Which clock, which day, which reference time: where SUV software goes wrong most often."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from engine.acquisition import parse_offset
from engine.reading.times import joined, parse_date, parse_date_time, parse_time
from tests.unit.pet_headers import acquisition, converted, refused

F18_S = 6586.2
UNDECAYED = 1000 * 70 / 368_080_000


def after(minutes: float, half_life_s: float = F18_S) -> object:
    """The factor when the reference is that long after the injection."""
    return pytest.approx(UNDECAYED * 2 ** (minutes * 60 / half_life_s), rel=1e-9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0956", 35760),
        ("095621", 35781),
        ("09:56:21", 35781),
        ("095621.5", 35781.5),
        ("095621.000007", 35781.000007),
        ("235960", 86399),
        ("09", None),
        ("2400", None),
        ("0960", None),
        ("9:56", None),
        ("095621.", None),
        ("noon", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: str | None, seconds: float | None) -> None:
    parsed = parse_time(text)
    if seconds is None:
        assert parsed is None
    else:
        assert parsed is not None
        since = timedelta(
            hours=parsed.hour, minutes=parsed.minute, seconds=parsed.second,
            microseconds=parsed.microsecond,
        )  # fmt: skip
        assert since.total_seconds() == pytest.approx(seconds, abs=1e-9)


def test_a_date_time_coarser_than_a_minute_is_no_time() -> None:
    for text in ("2024", "20240102", "2024010210", "20240231100000", "20240102100000+9900"):
        assert parse_date_time(text) is None
    moment = parse_date_time("20240102100000.25-0530")
    assert moment is not None
    assert moment.local == datetime(2024, 1, 2, 10, 0, 0, 250_000)  # noqa: DTZ001
    assert moment.offset == timedelta(hours=-5, minutes=-30)


def test_dates() -> None:
    assert parse_date("20240229") == parse_date("2024.02.29")
    assert parse_date("20230229") is None
    assert joined("20240102", None) is None


@given(text=st.text(max_size=24))
def test_any_text_is_a_time_or_none(text: str) -> None:
    for parse in (parse_date, parse_time, parse_date_time, parse_offset):
        parse(text)


def test_only_the_date_time_of_injection() -> None:
    conversion = converted(dose={"RadiopharmaceuticalStartTime": None})
    assert (conversion.factors, conversion.flags) == (after(60), ())


def test_only_the_time_of_injection() -> None:
    conversion = converted(dose={"RadiopharmaceuticalStartDateTime": None})
    assert (conversion.factors, conversion.flags) == (after(60), ())


def test_injected_before_midnight_scanned_after() -> None:
    conversion = converted(
        dose={"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "233000"},
        SeriesTime="003000", AcquisitionTime="003000",
    )  # fmt: skip
    assert (conversion.factors, conversion.uptake_min) == (after(60), 60)
    assert conversion.flags == ("injection-on-the-day-before",)


def test_a_scan_over_midnight() -> None:
    """The first bed before midnight gives the day of injection, not the last one after it."""
    beds = iter((("20240102", "235900"), ("20240103", "000100")))

    def bed(dataset: Dataset) -> None:
        dataset.AcquisitionDate, dataset.AcquisitionTime = next(beds)

    conversion = converted(
        bed,
        dose={"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "225900"},
        SeriesTime="235900",
    )
    assert (conversion.factors, conversion.flags) == (after(60), ())


def test_zirconium_injected_four_days_before() -> None:
    conversion = converted(
        dose={
            "RadionuclideHalfLife": "282276",
            "RadiopharmaceuticalStartDateTime": "20231229100000",
            "RadiopharmaceuticalStartTime": "100000",
        }
    )
    assert conversion.factors == after(4 * 24 * 60, 282276)
    assert conversion.uptake_min == 4 * 24 * 60


def test_a_germanium_phantom_does_not_need_the_day() -> None:
    conversion = converted(
        dose={"RadionuclideHalfLife": "23410100", "RadiopharmaceuticalStartDateTime": None}
    )
    assert conversion.factors == after(60, 23410100)


@pytest.mark.parametrize("bed_starts", [("101000", "102000"), ("102000", "101000")])
def test_one_reference_for_all_beds(bed_starts: tuple[str, str]) -> None:
    """A slice's own Acquisition Time must not move its factor."""
    starts = iter(bed_starts)

    def bed(dataset: Dataset) -> None:
        dataset.AcquisitionTime = next(starts)

    conversion = converted(bed)
    assert conversion.factors == after(60)
    assert conversion.uptake_min == 70  # to the start of the first bed


def test_a_series_written_after_the_scan_is_back_computed() -> None:
    """IBSI's object: frames of 603 s at 150 s and 300 s after the reference, T_ave 299.9 s."""
    beds = iter((("110230", "450000"), ("110500", "600000")))

    def bed(dataset: Dataset) -> None:
        dataset.AcquisitionTime, dataset.FrameReferenceTime = next(beds)

    conversion = converted(
        bed, SeriesTime="113000", ActualFrameDuration="603000",
        dose={"RadiopharmaceuticalStartDateTime": "20240102100000",
              "RadiopharmaceuticalStartTime": None},
    )  # fmt: skip
    assert conversion.factors == pytest.approx(UNDECAYED * 2 ** (3600 / F18_S), rel=2e-5)
    assert conversion.flags == ("reference-time-back-computed",)


def test_without_a_frame_reference_the_acquisition_is_the_last_resort() -> None:
    conversion = converted(SeriesTime="103000", AcquisitionTime="100500")
    assert conversion.factors == after(65)
    assert conversion.flags == ("reference-time-from-acquisition",)


def test_beds_that_all_state_the_start_of_the_series_are_not_back_computed() -> None:
    """A Philips habit: Frame Reference Time grows, Acquisition Time does not."""
    references = iter(("60000", "1320000"))

    def bed(dataset: Dataset) -> None:
        dataset.FrameReferenceTime = next(references)

    assert converted(bed).factors == after(60)
    references = iter(("60000", "1320000"))
    later = converted(bed, SeriesTime="113000")
    assert (later.factors, later.flags) == (after(60), ("reference-time-from-acquisition",))


def test_a_reference_that_the_frames_contradict_is_flagged_not_replaced() -> None:
    conversion = converted(FrameReferenceTime="400000")
    assert conversion.factors == after(60)
    assert conversion.flags == ("reference-time-disagrees",)
    assert converted(FrameReferenceTime="60000").flags == ()


def _ge(scan: str | None, injected: str | None = None, vr: str = "DT") -> object:
    def private(dataset: Dataset) -> None:
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        for element, value in ((0x0D, scan), (0x3B, injected)):
            if value is not None:
                block.add_new(element, vr, value.encode() if vr == "UN" else value)

    return private


@pytest.mark.parametrize("vr", ["DT", "UN"])
def test_the_ge_scan_time_goes_before_the_series(vr: str) -> None:
    conversion = converted(_ge("20240102095000.00", vr=vr), SeriesTime="113000")
    assert (conversion.factors, conversion.flags) == (after(50), ())
    assert conversion.rule == "GE scan date and time"


@pytest.mark.parametrize("scan", ["20200102100000.00", "20240102101500.00"])
def test_a_ge_scan_time_of_another_time_base_is_ignored(scan: str) -> None:
    """Left behind when dates were shifted, or later than the acquisition."""
    conversion = converted(_ge(scan))
    assert (conversion.factors, conversion.flags) == (after(60), ("vendor-scan-time-ignored",))


def test_the_ge_injection_time_where_the_standard_one_is_absent() -> None:
    conversion = converted(
        _ge(None, "20240102083000.00"), dose={"RadiopharmaceuticalStartDateTime": None}
    )
    assert conversion.factors == after(90)


def test_a_ge_injection_time_of_another_time_base_is_ignored() -> None:
    """The study's dates were shifted by three days, and the private elements left as they were."""
    moved = {"SeriesDate": "20240105", "AcquisitionDate": "20240105"}
    left = _ge("20240102100000.00", "20240102090000.00")
    only_a_time = {"RadiopharmaceuticalStartDateTime": None}
    conversion = converted(left, dose=only_a_time, **moved)
    assert (conversion.factors, conversion.flags) == (after(60), ("vendor-scan-time-ignored",))
    zirconium = {"RadionuclideHalfLife": "282276", **only_a_time}
    assert refused(left, dose=zirconium, **moved).code == "missing-injection-date"


@pytest.mark.parametrize(
    ("injected", "zone", "minutes"),
    [
        ("20240102090000", "+0100", 60),  # no offset of its own: the scanner's clock
        ("20240102090000+0100", "+0100", 60),
        ("20240102080000+0000", "+0100", 60),
        ("20240102030000-0500", "+0100", 60),
        ("20240101230000-0900", "+0100", 60),
        ("20240102083000+0000", "+0100", 30),
        ("20240102100000+0100", "+0000", 60),
        ("20240102090000", "+0000", 60),
    ],
)
def test_an_offset_from_utc_is_believed(injected: str, zone: str, minutes: float) -> None:
    conversion = converted(
        dose={
            "RadiopharmaceuticalStartDateTime": injected,
            "RadiopharmaceuticalStartTime": None,
        },
        TimezoneOffsetFromUTC=zone,
    )
    assert (conversion.factors, conversion.flags) == (after(minutes), ())


def test_an_offset_that_the_local_time_confirms_is_the_scanners() -> None:
    conversion = converted(dose={"RadiopharmaceuticalStartDateTime": "20240102090000+0100"})
    assert conversion.factors == after(60)


def test_an_offset_that_the_local_time_contradicts_is_refused() -> None:
    dose = {"RadiopharmaceuticalStartDateTime": "20240102080000+0000"}
    assert refused(dose=dose).code == "time-zone-unknown"


def test_slices_sent_with_two_offsets_lie_on_one_clock() -> None:
    zones = iter((("+0100", "100000"), ("+0200", "110000")))

    def moved(dataset: Dataset) -> None:
        dataset.TimezoneOffsetFromUTC, dataset.AcquisitionTime = next(zones)

    stated = acquisition(moved)
    assert stated.frames[0].acquired_at == stated.frames[1].acquired_at


def test_an_enhanced_pets_date_times_carry_the_zone() -> None:
    conversion = converted(
        DecayCorrection=None, CorrectedImage=None, DecayCorrected="YES",
        AttenuationCorrected="YES", AcquisitionDate=None, AcquisitionTime=None,
        AcquisitionDateTime="20240102100000+0200",
        DecayCorrectionDateTime="20240102080000+0000",
        dose={"RadiopharmaceuticalStartDateTime": "20240102070000+0000",
              "RadiopharmaceuticalStartTime": None},
    )  # fmt: skip
    assert (conversion.factors, conversion.uptake_min) == (after(60), 60)
    assert conversion.reference_at == datetime(2024, 1, 2, 10)  # noqa: DTZ001


@pytest.mark.parametrize("zone", ["+0000", "-0000", "+0100", "-0500", None])
def test_a_frame_that_states_an_offset_is_moved_to_the_series_clock(zone: str | None) -> None:
    """Scanned at 10:00 UTC an hour after the injection, on whatever clock the series is told."""
    scanned = iter(("20240102120000+0200", "20240102050000-0500"))

    def stated(dataset: Dataset) -> None:
        dataset.FrameAcquisitionDateTime = next(scanned)

    conversion = converted(
        stated, DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionDate=None,
        AcquisitionTime=None, ActualFrameDuration="1", TimezoneOffsetFromUTC=zone,
        dose={"RadiopharmaceuticalStartDateTime": "20240102090000+0000",
              "RadiopharmaceuticalStartTime": None},
    )  # fmt: skip
    assert conversion.uptake_min == 60
    assert conversion.factors == pytest.approx(UNDECAYED * 2 ** (3600 / F18_S), rel=1e-6)


def test_six_half_lives_are_the_limit() -> None:
    def injected(minutes_before: float) -> dict[str, str]:
        at = datetime(2024, 1, 2, 10) - timedelta(minutes=minutes_before)  # noqa: DTZ001
        return {"RadiopharmaceuticalStartDateTime": f"{at:%Y%m%d%H%M%S}"}

    assert converted(dose=injected(658)).factors == after(658)
    assert refused(dose=injected(660)).code == "uptake-over-6-half-lives"
