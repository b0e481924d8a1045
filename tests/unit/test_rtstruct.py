"""RTSTRUCT on the PET grid: IBSI's published masks, and what drawing programs leave behind."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from pydicom import Dataset, dcmread

from engine.errors import GridMismatch, Unreadable
from engine.geometry import Grid
from engine.reading.content import MaskContent
from engine.reading.evenodd import area_and_centroid, filled
from engine.reading.mask import read_mask
from engine.reading.pet import read_pet
from engine.volume import Volume
from tests.makers import make_pet, make_rtstruct, save, uid

STUDIES = ("STS_002", "STS_003", "STS_010", "STS_035")
Bool = npt.NDArray[np.bool_]


def published_mask(folder: Path, grid: Grid) -> Bool:
    """IBSI's NIfTI mask on the PET's own grid, by world position (RAS to LPS)."""
    image = nibabel.load(folder / "PET_mask.nii.gz")
    ras = nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0))
    mask = np.zeros(grid.shape, np.bool_)
    mask[tuple(np.rint(grid.to_kji(ras * [-1, -1, 1])).astype(int).T)] = True
    return mask


@pytest.mark.parametrize("study", STUDIES)
def test_ibsi_masks_voxel_for_voxel(study: str, data: Path) -> None:
    folder = data / "ibsi_sts" / study
    expected = json.loads((folder.parent / "expected_gtv_mass_pet.json").read_text())[study]
    pet, _ = read_pet(sorted((folder / "PET").iterdir()))
    (segment,) = read_mask(folder / "RTSTRUCT_PET.dcm", pet).segments
    voxels = segment.mask.voxels
    assert np.array_equal(voxels, published_mask(folder, pet.grid))
    assert voxels.sum() == expected["n"]
    assert voxels.sum() * pet.grid.voxel_volume_cm3 == pytest.approx(expected["vol"], rel=1e-3)
    assert pet.values[voxels].mean() == pytest.approx(expected["mean"], rel=1e-3)
    assert pet.values[voxels].max() == pytest.approx(expected["max"], rel=1e-3)
    assert (segment.role, segment.label, segment.flags) == ("lesion", "GTV_Mass_PET", ())
    assert segment.drawn_volume_cm3 == pytest.approx(expected["vol"], rel=0.03)


def test_contours_drawn_on_the_ct_fill_pet_pixels_directly(data: Path) -> None:
    """364 voxels by the pixel-centre rule; matplotlib's polygons agree on every slice."""
    folder = data / "ibsi_sts" / "STS_035"
    pet, _ = read_pet(sorted((folder / "PET").iterdir()))
    (segment,) = read_mask(folder / "RTSTRUCT_CT.dcm", pet).segments
    oracle = np.zeros(pet.grid.shape, np.bool_)
    j, i = np.indices(pet.grid.shape[1:])
    for contour in dcmread(folder / "RTSTRUCT_CT.dcm").ROIContourSequence[0].ContourSequence:
        kji = pet.grid.to_kji(np.array(contour.ContourData, float).reshape(-1, 3))
        inside = Polygon(kji[:, :0:-1]).contains_points(np.column_stack((i.ravel(), j.ravel())))
        oracle[round(kji[0, 0])] ^= inside.reshape(j.shape)
    assert np.array_equal(segment.mask.voxels, oracle)
    assert segment.mask.voxels.sum() == 364


@pytest.mark.parametrize("name", ["rt", "invalid_reference_rt", "non_existent_reference_rt"])
def test_every_variety_has_a_clear_outcome(name: str, data: Path) -> None:
    path = data / "rtstruct_variety" / f"{name}.dcm"
    rois = dcmread(path).StructureSetROISequence
    space = rois[0].ReferencedFrameOfReferenceUID
    first = np.array(dcmread(path).ROIContourSequence[0].ContourSequence[0].ContourData[:3], float)
    affine = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [5, 0, 0, 0], [0, 0, 0, 1]])
    affine[:3, 3] = first - (200, 200, 100)
    grid = Grid((40, 400, 400), affine, str(space))
    content = read_mask(path, Volume(np.zeros((1, 1, 1), np.float32), grid, "g/ml", (), "1.2"))
    assert len(content.segments) + len(content.failed) == len(rois)
    assert {failed.code for failed in content.failed} <= {"empty-segment", "outside-pet"}
    assert content.segments
    elsewhere = Volume(
        np.zeros((1, 1, 1), np.float32), Grid(grid.shape, affine, "1.2.3"), "g/ml", (), "1.2"
    )
    with pytest.raises(GridMismatch):
        read_mask(path, elsewhere)


