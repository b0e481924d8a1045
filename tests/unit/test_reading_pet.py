"""PET from files to one volume: order, orientation, slopes, multi-frame, and what is refused."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedPETImageStorage, MRImageStorage

from engine.acquisition import SuvConversion
from engine.errors import EngineError, GridMismatch, MissingQuantity, Unreadable
from engine.measuring.suv import suv_conversion
from engine.reading.pet import read_pet
from engine.reading.slices import read_stack
from tests.makers import make_pet, save, uid, written

RNG = np.random.default_rng(20240102)
SOME = RNG.uniform(10, 5000, (5, 6, 7)).round(3)
FACTOR = 0.000277778124960682

ORIENTATIONS = {
    "head first": (1, 0, 0, 0, 1, 0),
    "head first prone": (-1, 0, 0, 0, -1, 0),
    "feet first": (-1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, 0.8),
}


def test_each_slice_by_its_own_slope(tmp_path: Path) -> None:
    made = make_pet(SOME)
    volume, acquisition = read_pet(save(made, tmp_path))
    assert len({dataset.RescaleSlope for dataset in made}) == len(made)
    assert volume.values == pytest.approx(SOME, abs=5000 / 32000)
    exact = [each.pixel_array * float(each.RescaleSlope) for each in made]
    assert volume.values.tolist() == np.float32(exact).tolist()
    assert (volume.unit, volume.values.dtype) == ("Bq/ml", np.float32)
    assert acquisition.rescale_intercepts == (0.0,)


def test_who_each_slice_is(tmp_path: Path) -> None:
    made = make_pet(SOME)
    volume, _ = read_pet(save(made, tmp_path)[::-1])
    assert [s.sop_instance_uid for s in volume.slices] == [d.SOPInstanceUID for d in made]
    assert [s.instance_number for s in volume.slices] == [1, 2, 3, 4, 5]
    assert {s.frame_number for s in volume.slices} == {None}
    assert volume.series_instance_uid == made[0].SeriesInstanceUID
    assert volume.grid.frame_of_reference_uid == made[0].FrameOfReferenceUID


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(5)), first=st.integers(0, 1))
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, order: list[int], first: int) -> None:
    paths = sorted(tmp_path.iterdir()) or save(make_pet(SOME), tmp_path)
    volume, acquisition = read_pet([paths[k] for k in order])
    again, same = read_pet(paths)
    assert np.array_equal(volume.values, again.values)
    assert volume.slices == again.slices
    assert acquisition == same
    assert np.array_equal(volume.grid.affine, again.grid.affine)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_voxel_lies_where_its_header_says(tmp_path: Path, name: str) -> None:
    """PS3.3 C.7.6.2.1.1: position + column index x row direction x column spacing + ..."""
    orientation = ORIENTATIONS[name]
    made = make_pet(
        SOME, orientation=orientation, spacing_mm=(3, 2, 5), origin_lps_mm=(-11, 7, 100)
    )
    paths = save(made, tmp_path)
    random.Random(3).shuffle(paths)
    grid = read_pet(paths)[0].grid
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for k, dataset in enumerate(made):
        for j, i in ((0, 0), (5, 0), (0, 6), (4, 3)):
            there = np.array(dataset.ImagePositionPatient, float) + row * 5 * i + column * 2 * j
            assert grid.to_lps_mm((k, j, i)) == pytest.approx(there, abs=1e-3)
    assert grid.spacing_mm == pytest.approx((3, 2, 5), abs=1e-3)
    assert grid.voxel_volume_cm3 == pytest.approx(0.03, rel=1e-3)


def test_a_lone_slice_takes_its_thickness(tmp_path: Path) -> None:
    volume, acquisition = read_pet(save(make_pet(SOME[:1], spacing_mm=(4.5, 2, 2)), tmp_path))
    assert volume.grid.spacing_mm == pytest.approx((4.5, 2, 2))
    assert acquisition.flags == ("single-slice",)


def test_a_lone_slice_without_a_thickness_is_refused(tmp_path: Path) -> None:
    paths = save(make_pet(SOME[:1], SliceThickness=None), tmp_path)
    with pytest.raises(MissingQuantity) as refusal:
        read_pet(paths)
    assert refusal.value.keyword == "SliceThickness"


def _moved(k: int, mm: float, axis: int = 2) -> Callable[[list[Dataset]], None]:
    def change(made: list[Dataset]) -> None:
        position = list(made[k].ImagePositionPatient)
        position[axis] = float(position[axis]) + mm
        made[k].ImagePositionPatient = position

    return change


def _stated(k: int, **attributes: object) -> Callable[[list[Dataset]], None]:
    def change(made: list[Dataset]) -> None:
        for keyword, value in attributes.items():
            setattr(made[k], keyword, value)

    return change


def _lost(k: int) -> Callable[[list[Dataset]], None]:
    return lambda made: made.__delitem__(k)


def _smaller(made: list[Dataset]) -> None:
    made[2].Rows = 5
    made[2].PixelData = made[2].PixelData[: 5 * 7 * 2]


@pytest.mark.parametrize(
    ("code", "change", "k"),
    [
        ("duplicate-position", _moved(2, 3.0), 2),
        ("gap", _lost(2), None),
        ("uneven-spacing", _moved(2, 1.2), None),
        ("uneven-spacing", _moved(2, 1.2, axis=0), 2),
        ("mixed-orientation", _stated(2, ImageOrientationPatient=[0, 1, 0, 1, 0, 0]), 2),
        ("bad-orientation", _stated(2, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), 2),
        ("mixed-spacing", _stated(2, PixelSpacing=[4, 4.1]), 2),
        ("mixed-size", _smaller, 2),
        ("mixed-series", _stated(2, SeriesInstanceUID="2.25.3"), 2),
        ("mixed-frame-of-reference", _stated(2, FrameOfReferenceUID="2.25.3"), 2),
        ("too-many-voxels", _stated(2, Rows=65535, Columns=65535), 2),
    ],
)
def test_planes_of_no_one_grid_are_refused_by_name(
    tmp_path: Path, code: str, change: Callable[[list[Dataset]], None], k: int | None
) -> None:
    made = make_pet(SOME)
    change(made)
    paths = save(made, tmp_path)
    random.Random(5).shuffle(paths)
    with pytest.raises(GridMismatch) as refusal:
        read_pet(paths)
    assert refusal.value.code == code
    assert k is None or made[k].SOPInstanceUID in str(refusal.value)
    assert "MADE-1" not in str(refusal.value)


@pytest.mark.parametrize("spacing_mm", [3.27, 0.625])
def test_positions_printed_roughly_are_no_gap(tmp_path: Path, spacing_mm: float) -> None:
    made = make_pet(np.ones((40, 2, 2)), spacing_mm=(spacing_mm, 4, 4))
    for dataset in made:
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, round(z, 1)]
    grid = read_stack(save(made, tmp_path)).grid
    assert grid.spacing_mm[0] == pytest.approx(spacing_mm, abs=0.003)


@pytest.mark.parametrize("spacing_mm", [3.0, 0.625, 0.2])
def test_a_missing_plane_is_seen_at_any_spacing(tmp_path: Path, spacing_mm: float) -> None:
    made = make_pet(np.ones((9, 2, 2)), spacing_mm=(spacing_mm, 4, 4))
    paths = save(made[:4] + made[5:], tmp_path)
    with pytest.raises(GridMismatch) as refusal:
        read_stack(paths)
    assert refusal.value.code == "gap"
    assert made[3].SOPInstanceUID in str(refusal.value)


def test_a_series_cut_at_its_end_is_flagged(tmp_path: Path) -> None:
    assert read_pet(save(make_pet(SOME)[:4], tmp_path))[1].flags == ("fewer-slices-than-stated",)


@pytest.mark.parametrize(
    ("keyword", "attributes"),
    [
        ("RescaleSlope", {"RescaleSlope": None}),
        ("RescaleSlope", {"RescaleSlope": "0"}),
        ("RescaleSlope", {"RescaleSlope": "-1"}),
        ("RescaleSlope", {"RescaleSlope": "1e300"}),
        ("ImagePositionPatient", {"ImagePositionPatient": None}),
        ("ImagePositionPatient", {"ImagePositionPatient": ["0", "0"]}),
        ("ImageOrientationPatient", {"ImageOrientationPatient": None}),
        ("PixelSpacing", {"PixelSpacing": None}),
        ("PixelSpacing", {"PixelSpacing": ["0", "4"]}),
        ("Rows", {"Rows": None}),
    ],
)
def test_what_a_number_needs_is_named(
    tmp_path: Path, keyword: str, attributes: dict[str, object]
) -> None:
    paths = save(make_pet(SOME, **attributes), tmp_path)
    with pytest.raises(MissingQuantity) as refusal:
        read_pet(paths)
    assert refusal.value.keyword == keyword


def test_another_image_is_not_taken_for_pet(tmp_path: Path) -> None:
    paths = save(make_pet(SOME, SOPClassUID=MRImageStorage), tmp_path)
    with pytest.raises(Unreadable) as refusal:
        read_pet(paths)
    assert refusal.value.code == "not-pet"


def test_no_files() -> None:
    with pytest.raises(Unreadable):
        read_pet([])


def test_an_image_said_to_be_lossy_is_flagged(tmp_path: Path) -> None:
    paths = save(make_pet(SOME, LossyImageCompression="01"), tmp_path)
    assert read_pet(paths)[1].flags == ("lossy-compressed",)


@pytest.mark.parametrize(("suv_type", "unit"), [(None, "g/ml"), ("BW", "g/ml"), ("LBM", "GML")])
def test_only_suv_by_body_weight_is_called_g_ml(
    tmp_path: Path, suv_type: str | None, unit: str
) -> None:
    paths = save(make_pet(SOME, Units="GML", SUVType=suv_type), tmp_path)
    assert read_pet(paths)[0].unit == unit


def test_legacy_converted_gives_the_same_volume_and_the_same_suv(tmp_path: Path) -> None:
    """highdicom's conversion puts classic attributes into shared and per-frame groups."""
    from highdicom.legacy import LegacyConvertedEnhancedPETImage

    made = make_pet(SOME)
    shuffled = [made[k] for k in (3, 0, 4, 1, 2)]
    converted = LegacyConvertedEnhancedPETImage(
        shuffled,
        series_instance_uid=uid("converted"),
        series_number=7,
        sop_instance_uid=uid("converted image"),
        instance_number=1,
    )
    volume, acquisition = read_pet(save(written(converted), tmp_path / "converted"))
    classic, before = read_pet(save(made, tmp_path / "classic"))
    assert np.array_equal(volume.values, classic.values)
    assert volume.grid.coincides(classic.grid)
    frames = [each.frame_number for each in volume.slices]
    assert sorted(f for f in frames if f is not None) == [1, 2, 3, 4, 5]
    assert [each.instance_number for each in volume.slices] == [1, 2, 3, 4, 5]
    first, second = suv_conversion(acquisition), suv_conversion(before)
    assert isinstance(first, SuvConversion), first
    assert isinstance(second, SuvConversion)
    assert np.array_equal(first.factors, second.factors)
    assert first.rule == second.rule


