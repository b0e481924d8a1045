"""SEG on the PET grid: every kind, every packing, against highdicom and against other programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from engine.errors import GridMismatch, Unreadable
from engine.geometry import Grid
from engine.reading.content import MaskContent
from engine.reading.mask import read_mask
from engine.reading.part10 import read_instance
from engine.reading.pet import read_pet
from engine.reading.seg_header import read_seg_header
from engine.volume import Volume
from tests.makers import make_ct, make_pet, make_seg, save, uid

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
Bool = npt.NDArray[np.bool_]

HIGHDICOM_READS = [
    "dcmqi_LABELMAP_noppv.dcm",
    "dcmqi_partial_overlaps_binary.dcm",
    "seg_image_ct_binary.dcm",
    "seg_image_ct_binary_single_frame.dcm",
    "seg_image_ct_true_fractional.dcm",
    "bitpack_23x38/seg.dcm",
]


def own_volume(path: Path) -> Volume:
    """An empty PET on the very grid that a SEG is drawn on."""
    instance = read_instance(path)
    header = read_seg_header(instance)
    first = header.frames[0].affine
    planes = [float((np.linalg.inv(first) @ frame.affine[:, 3])[0]) for frame in header.frames]
    affine = first.copy()
    affine[:3, 3] += first[:3, 0] * min(planes)
    shape = (round(max(planes) - min(planes)) + 1, *header.shape)
    grid = Grid(shape, affine, str(instance.header.FrameOfReferenceUID))
    return Volume(np.zeros((1, 1, 1), np.float32), grid, "g/ml", (), "1.2")


def voxels_by_highdicom(path: Path, grid: Grid) -> dict[int, Bool]:
    """Each segment as highdicom's volume, carried to `grid` by its affine."""
    seg = highdicom.seg.segread(path)
    volume = seg.get_volume()
    masks = {}
    for number, channel in zip(seg.segment_numbers, np.moveaxis(volume.array, -1, 0), strict=True):
        marked = np.argwhere(channel > (0.5 if channel.dtype.kind == "f" else 0))
        lps_mm = marked @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        mask = np.zeros(grid.shape, np.bool_)
        mask[tuple(np.rint(grid.to_kji(lps_mm)).astype(int).T)] = True
        masks[number] = mask
    return masks


@pytest.mark.parametrize("name", HIGHDICOM_READS)
def test_decodes_as_highdicom_does(name: str, data: Path) -> None:
    path = data / "seg_variety" / name
    volume = own_volume(path)
    content = read_mask(path, volume)
    by_highdicom = voxels_by_highdicom(path, volume.grid)
    assert not content.failed
    assert content.segments
    assert {s.number for s in content.segments} == set(by_highdicom) - {0}
    for segment in content.segments:
        assert np.array_equal(segment.mask.voxels, by_highdicom[segment.number])
        assert segment.drawn_volume_cm3 == pytest.approx(
            segment.mask.voxels.sum() * volume.grid.voxel_volume_cm3
        )


@pytest.mark.parametrize("name", ["liver_rle.dcm", "liver_nonbyte_aligned_deflate.dcm"])
def test_compressed_frames_equal_the_uncompressed_original(name: str, data: Path) -> None:
    """highdicom reads neither; pydicom carries the first frame of the same liver uncompressed."""
    (segment,) = read_mask(
        data / "seg_variety" / name, own_volume(data / "seg_variety" / name)
    ).segments
    original = get_testdata_file("liver_1frame.dcm", read=True).pixel_array.astype(np.bool_)
    planes = segment.mask.voxels
    size = planes.shape[1]
    matches = [np.array_equal(plane, original[:size, :size]) for plane in planes]
    assert matches.count(True) == 1
    assert segment.mask.voxels.sum() == 107098


