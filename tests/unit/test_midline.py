"""Sides that words claim, against the middle of made bodies and of real ones."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its own documentation names it so)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from engine.acquisition import SuvConversion
from engine.codes import LEFT, RIGHT
from engine.cohort.anatomy import body
from engine.grounding import lasting
from engine.grounding.midline import body_profile, middle_x_mm, side_in_body
from engine.measuring.suv import suv_conversion, to_suv
from engine.reading.mask import read_mask
from engine.reading.pet import read_pet
from engine.volume import Mask, Scan
from tests.unit import labelled as made
from tests.unit.labelled import flags
from tests.unit.reports import REFUSAL


@pytest.fixture(scope="module")
def body_scan() -> Scan:
    return made.whole_body(shift_x_mm=60.0)


@pytest.mark.parametrize(
    ("text", "x_mm", "expected"),
    [
        ("Right lung nodule", 62.0, ("laterality-conflict",)),
        ("Left lung nodule", 62.0, ()),
        ("Left lung nodule", -62.0, ("laterality-conflict",)),
        ("Right lung nodule", -62.0, ()),
        ("Right lung nodule", 12.0, ()),  # nearer than 15 mm to the middle: no verdict
        ("Right lung nodule", 18.0, ("laterality-conflict",)),
        ("Lung nodule", 62.0, ()),
        ("Right-sided focus", 62.0, ("laterality-conflict",)),
        ("Right hepatic lobe", 62.0, ()),  # the lobes do not end at the midline
        ("Nodule adjacent to the right ventricle", 62.0, ()),
        ("Bilateral lung nodules", 62.0, ("bilateral-claim",)),
        ("Nodules on both sides", 62.0, ("bilateral-claim",)),
    ],
)
def test_a_side_is_held_to_the_middle_of_the_body(
    body_scan: Scan, text: str, x_mm: float, expected: tuple[str, ...]
) -> None:
    lesion = made.lesion_of(made.ball(body_scan.pet.grid, (x_mm, 0.0, 540.0)))
    x_of_grid = lesion.measurements.centroid_lps_mm
    assert x_of_grid is not None
    assert abs(x_of_grid[0] - x_mm) < 3.1
    assert flags(text, body_scan, lesion) == expected


def test_the_middle_is_the_bodys_and_not_the_images(body_scan: Scan) -> None:
    grid = body_scan.pet.grid
    assert grid.to_lps_mm((0, 0, (grid.shape[2] - 1) / 2))[0] == pytest.approx(60.0)
    for z_mm in (60.0, 130.0, 300.0, 540.0, 700.0, 800.0):
        middle = middle_x_mm(body_profile(body_scan.pet), (0.0, 0.0, z_mm), grid)
        assert middle == pytest.approx(0.0, abs=3.0), z_mm


@pytest.mark.parametrize(("order", "against"), made.STORAGES)
def test_the_verdict_is_the_same_however_the_patient_was_stored(
    body_scan: Scan, order: tuple[int, ...], against: tuple[bool, ...]
) -> None:
    values, grid = made.stored(body_scan.pet.values, body_scan.pet.grid, order, against)
    scan = made.scan_of(made.volume(values, grid))
    mask = made.ball(body_scan.pet.grid, (62.0, 0.0, 540.0))
    voxels, _ = made.stored(mask.voxels, mask.grid, order, against)
    lesion = made.lesion_of(Mask(voxels, grid))
    x, y, z = lesion.measurements.centroid_lps_mm or (0.0, 0.0, 0.0)
    assert (x, y, z) == pytest.approx(made.lesion_of(mask).measurements.centroid_lps_mm)
    assert flags("Right lung nodule", scan, lesion) == ("laterality-conflict",)
    assert flags("Left lung nodule", scan, lesion) == ()


@settings(max_examples=40, deadline=None)
@given(
    x_mm=st.floats(-100, 100),
    z_mm=st.floats(320, 640),
    how=st.sampled_from(made.STORAGES),
    turn_deg=st.floats(-10, 10),
)
def test_sides_hold_in_oblique_grids(x_mm: float, z_mm: float, how, turn_deg: float) -> None:
    scan = _cached_body()
    turn = np.eye(4)
    angle = np.radians(turn_deg)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    values, grid = made.stored(scan.pet.values, scan.pet.grid, *how)
    turned = replace(grid, affine=turn @ grid.affine)
    pet = made.volume(values, turned)
    at = (turn @ [x_mm, 0.0, z_mm, 1.0])[:3]
    middle = middle_x_mm(body_profile(pet), (at[0], at[1], at[2]), turned)
    straight = middle_x_mm(body_profile(scan.pet), (x_mm, 0.0, z_mm), scan.pet.grid)
    assert middle is not None
    assert straight is not None
    expected = turn @ [straight, _mean_y(scan, z_mm), z_mm, 1.0]
    assert middle == pytest.approx(expected[0], abs=2.0)


_BODIES: dict[str, Scan] = {}


def _cached_body() -> Scan:
    if "body" not in _BODIES:
        _BODIES["body"] = made.whole_body()
    return _BODIES["body"]


def _mean_y(scan: Scan, z_mm: float) -> float:
    at = made.centres(scan.pet.grid)
    near = (scan.pet.values > 0.2) & (np.abs(at[..., 2] - z_mm) <= 30.0)
    return float(at[near][:, 1].mean())


def test_two_legs_are_one_body() -> None:
    grid = made.axial_grid((20, 60, 110), 6.0, (-327.0, -177.0, -3.0))
    left, right = (made.inside(grid, (x, 5.0, 55.0), (60.0, 60.0, 500.0)) for x in (88.0, -95.0))
    assert not np.any(left.voxels & right.voxels)
    suv = np.where(left.voxels | right.voxels, np.float32(1.0), np.float32(0.0))
    legs = made.scan_of(made.volume(suv, grid))
    assert middle_x_mm(body_profile(legs.pet), (0, 0, 50.0), grid) == pytest.approx(-3.5, abs=3)
    assert side_in_body(legs, (50.0, 5.0, 50.0)) == LEFT
    assert side_in_body(legs, (-50.0, 5.0, 50.0)) == RIGHT


def test_a_small_thing_beside_the_body_moves_nothing() -> None:
    scan = made.whole_body()
    beside = made.inside(scan.pet.grid, (300.0, 0.0, 540.0), (18.0, 60.0, 100.0))
    values = np.where(beside.voxels, np.float32(3.0), scan.pet.values)
    moved = made.scan_of(made.volume(values, scan.pet.grid))
    grid = scan.pet.grid
    assert middle_x_mm(body_profile(moved.pet), (0.0, 0.0, 540.0), grid) == pytest.approx(
        0.0, abs=3
    )


def test_a_body_cut_by_the_image_gives_no_verdict() -> None:
    grid = made.axial_grid((150, 60, 40), 6.0, (-60.0, -177.0, -3.0))
    cut = made.scan_of(made.volume(made.painted(grid, list(body())), grid))
    assert side_in_body(cut, (100.0, 0.0, 540.0)) is None
    assert flags("Right lung nodule", cut, (100.0, 0.0, 540.0)) == ()


def test_air_gives_no_verdict() -> None:
    grid = made.axial_grid((10, 20, 20))
    empty = made.scan_of(made.volume(np.zeros(grid.shape, np.float32), grid))
    assert side_in_body(empty, (30.0, 30.0, 30.0)) is None


def test_ct_tells_the_middle_where_suv_is_refused() -> None:
    grid = made.axial_grid((75, 90, 165), 4.0, (-327.0 + 60, -177.0, 400.0))
    ct = made.volume(made.painted(grid, list(body()), "hu", -1000.0), grid, "HU")
    pet_grid = made.whole_body_grid()
    pet = made.volume(np.full(pet_grid.shape, 500.0, np.float32), pet_grid, "Bq/ml")
    with_ct, without = made.scan_of(pet, ct, REFUSAL), made.scan_of(pet, None, REFUSAL)
    assert side_in_body(with_ct, (62.0, 0.0, 540.0)) == LEFT
    assert side_in_body(with_ct, (62.0, 0.0, 40.0)) is None  # below the CT
    assert side_in_body(without, (62.0, 0.0, 540.0)) is None


def test_the_side_that_the_mask_states_counts_too(body_scan: Scan) -> None:
    mask = made.ball(body_scan.pet.grid, (0.0, 0.0, 540.0))
    lesion = made.lesion_of(mask, laterality=LEFT)
    assert flags("Right hilar lymph node", body_scan, lesion) == ("laterality-conflict",)
    assert flags("Left hilar lymph node", body_scan, lesion) == ()


def test_what_a_scan_needs_is_computed_once_and_forgotten_with_it(monkeypatch) -> None:
    from engine.grounding import midline

    calls = []
    monkeypatch.setattr(
        midline, "body_profile", lambda volume: calls.append(volume) or body_profile(volume)
    )
    scan = made.whole_body()
    for x_mm in (60.0, -60.0):
        assert side_in_body(scan, (x_mm, 0.0, 540.0)) is not None
    assert len(calls) == 1
    before = len(lasting._kept)
    calls.clear()
    del scan
    gc.collect()
    assert len(lasting._kept) == before - 1


# real bodies


@pytest.fixture(scope="module")
def qin0139(data: Path) -> Scan:
    pet, acquisition = read_pet(sorted((data / "qin0139" / "pet").iterdir()))
    suv = suv_conversion(acquisition)
    assert isinstance(suv, SuvConversion)
    return Scan(to_suv(pet, suv), None, acquisition, suv)


def test_the_middle_of_a_real_body_is_what_simpleitk_finds(qin0139: Scan) -> None:
    profile, grid = body_profile(qin0139.pet), qin0139.pet.grid
    told = 0
    for k in range(40, 540, 50):
        x, y, z = grid.to_lps_mm((k, 0, 0)).tolist()
        ours = middle_x_mm(profile, (x, y, z), grid)
        band = (qin0139.pet.values[k - 5 : k + 6] > 0.2).astype(np.uint8)
        image = sitk.GetImageFromArray(band)
        image.SetSpacing(grid.spacing_mm[::-1])
        image.SetOrigin(grid.to_lps_mm((k - 5, 0, 0)).tolist())
        labels = sitk.RelabelComponent(sitk.ConnectedComponent(image), sortByObjectSize=True)
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(labels)
        if ours is not None and shape.GetPhysicalSize(1) > 0.98 * band.sum() * np.prod(
            grid.spacing_mm
        ):
            told += 1
            assert ours == pytest.approx(shape.GetCentroid(1)[0], abs=1.0), k
    assert told >= 4


def _mean_column(seg: Dataset, number: int) -> float:
    """Where a segment lies along the rows of the SEG's own frames, read without this engine."""
    groups = seg.PerFrameFunctionalGroupsSequence
    frames = [
        pixels for group, pixels in zip(groups, seg.pixel_array, strict=True)
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
    ]  # fmt: skip
    return float(np.concatenate([np.nonzero(pixels)[1] for pixels in frames]).mean())