SPACING = (3.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def series() -> list[Dataset]:
    return make_pet(np.ones((8, 32, 32)))


@pytest.fixture(scope="module")
def pet(series: list[Dataset], tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return read_pet(save(series, tmp_path_factory.mktemp("pet")))[0]


def square(x: float, y: float, side: float, z: float) -> npt.NDArray[np.float64]:
    """Corners of an axial square around (x, y), in LPS mm."""
    h = side / 2
    return np.array([(x - h, y - h, z), (x + h, y - h, z), (x + h, y + h, z), (x - h, y + h, z)])


def drawn(
    tmp_path: Path, series: list[Dataset], pet: Volume, rois: Any, **attributes: Any
) -> MaskContent:
    """The content of an RTSTRUCT made from contours."""
    return read_mask(save(make_rtstruct(rois, series, **attributes), tmp_path)[0], pet)


def test_holes_keyholes_and_parts(tmp_path: Path, series: list[Dataset], pet: Volume) -> None:
    outer, inner = square(0, 0, 40, 6), square(0, 0, 16, 6)
    keyhole = np.concatenate((outer, outer[:1], inner[::-1][-1:], inner[::-1], outer[:1]))
    rois = {
        "hole": [outer, inner],
        "keyhole": [keyhole],
        "parts": [square(-30, 0, 16, 6), square(30, 0, 16, 6)],
        "twice": [outer, outer],
    }
    content = drawn(tmp_path, series, pet, rois)
    assert not content.failed
    hole, keyhole_mask, parts, twice = (segment.mask.voxels for segment in content.segments)
    assert hole.sum() == 100 - 16
    assert np.array_equal(hole, keyhole_mask)
    assert parts.sum() == 32
    assert twice.sum() == 100
    assert content.segments[3].flags == ("duplicate-contour",)
    assert content.segments[0].drawn_volume_cm3 == pytest.approx((1600 - 256) * 3 / 1000, rel=1e-2)
    assert content.segments[2].drawn_centroid_lps_mm == pytest.approx((0, 0, 6), abs=0.05)


@pytest.mark.parametrize(
    ("planes_mm", "taken"),
    [
        ([6.0, 9.0], [2, 3]),  # on the PET's own slices
        (np.arange(5.5, 10.6, 1.0), [2, 3]),  # finer: each slice takes its nearest
        ([4.0, 9.0, 14.0], [1, 2, 3, 4, 5]),  # coarser: a slab of 5 mm holds several slices
        ([3.0, 6.0, 15.0, 18.0], [1, 2, 5, 6]),  # a gap is a gap
        ([9.0], [3]),  # one plane stands for one slice
        ([10.4], [3]),
        ([10.6], [4]),
    ],
)
def test_a_contour_is_a_slab_of_its_drawn_spacing(
    planes_mm: Any, taken: list[int], tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    content = drawn(tmp_path, series, pet, {"one": [square(0, 0, 16, z) for z in planes_mm]})
    marked = content.segments[0].mask.voxels.any(axis=(1, 2))
    assert np.flatnonzero(marked).tolist() == taken


@pytest.mark.parametrize(
    ("planes_mm", "thickness_mm", "taken"),
    [
        ([9.0], "9", [2, 3, 4]),  # goes before the structure set's gap of 6 mm, and the PET's 3 mm
        ([9.0], "", [2, 3]),  # the structure set's gap: [6, 12) mm
        ([6.0, 15.0], "3", [2, 5]),  # smaller than the gap: planes were left out
        ([6.0, 12.0], "9", [1, 2, 3, 4]),  # larger than the gap: the gap counts
        ([4.0, 9.0, 14.0], "1", [1, 2, 3, 4, 5]),  # three planes tell their spacing themselves
        ([9.0], "0", [2, 3]),  # states nothing
    ],
)
def test_contour_slab_thickness_counts_where_the_planes_do_not_tell(
    planes_mm: Any,
    thickness_mm: str,
    taken: list[int],
    tmp_path: Path,
    series: list[Dataset],
    pet: Volume,
) -> None:
    rois = {
        "one": [square(0, 0, 16, z) for z in planes_mm],
        "two": [square(40, 0, 16, z) for z in (3, 9)],
    }
    dataset = make_rtstruct(rois, series)
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        contour.ContourSlabThickness = thickness_mm
    content = read_mask(save(dataset, tmp_path)[0], pet)
    marked = content.segments[0].mask.voxels.any(axis=(1, 2))
    assert np.flatnonzero(marked).tolist() == taken


@pytest.mark.parametrize(
    ("planes_mm", "others_mm"),
    [
        (np.arange(0, 40, 5.0), np.arange(0, 40, 2.5)),  # half the lesion's spacing
        (np.arange(3, 21, 3.0), [6.0, 6.08]),  # one plane drawn twice, by hand
        ([3.0, 6.0, 9.0, 15.0], [3.0, 4.5]),
    ],
)
def test_no_roi_makes_the_slabs_of_another_thinner(
    planes_mm: Any, others_mm: Any, tmp_path: Path
) -> None:
    long = make_pet(np.ones((16, 32, 32)))
    volume, _ = read_pet(save(long, tmp_path / "pet"))
    lesion = [square(0, 0, 40, z) for z in planes_mm]
    alone = drawn(tmp_path / "alone", long, volume, {"lesion": lesion}).segments[0]
    rois = {"lesion": lesion, "other": [square(40, 0, 16, z) for z in others_mm]}
    beside = drawn(tmp_path / "beside", long, volume, rois).segments[0]
    assert np.array_equal(beside.mask.voxels, alone.mask.voxels)
    assert beside.drawn_volume_cm3 == alone.drawn_volume_cm3


@pytest.mark.parametrize(
    ("other_mm", "thickness_mm", "taken"),
    [
        ([0.0, 3.0], "", [2, 5]),  # 9 mm is three times 3 mm: planes were left out
        ([0.0, 3.0], "9", [1, 2, 3, 4, 5, 6]),  # its own thickness goes first
        ([0.0, 2.9], "", [1, 2, 3, 4, 5, 6]),  # 9 mm is no multiple of 2.9 mm
        ([0.0, 0.3], "", [1, 2, 3, 4, 5, 6]),  # no spacing of images
    ],
)
def test_two_planes_were_drawn_on_the_set_s_gap_where_theirs_is_a_multiple(
    other_mm: Any,
    thickness_mm: str,
    taken: list[int],
    tmp_path: Path,
    series: list[Dataset],
    pet: Volume,
) -> None:
    rois = {
        "one": [square(0, 0, 16, z) for z in (6, 15)],
        "two": [square(40, 0, 16, z) for z in other_mm],
    }
    dataset = make_rtstruct(rois, series)
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        contour.ContourSlabThickness = thickness_mm
    marked = read_mask(save(dataset, tmp_path)[0], pet).segments[0].mask.voxels.any(axis=(1, 2))
    assert np.flatnonzero(marked).tolist() == taken


def test_rois_that_mark_nothing_are_listed_with_their_reason(
    tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    tilted = square(0, 0, 40, 6)
    tilted[2:, 2] += 8
    rois = {
        "good": [square(0, 0, 16, 6)],
        "none": [],
        "sagittal": [tilted],
        "far": [square(900, 0, 16, 6)],
        "tiny": [square(2, 2, 1, 6)],
        "half out": [square(64, 0, 40, 6)],
        "line": [square(0, 0, 16, 6)],
    }
    dataset = make_rtstruct(rois, series)
    dataset.ROIContourSequence[6].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    content = read_mask(save(dataset, tmp_path)[0], pet)
    assert {failed.label: failed.code for failed in content.failed} == {
        "none": "empty-segment",
        "sagittal": "contour-not-parallel",
        "far": "outside-pet",
        "line": "not-an-area",
    }
    assert {segment.label: segment.flags for segment in content.segments} == {
        "good": (),
        "tiny": ("below-pet-resolution",),
        "half out": ("partly-outside-pet",),
    }
    tiny = next(segment for segment in content.segments if segment.label == "tiny")
    assert tiny.drawn_volume_cm3 == pytest.approx(0.003, rel=1e-6)
    assert tiny.drawn_centroid_lps_mm == pytest.approx((2, 2, 6), abs=1e-6)
    assert not tiny.mask.voxels.any()


def test_roles_numbers_and_damage(tmp_path: Path, series: list[Dataset], pet: Volume) -> None:
    rois = {"a": [square(0, 0, 16, 6)], "b": [square(20, 20, 16, 6)]}
    organs = make_rtstruct(rois, series, interpreted_type="ORGAN")
    path = save(organs, tmp_path)[0]
    assert [segment.role for segment in read_mask(path, pet).segments] == ["context", "context"]
    asked = read_mask(path, pet, lesion_numbers=(2, 7))
    assert [segment.role for segment in asked.segments] == ["context", "lesion"]
    assert [(failed.number, failed.code) for failed in asked.failed] == [(7, "no-such-segment")]
    organs.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    organs.ROIContourSequence[1].ReferencedROINumber = 1
    content = read_mask(save(organs, tmp_path)[0], pet)
    assert {f.number: f.code for f in content.failed} == {1: "bad-contour", 2: "empty-segment"}
    del organs.StructureSetROISequence
    with pytest.raises(Unreadable, match="no ROI"):
        read_mask(save(organs, tmp_path)[0], pet)


def test_an_roi_of_another_space_costs_no_other(
    tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    dataset = make_rtstruct({"a": [square(0, 0, 16, 6)], "b": [square(0, 0, 16, 6)]}, series)
    dataset.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = uid("another")
    content = read_mask(save(dataset, tmp_path)[0], pet)
    assert [segment.label for segment in content.segments] == ["a"]
    assert content.failed[0].code == "frame-of-reference-differs"


def test_oblique_pet(tmp_path: Path) -> None:
    turned = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)
    oblique = make_pet(np.ones((8, 32, 32)), orientation=turned)
    volume, _ = read_pet(save(oblique, tmp_path / "pet"))
    kji = np.array([(3, 9.5, 9.5), (3, 9.5, 15.5), (3, 13.5, 15.5), (3, 13.5, 9.5)])
    content = drawn(tmp_path, oblique, volume, {"one": [volume.grid.to_lps_mm(kji)]})
    expected = np.zeros(volume.grid.shape, np.bool_)
    expected[3, 10:14, 10:16] = True
    assert np.array_equal(content.segments[0].mask.voxels, expected)


coordinate = st.floats(-3, 22, allow_nan=False).map(lambda value: round(value, 2) + 0.003)
polygon = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(polygon, min_size=1, max_size=3))
def test_even_odd_is_the_parity_of_crossings(polygons: list[list[tuple[float, float]]]) -> None:
    """Against a ray cast from every pixel centre, written out."""
    arrays = [np.array(each) for each in polygons]
    ours = filled(arrays, (20, 20))
    for row in range(0, 20, 3):
        for column in range(20):
            crossings = 0
            for points in arrays:
                for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
                    if (y1 > row) != (y2 > row):
                        crossings += x1 + (row - y1) * (x2 - x1) / (y2 - y1) > column
            assert ours[row, column] == crossings % 2


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 9), st.floats(1, 9), st.floats(0, 6.28), st.floats(-50, 50))
def test_area_and_centroid_of_an_ellipse(a: float, b: float, turn: float, at: float) -> None:
    t = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    x, y = a * np.cos(t), b * np.sin(t)
    points = np.column_stack((x * np.cos(turn) - y * np.sin(turn) + at,
                              x * np.sin(turn) + y * np.cos(turn) - at))  # fmt: skip
    area, centre_x, centre_y = area_and_centroid([points])
    assert area == pytest.approx(np.pi * a * b, rel=5e-3)
    assert (centre_x, centre_y) == pytest.approx((at, -at), abs=0.05)