def make_enhanced_pet(units: str = "Bq/ml") -> Dataset:
    """An Enhanced PET of SOME, frames in reverse, values mapped by Real World Value Mapping."""
    classic = make_pet(SOME)
    made = classic[0]
    for keyword in (
        "Units", "CorrectedImage", "DecayCorrection", "RescaleSlope", "RescaleIntercept",
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "AcquisitionTime",
        "FrameReferenceTime", "ActualFrameDuration", "AcquisitionDate",
    ):  # fmt: skip
        delattr(made, keyword)
    made.SOPClassUID = EnhancedPETImageStorage
    made.AttenuationCorrected = made.DecayCorrected = "YES"
    made.DecayCorrectionDateTime = "20240102100000"
    made.NumberOfFrames = len(classic)
    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [4, 4]
    shared.PixelMeasuresSequence[0].SliceThickness = 3
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = []
    pixels = b""
    for k in reversed(range(len(classic))):
        frame, content, position = Dataset(), Dataset(), Dataset()
        content.FrameAcquisitionDateTime = "20240102100000"
        content.FrameAcquisitionDuration = 120000.0
        position.ImagePositionPatient = [-60, -60, 3 * k]
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
        stored = np.round(SOME[k] * 6).astype("<i2")
        pixels += stored.tobytes()
        frame.RealWorldValueMappingSequence = [_mapped("/cm", 9.0), _mapped(units, 1 / 6)]
        transformation = Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = "1", "0"
        transformation.RescaleType = "US"
        frame.PixelValueTransformationSequence = [transformation]
        made.PerFrameFunctionalGroupsSequence.append(frame)
    made.PixelData = pixels
    return written(made)