def test_sparse_frames_lie_where_their_affine_says(data: Path) -> None:
    """The SEG has frames on 66 of 545 slices: by index all would be wrong."""
    pet, _ = read_pet(sorted((data / "qin0139" / "pet").iterdir()))
    (path,) = (data / "qin0139" / "seg").iterdir()
    content = read_mask(path, pet)
    oracle = voxels_by_highdicom(path, pet.grid)
    assert [segment.number for segment in content.segments] == list(range(1, 12))
    for segment in content.segments:
        assert segment.role == "lesion"
        assert segment.flags == ()
        assert np.array_equal(segment.mask.voxels, oracle[segment.number])
    site = content.segments[0].anatomic_region
    assert site is not None
    assert site.meaning == "base of tongue"


@pytest.fixture(scope="module")
def series() -> list[Dataset]:
    return make_pet(np.ones((6, 12, 10)), spacing_mm=(3.0, 4.0, 4.0))


@pytest.fixture(scope="module")
def pet(series: list[Dataset], tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return read_pet(save(series, tmp_path_factory.mktemp("pet")))[0]


def masks_on(shape: tuple[int, ...]) -> dict[str, Bool]:
    """Two overlapping blocks and an L, none symmetric."""
    first, second = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    first[1:3, 2:7, 3:5] = True
    second[2:5, 5:9, 4:8] = True
    second[4, 5, 4:8] = False
    return {"first": first, "second": second}


def written(dataset: Dataset, tmp_path: Path) -> Path:
    return save(dataset, tmp_path)[0]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("omit_empty_frames", [True, False])
def test_on_the_pet_grid_every_kind_is_an_exact_copy(
    kind: str, omit_empty_frames: bool, tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    masks = masks_on(pet.grid.shape)
    if kind == "LABELMAP":
        masks["first"] &= ~masks["second"]
    seg = make_seg(masks, series, kind=kind, omit_empty_frames=omit_empty_frames)
    content = read_mask(written(seg, tmp_path), pet)
    assert [segment.label for segment in content.segments] == ["first", "second"]
    for segment in content.segments:
        assert np.array_equal(segment.mask.voxels, masks[segment.label])
        assert segment.tracking_uid == uid(f"track seg {segment.label}")
        expected_flags = ("fractional-thresholded",) if kind == "FRACTIONAL" else ()
        assert segment.flags == expected_flags


def test_the_threshold_of_a_fractional_segment(
    tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    share = np.zeros(pet.grid.shape)
    share[2, 3, 2:8] = [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    path = written(make_seg({"one": share}, series, kind="FRACTIONAL"), tmp_path)
    for threshold, voxels in ((0.0, 6), (0.4, 4), (0.6, 3), (0.95, 1)):
        content = read_mask(path, pet, fractional_threshold=threshold)
        assert content.segments[0].mask.voxels.sum() == voxels


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_rle_frames_of_whole_bytes(
    kind: str, tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    masks = {"first": masks_on(pet.grid.shape)["first"]}
    seg = make_seg(masks, series, kind=kind)
    seg.compress(RLELossless)
    content = read_mask(written(seg, tmp_path), pet)
    assert np.array_equal(content.segments[0].mask.voxels, masks["first"])


@pytest.mark.parametrize(
    "orientation",
    [
        (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),  # sagittal
        (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),  # coronal
        (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),  # axial, seen from the other side
        (0.8, 0.6, 0.0, -0.6, 0.8, 0.0),  # turned about the body axis
        (0.96, 0.0, 0.28, 0.0, 1.0, 0.0),  # tilted
    ],
)
def test_any_orientation_is_placed_by_nearest_centre(
    orientation: tuple[float, ...], tmp_path: Path, pet: Volume
) -> None:
    """Against the rule written out for every PET voxel."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    centre = pet.grid.to_lps_mm((2.5, 5.5, 4.5))
    origin = centre - 13 * 2.1 * row - 14 * 2.1 * column - 9 * 2.5 * normal
    drawn_on = make_ct(
        np.zeros((19, 29, 27)), spacing_mm=(2.5, 2.1, 2.1), origin_lps_mm=tuple(origin),
        orientation=orientation,
    )  # fmt: skip
    mask = np.zeros((19, 29, 27), np.bool_)
    mask[5:13, 8:20, 9:22] = True
    mask[7, 10:14, 12:15] = False
    content = read_mask(written(make_seg({"one": mask}, drawn_on), tmp_path), pet)
    stated = np.array(drawn_on[0].ImagePositionPatient, float)
    axes = np.column_stack((normal * 2.5, column * 2.1, row * 2.1))
    index = np.linalg.solve(axes, (pet.grid.to_lps_mm(
        np.moveaxis(np.indices(pet.grid.shape), 0, -1).reshape(-1, 3)) - stated).T).T  # fmt: skip
    nearest = np.floor(np.round(index, 4) + 0.5).astype(int)
    held = ((nearest >= 0) & (nearest < mask.shape)).all(axis=1)
    expected = np.zeros(len(index), np.bool_)
    expected[held] = mask[tuple(nearest[held].T)]
    expected = expected.reshape(pet.grid.shape)
    assert expected.sum() > 20
    ours = content.segments[0].mask.voxels
    near_border = np.abs(index - np.floor(index) - 0.5).min(axis=1) < 1e-3
    assert np.array_equal(ours.ravel()[~near_border], expected.ravel()[~near_border])
    assert content.segments[0].drawn_volume_cm3 == pytest.approx(
        mask.sum() * 2.5 * 2.1**2 / 1000, rel=1e-6
    )


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(6)))
def test_the_order_of_frames_changes_no_mask(
    order: list[int], tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    seg = make_seg(masks_on(pet.grid.shape), series)
    groups = list(seg.PerFrameFunctionalGroupsSequence)
    order = [index for index in order if index < len(groups)]
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: len(groups) * 120].reshape(len(groups), 120)
    order += [index for index in range(len(groups)) if index not in order]
    seg.PerFrameFunctionalGroupsSequence = [groups[index] for index in order]
    packed = np.packbits(frames[order].ravel(), bitorder="little").tobytes()
    seg.PixelData = packed + b"\0" * (len(packed) % 2)
    content = read_mask(written(seg, tmp_path), pet)
    masks = masks_on(pet.grid.shape)
    for segment in content.segments:
        assert np.array_equal(segment.mask.voxels, masks[segment.label])


def on_fine_ct(marks: dict[str, tuple[Any, ...]], tmp_path: Path) -> Path:
    """A SEG on a CT of 1 mm voxels that reaches 40 mm beyond the PET on one side."""
    ct = make_ct(
        np.zeros((16, 60, 90)), spacing_mm=(1.0, 1.0, 1.0), origin_lps_mm=(-60.5, -60.0, -1.0)
    )
    masks = {}
    for label, block in marks.items():
        masks[label] = np.zeros((16, 60, 90), np.bool_)
        masks[label][block] = True
    return written(make_seg(masks, ct), tmp_path)


def test_fine_segments_keep_a_reason_and_a_place(tmp_path: Path, pet: Volume) -> None:
    marks = {
        "large": np.s_[2:9, 5:25, 5:25],
        "vanishing": np.s_[5:6, 10:11, 11:12],
        "half out": np.s_[2:9, 5:25, 30:50],
        "outside": np.s_[2:9, 5:25, 60:80],
        "empty": np.s_[0:0, 0:0, 0:0],
    }
    content = read_mask(on_fine_ct(marks, tmp_path), pet)
    assert {segment.label: segment.flags for segment in content.segments} == {
        "large": (),
        "vanishing": ("below-pet-resolution",),
        "half out": ("partly-outside-pet",),
    }
    assert {failed.label: failed.code for failed in content.failed} == {
        "outside": "outside-pet",
        "empty": "empty-segment",
    }
    vanishing = content.segments[1]
    assert vanishing.drawn_volume_cm3 == pytest.approx(0.001)
    assert vanishing.drawn_centroid_lps_mm == pytest.approx((-49.5, -50.0, 4.0))
    assert not vanishing.mask.voxels.any()
    large = content.segments[0]
    assert large.mask.voxels.sum() * 0.048 == pytest.approx(2.8, rel=0.25)


def test_another_space_is_a_mismatch(tmp_path: Path, series: list[Dataset], pet: Volume) -> None:
    elsewhere = make_pet(np.ones((6, 12, 10)), frame_of_reference="other")
    path = written(make_seg(masks_on(pet.grid.shape), elsewhere), tmp_path)
    with pytest.raises(GridMismatch, match="frame of reference"):
        read_mask(path, pet)
    with pytest.raises(Unreadable, match="neither"):
        read_mask(written(series[0], tmp_path), pet)


def test_one_bad_segment_costs_no_other(tmp_path: Path, series: list[Dataset], pet: Volume) -> None:
    seg = make_seg(masks_on(pet.grid.shape), series)
    first = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    second = seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    second.ImagePositionPatient = first.ImagePositionPatient
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    bits[120:240] = 0
    bits[150:160] = 1
    seg.PixelData = np.packbits(bits, bitorder="little").tobytes()
    content = read_mask(written(seg, tmp_path), pet, lesion_numbers=(2,))
    assert [(failed.number, failed.code) for failed in content.failed] == [(1, "duplicate-frame")]
    assert [(s.number, s.role) for s in content.segments] == [(2, "lesion")]


def shared_item(seg: Dataset, keyword: str) -> Dataset:
    item: Dataset = seg.SharedFunctionalGroupsSequence[0][keyword].value[0]
    return item


def without(group: Dataset, keyword: str) -> None:
    delattr(group, keyword)


LIES: dict[str, Callable[[Dataset], object]] = {
    "frames": lambda seg: setattr(seg, "NumberOfFrames", 2**31 - 1),
    "rows": lambda seg: setattr(seg, "Rows", 65535),
    "size": lambda seg: (setattr(seg, "Rows", 65535), setattr(seg, "Columns", 65535)),
    "truncated": lambda seg: setattr(seg, "PixelData", seg.PixelData[:20]),
    "absent": lambda seg: without(seg, "PixelData"),
    "bits": lambda seg: setattr(seg, "BitsAllocated", 32),
    "kind": lambda seg: setattr(seg, "SegmentationType", "SURFACE"),
    "segments": lambda seg: without(seg, "SegmentSequence"),
    "groups": lambda seg: without(seg, "PerFrameFunctionalGroupsSequence"),
    "position": lambda seg: without(
        seg.PerFrameFunctionalGroupsSequence[1], "PlanePositionSequence"
    ),
    "number": lambda seg: without(
        seg.PerFrameFunctionalGroupsSequence[0], "SegmentIdentificationSequence"
    ),
    "orientation": lambda seg: setattr(
        shared_item(seg, "PlaneOrientationSequence"), "ImageOrientationPatient", [1, 0, 0] * 2
    ),
    "spacing": lambda seg: setattr(
        shared_item(seg, "PixelMeasuresSequence"), "PixelSpacing", [0, 0]
    ),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("implicit", [False, True])
def test_lies_are_refused_by_name(
    lie: str, implicit: bool, tmp_path: Path, series: list[Dataset], pet: Volume
) -> None:
    seg = make_seg(masks_on(pet.grid.shape), series)
    if implicit:
        seg.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        plain = tmp_path / "implicit.dcm"
        seg.save_as(plain, implicit_vr=True, little_endian=True, enforce_file_format=True)
        seg = dcmread(plain)
    LIES[lie](seg)
    with pytest.raises((Unreadable, GridMismatch)) as refused:
        read_mask(written(seg, tmp_path), pet)
    assert refused.value.code not in ("", "engine-error")
    assert str(seg.SOPInstanceUID) in str(refused.value)


def test_doubled_and_unknown_numbers(tmp_path: Path, series: list[Dataset], pet: Volume) -> None:
    seg = make_seg(masks_on(pet.grid.shape), series)
    seg.SegmentSequence[1].SegmentNumber = 1
    content: MaskContent = read_mask(written(seg, tmp_path), pet)
    assert [failed.code for failed in content.failed] == ["duplicate-number"] * 2
    assert content.flags == ("frame-of-unknown-segment",)