def test_real_lesions_of_a_head_and_neck_have_sides(data: Path, qin0139: Scan) -> None:
    (path,) = (data / "qin0139" / "seg").iterdir()
    seg = dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert [float(one) for one in cosines] == [1, 0, 0, 0, 1, 0]  # columns grow to the left
    middle = (seg.Columns - 1) / 2  # of the whole field of view, which the patient lies amid
    assert _mean_column(seg, 4) - middle > 10
    assert middle - _mean_column(seg, 8) > 10
    conflicts = {}
    for one in read_mask(path, qin0139.pet).segments:
        if one.mask.voxels.any():
            lesion = made.lesion_of(one.mask)
            conflicts[one.number] = [
                side for side in ("Left", "Right")
                if flags(f"{side} cervical lymph node", qin0139, lesion)
            ]  # fmt: skip
    assert all(len(sides) < 2 for sides in conflicts.values())  # never both wrong
    assert conflicts[4] == ["Right"]
    assert conflicts[8] == ["Left"]


@pytest.mark.parametrize("study", ["STS_002", "STS_010"])
def test_a_crop_of_a_thigh_gives_no_verdict(data: Path, study: str) -> None:
    folder = data / "ibsi_sts" / study
    pet, acquisition = read_pet(sorted((folder / "PET").iterdir()))
    suv = suv_conversion(acquisition)
    assert isinstance(suv, SuvConversion)
    scan = Scan(to_suv(pet, suv), None, acquisition, suv)
    (segment,) = read_mask(folder / "RTSTRUCT_PET.dcm", pet).segments
    lesion = made.lesion_of(segment.mask)
    assert flags("Left thigh", scan, lesion) == ()
    assert flags("Right thigh", scan, lesion) == ()