def _mapped(units: str, slope: float) -> Dataset:
    mapping, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = units, "UCUM", units
    mapping.MeasurementUnitsCodeSequence = [code]
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, 0.0
    return mapping


def test_enhanced_pet(tmp_path: Path) -> None:
    volume, acquisition = read_pet(save(make_enhanced_pet(), tmp_path))
    assert volume.values == pytest.approx(SOME, abs=0.084)
    assert volume.unit == "Bq/ml"
    assert [each.frame_number for each in volume.slices] == [5, 4, 3, 2, 1]
    assert [each.instance_number for each in volume.slices] == [5, 4, 3, 2, 1]
    assert volume.grid.to_lps_mm((4, 0, 0)) == pytest.approx((-60, -60, 12))
    conversion = suv_conversion(acquisition)
    assert isinstance(conversion, SuvConversion), conversion
    assert conversion.factors == pytest.approx(FACTOR, rel=1e-10)


def test_enhanced_pet_in_units_we_do_not_know(tmp_path: Path) -> None:
    volume, acquisition = read_pet(save(make_enhanced_pet("umol/ml"), tmp_path))
    assert volume.unit == "unknown"
    refusal = suv_conversion(acquisition)
    assert not isinstance(refusal, SuvConversion)
    assert refusal.code == "unsupported-units"


