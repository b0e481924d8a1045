"""Measurements against the analytic phantoms, by docs/reference/measurements.md."""

import json
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.acquisition import PetAcquisition, SuvConversion, SuvRefusal
from engine.errors import EmptySegment, GridMismatch, UnusableCase
from engine.geometry import Grid
from engine.lesion import Measurements, Segment
from engine.measuring.lesions import measure
from engine.volume import ImageReference, Mask, Scan, Volume

# name, volume ml, max, (k, j, i), mean, TLG g, peak, long mm, short mm: quantification tables.
PHANTOMS = [
    ("gauss_iso3", 13.635, 9.840321, (20, 19, 20), 5.782388, 78.842865, 8.72952, 30.594, 24.475),
    (
        "gauss_aniso",
        13.485999,
        9.750632,
        (20, 15, 15),
        5.799006,
        78.205388,
        8.63517,
        32.836,
        24.627,
    ),
    ("gauss_small", 0.912337, 6.279920, (10, 12, 12), 4.137128, 3.774454, 3.58173, 12.879, 12.879),
    ("sphere_r15", 14.328, 4.0, None, 4.0, 57.312, 4.0, 31.048, 31.048),
    ("single_voxel", 0.064, 5.0, (8, 8, 8), 5.0, 0.32, 1.25641, 4.0, 4.0),
    ("edge_of_image", 5.346, 10.0, (1, 20, 20), 6.046145, 32.322692, 8.53445, 27.0, 27.0),
]