def test_frames_that_are_not_there_are_refused(tmp_path: Path) -> None:
    made = make_enhanced_pet()
    made.NumberOfFrames = 1000
    paths = save(made, tmp_path)
    with pytest.raises(Unreadable) as refusal:
        read_pet(paths)
    assert refusal.value.code == "bad-frame-count"


def test_time_frames_at_one_position_are_refused(tmp_path: Path) -> None:
    made = make_enhanced_pet()
    for frame in made.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]
    paths = save(made, tmp_path)
    with pytest.raises(GridMismatch) as refusal:
        read_pet(paths)
    assert refusal.value.code == "duplicate-position"


def test_malformed_files_are_refused_not_crashed_on(data: Path) -> None:
    tried = 0
    for path in sorted((data / "malformed").rglob("*")):
        if not path.is_file() or path.name == "LICENSE":
            continue
        tried += 1
        try:
            read_pet([path])
        except EngineError as refusal:
            assert refusal.code  # noqa: PT017 - any of them will do, with a code
    assert tried == 111


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 255)))
)
def test_a_damaged_file_is_read_or_refused(
    tmp_path: Path, cut: int, flips: list[tuple[int, int]]
) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        save(make_pet(SOME[:1]), whole)
    sound = (whole / "00000.dcm").read_bytes()
    damaged = bytearray(sound[: len(sound) - cut])
    for at, change in flips[:5]:
        if at < len(damaged):
            damaged[at] ^= change
    path = tmp_path / "damaged.dcm"
    path.write_bytes(damaged)
    try:
        volume, _ = read_pet([path])
    except EngineError:
        return
    assert volume.values.shape == volume.grid.shape


def test_a_file_that_cannot_be_read_is_not_called_by_its_name(tmp_path: Path) -> None:
    """Folders of real studies carry names of patients."""
    paths = save(make_pet(SOME), tmp_path)
    for refused in (tmp_path / "Doe_Jane_1961.dcm", tmp_path / "Doe_Jane.txt"):
        if refused.suffix == ".txt":
            refused.write_text("no DICOM")
        with pytest.raises(Unreadable) as refusal:
            read_pet([*paths, refused])
        assert "File 6 of 6" in str(refusal.value)
        assert "Doe" not in str(refusal.value)


def test_what_was_made_can_be_read_by_others(tmp_path: Path) -> None:
    """Guards the makers used here: what we call SOME is what pydicom sees."""
    path = save(make_enhanced_pet(), tmp_path)[0]
    assert dcmread(path).pixel_array.shape == SOME.shape