def axial_grid(shape: tuple[int, ...], spacing_kji: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Grid:
    """k towards the head, j to the back, i to the left; the first voxel at the origin."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing_kji, 1.0
    return Grid((shape[0], shape[1], shape[2]), affine, "1.2.3")


def scan_of(
    values: npt.ArrayLike, grid: Grid, suv: SuvConversion | SuvRefusal | None = None
) -> Scan:
    """A scan whose PET holds `values`; slice k is instance 2.25.k."""
    array = np.asarray(values, np.float32)
    slices = tuple(ImageReference("1.1", f"2.25.{k}", None, k + 1) for k in range(len(array)))
    nothing: Any = dict.fromkeys(PetAcquisition.__dataclass_fields__)
    return Scan(
        pet=Volume(array, grid, "g/ml", slices, "1.2"),
        ct=None,
        acquisition=PetAcquisition(**nothing),
        suv=suv or SuvConversion(np.ones(len(array)), "bw", "stated"),
    )


def segment_of(voxels: npt.ArrayLike, grid: Grid, **attributes: Any) -> Segment:
    return Segment(
        **{"number": 1, "label": "one", "role": "lesion", **attributes},
        mask=Mask(np.asarray(voxels, np.bool_), grid),
        source_class_uid="1.1",
        source_instance_uid="1.3",
    )


def phantom_lesion(data: Path, name: str) -> Measurements:
    """Our measurements of one phantom; its index is (i, j, k) at (x, y, z) = spacing x index."""
    folder = data / "phantoms"
    (facts,) = [p for p in json.loads((folder / "phantoms.json").read_text()) if p["name"] == name]
    suv, mask = (
        np.asarray(nibabel.load(folder / f"{name}_{what}.nii.gz").dataobj).transpose(2, 1, 0)
        for what in ("suv", "mask")
    )
    grid = axial_grid(suv.shape, tuple(reversed(facts["spacing"])))
    return measure(segment_of(mask > 0, grid), scan_of(suv, grid))


@pytest.mark.parametrize("expected", PHANTOMS, ids=lambda expected: expected[0])
def test_phantoms_are_measured_as_computed(expected: tuple[Any, ...], data: Path) -> None:
    name, volume, maximum, hottest, mean, tlg, peak, long_mm, short_mm = expected
    ours = phantom_lesion(data, name)
    assert ours.volume_cm3 == pytest.approx(volume, rel=1e-5)
    assert ours.suv_max == pytest.approx(maximum, rel=1e-5)
    assert ours.suv_mean == pytest.approx(mean, rel=1e-5)
    assert ours.total_lesion_glycolysis_g == pytest.approx(tlg, rel=1e-5)
    assert ours.suv_peak == pytest.approx(peak, rel=1e-3)
    assert ours.long_axis_mm == pytest.approx(long_mm, abs=1e-3)
    assert ours.short_axis_mm == pytest.approx(short_mm, abs=1e-3)
    assert hottest in (None, ours.hottest_voxel_kji)
    assert ("single-voxel" in ours.flags) == (name == "single_voxel")
    assert ("peak-at-image-edge" in ours.flags) == (name == "edge_of_image")


def test_population_sd_and_median(data: Path) -> None:
    ours = phantom_lesion(data, "gauss_iso3")
    assert ours.suv_sd == pytest.approx(1.477233, rel=1e-5)
    assert ours.suv_median == pytest.approx(5.433354, rel=1e-5)


@pytest.mark.parametrize(("towards_head", "slice_k"), [(1.0, 3), (-1.0, 1)])
def test_of_equal_maxima_the_most_cranial_then_lowest_row_wins(
    towards_head: float, slice_k: int
) -> None:
    grid = axial_grid((5, 6, 7), (towards_head, 1.0, 1.0))
    values = np.zeros(grid.shape)
    values[1:4, 2:5, 2:5] = 1.0
    values[[1, 3, 3, 3], [4, 4, 2, 2], [4, 2, 3, 4]] = 9.0
    ours = measure(segment_of(values > 0, grid), scan_of(values, grid))
    assert ours.hottest_voxel_kji == ((3, 2, 3) if slice_k == 3 else (1, 4, 4))
    assert ours.hottest_slice == ImageReference("1.1", f"2.25.{slice_k}", None, slice_k + 1)


def test_the_contour_holds_the_hottest_voxel_and_closes() -> None:
    grid = axial_grid((3, 12, 12))
    mask = np.zeros(grid.shape, np.bool_)
    mask[1, 1:3, 1:3] = True
    mask[1, 5:10, 6:10] = True
    mask[1, 7, 8] = False  # a hole
    values = np.ones(grid.shape)
    values[1, 6, 7] = 8.0
    contour = np.array(measure(segment_of(mask, grid), scan_of(values, grid)).hottest_slice_contour)
    assert contour[0].tolist() == contour[-1].tolist()
    # Pixel (column 6, row 5) has its centre at (6.5, 5.5): half a pixel around the part's centres.
    assert contour.min(axis=0).tolist() == [6.0, 5.0]
    assert contour.max(axis=0).tolist() == [10.0, 10.0]
    assert len(contour) == 9  # four sides with their corners cut


def test_parts_that_touch_at_a_corner_are_one_and_others_are_not() -> None:
    grid = axial_grid((1, 30, 30))
    mask = np.zeros(grid.shape, np.bool_)
    mask[0, 2:5, 2:5] = mask[0, 5:8, 5:8] = True
    touching = measure(segment_of(mask, grid), scan_of(mask, grid))
    assert touching.long_axis_mm == pytest.approx(np.hypot(6, 5))
    mask[0, 20:28, 20] = True  # 8 pixels high, apart from the others
    apart = measure(segment_of(mask, grid), scan_of(mask, grid))
    assert apart.long_axis_mm == pytest.approx(8.0)
    assert apart.short_axis_mm == pytest.approx(1.0)


def test_refused_suv_leaves_the_geometry() -> None:
    grid = axial_grid((4, 8, 8), (3.0, 4.0, 4.0))
    values = np.zeros(grid.shape)
    values[1:3, 2:6, 2:6] = 700.0
    values[2, 3, 4] = 900.0
    refusal = SuvRefusal("missing-weight", "PatientWeight (0010,1030) is absent")
    ours = measure(segment_of(values > 0, grid), scan_of(values, grid, refusal))
    assert ours.suv_refusal == "missing-weight"
    assert (ours.suv_max, ours.suv_peak, ours.suv_mean, ours.suv_median, ours.suv_sd) == (None,) * 5
    assert ours.total_lesion_glycolysis_g is None
    assert ours.volume_cm3 == pytest.approx(32 * 0.048)
    assert ours.centroid_lps_mm == pytest.approx((14.0, 14.0, 4.5))
    assert ours.hottest_voxel_kji == (2, 3, 4)
    assert len(ours.hottest_slice_contour) > 4
    assert ours.long_axis_mm is not None


def test_a_segment_below_pet_resolution_keeps_its_drawn_size() -> None:
    grid = axial_grid((4, 8, 8), (3.0, 4.0, 4.0))
    vanished = segment_of(
        np.zeros(grid.shape), grid, flags=("below-pet-resolution",), drawn_volume_cm3=0.008,
        drawn_centroid_lps_mm=(17.0, 10.0, 7.4),
    )  # fmt: skip
    ours = measure(vanished, scan_of(np.ones(grid.shape), grid))
    assert (ours.volume_cm3, ours.suv_refusal) == (0.008, "below-pet-resolution")
    assert (ours.suv_max, ours.long_axis_mm, ours.hottest_voxel_kji) == (None, None, None)
    assert ours.hottest_slice is not None
    assert ours.hottest_slice.sop_instance_uid == "2.25.2"
    assert np.mean(ours.hottest_slice_contour[:-1], axis=0).tolist() == [4.5, 2.5]


def test_an_empty_or_foreign_mask_is_refused() -> None:
    grid = axial_grid((4, 8, 8))
    scan = scan_of(np.ones(grid.shape), grid)
    with pytest.raises(EmptySegment):
        measure(segment_of(np.zeros(grid.shape), grid), scan)
    with pytest.raises(GridMismatch):
        measure(segment_of(np.ones((4, 8, 9)), axial_grid((4, 8, 9))), scan)
    fine = axial_grid((4, 8, 8), (0.01, 1.0, 1.0))
    with pytest.raises(UnusableCase, match="peak"):
        measure(segment_of(np.ones(fine.shape), fine), scan_of(np.ones(fine.shape), fine))


boxes = st.tuples(*[st.tuples(st.integers(0, 9), st.integers(1, 6)) for _ in range(3)])


@settings(max_examples=20, deadline=None)
@given(boxes, st.integers(0, 2**32 - 1), st.integers(2, 60000), st.text(max_size=20))
def test_relabelling_changes_no_number(
    box: tuple[tuple[int, int], ...], seed: int, number: int, label: str
) -> None:
    grid = axial_grid((12, 12, 12), (3.0, 2.0, 4.0))
    rng = np.random.default_rng(seed)
    mask = np.zeros(grid.shape, np.bool_)
    mask[tuple(slice(start, start + length) for start, length in box)] = True
    scan = scan_of(rng.gamma(2.0, size=grid.shape), grid)
    first = measure(segment_of(mask, grid), scan)
    again = measure(segment_of(mask, grid, number=number, label=label, role="context"), scan)
    assert first == again
    assert first.suv_max is not None
    assert first.suv_mean is not None
    assert first.suv_peak is not None
    assert first.suv_mean <= first.suv_max * (1 + 1e-12)
    assert first.suv_peak <= scan.pet.values.max() * (1 + 1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.5, 9.0), min_size=3, max_size=3),
    st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3),
    st.lists(st.floats(-500.0, 500.0), min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_volume_is_voxels_times_voxel_volume(
    spacing: list[float], angles: list[float], origin: list[float], seed: int
) -> None:
    affine = np.eye(4)
    for axis, angle in enumerate(angles):
        turn = np.eye(4)
        u, v = [n for n in range(3) if n != axis]
        turn[u, u] = turn[v, v] = np.cos(angle)
        turn[u, v], turn[v, u] = -np.sin(angle), np.sin(angle)
        affine = affine @ turn
    affine[:3, :3] *= spacing
    affine[:3, 3] = origin
    grid = Grid((5, 6, 7), affine, "1.2.3")
    rng = np.random.default_rng(seed)
    mask = rng.random(grid.shape) < 0.3
    mask[2, 3, 4] = True
    ours = measure(segment_of(mask, grid), scan_of(rng.random(grid.shape), grid))
    assert ours.volume_cm3 == pytest.approx(mask.sum() * np.prod(spacing) / 1000, rel=1e-9)
    assert ours.centroid_lps_mm is not None
    truth = np.mean([affine[:3, :3] @ kji + affine[:3, 3] for kji in np.argwhere(mask)], axis=0)
    assert ours.centroid_lps_mm == pytest.approx(tuple(truth), abs=1e-9)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(3.0, 2.0, 4.0), (1.5, 5.0, 2.5)]))
def test_peak_equals_a_dense_sampling_of_every_sphere(
    seed: int, spacing: tuple[float, float, float]
) -> None:
    """The slow way: every sub-sample of every sphere of every voxel, on its own."""
    grid = axial_grid((7, 8, 9), spacing)
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, size=grid.shape).astype(np.float32)
    mask = rng.random(grid.shape) < 0.05
    mask[3, 4, 4] = True
    radius = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
    steps = [(np.arange(-20 * 8, 20 * 8 + 20) - 10 + 0.5) / 20 * s for s in spacing]
    steps = [step[np.abs(step) <= radius] for step in steps]
    z, y, x = np.meshgrid(*steps, indexing="ij")
    inside = z**2 + y**2 + x**2 <= radius**2
    offsets = np.stack([np.rint(a[inside] / s) for a, s in zip((z, y, x), spacing, strict=True)], 1)
    offsets, counts = np.unique(offsets.astype(int), axis=0, return_counts=True)
    means = []
    for centre in np.argwhere(mask):
        kji = centre + offsets
        held = ((kji >= 0) & (kji < grid.shape)).all(axis=1)
        means.append(np.average(values[tuple(kji[held].T)], weights=counts[held]))
    ours = measure(segment_of(mask, grid), scan_of(values, grid))
    assert ours.suv_peak == pytest.approx(max(means), rel=1e-6)


def test_a_hundred_lesions_are_quick() -> None:
    grid = axial_grid((400, 200, 200), (3.0, 4.0, 4.0))
    scan = scan_of(np.random.default_rng(1).gamma(2.0, size=grid.shape), grid)
    mask = np.zeros(grid.shape, np.bool_)
    mask[100:112, 50:60, 70:81] = True
    began = time.perf_counter()
    for number in range(1, 101):
        measure(segment_of(mask, grid, number=number), scan)
    assert time.perf_counter() - began < 30.0  # about one second on a free machine
