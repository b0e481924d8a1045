"""No SEG leaves that holds other voxels than were measured, whatever the PET's objects are."""

import numpy as np
import pytest

from engine.case import Case
from engine.describing.template import Template
from engine.errors import InvalidReport, UnusableCase
from engine.pipeline import report_case
from engine.reading.mask import read_mask
from engine.report.style import ReportStyle
from tests import makers
from tests.unit import judges

STYLE = ReportStyle(seed="abcd")


def multi_frame(images, *, files):
    """The same PET as `files` Legacy Converted Enhanced PETs of one series."""
    from highdicom.legacy import LegacyConvertedEnhancedPETImage

    each = len(images) // files
    return [
        makers.written(
            LegacyConvertedEnhancedPETImage(
                images[first : first + each],
                series_instance_uid=makers.uid("converted"),
                series_number=7,
                sop_instance_uid=makers.uid(f"converted {first}"),
                instance_number=1,
            )
        )
        for first in range(0, len(images), each)
    ]


@pytest.mark.parametrize(("files", "outcome"), [(1, None), (2, "seg-not-writable")])
def test_an_rtstruct_on_a_multi_frame_pet_is_placed_right_or_refused(tmp_path, files, outcome):
    images = makers.make_pet()
    square = [(-10, -10, 12), (6, -10, 12), (6, 6, 12), (-10, 6, 12)]
    rtstruct = makers.make_rtstruct({"GTV": [np.array(square, float)]}, images)
    pet = makers.save(multi_frame(images, files=files), tmp_path / "pet")
    case = Case(tuple(pet), (), makers.save(rtstruct, tmp_path / "mask")[0])
    if outcome is not None:
        with pytest.raises(UnusableCase) as told:
            report_case(case, Template(), STYLE)
        assert told.value.code == outcome
        return
    documents = report_case(case, Template(), STYLE)
    path = judges.write(documents.seg, tmp_path / "seg.dcm")
    [read] = read_mask(path, documents.report.scan.pet).segments
    drawn = documents.report.findings[0].lesion.segment.mask.voxels
    assert drawn.sum() == 16
    assert np.array_equal(read.mask.voxels, drawn)


def _flip_a_voxel(seg):
    seg.PixelData = bytes([seg.PixelData[0] ^ 1]) + seg.PixelData[1:]


def _swap_two_frames(seg):
    one, other = seg.PerFrameFunctionalGroupsSequence[:2]
    one.PlanePositionSequence, other.PlanePositionSequence = (
        other.PlanePositionSequence,
        one.PlanePositionSequence,
    )


def _lose_a_frame(seg):
    del seg.PerFrameFunctionalGroupsSequence[-1]
    seg.NumberOfFrames -= 1


def _move_by_a_slice(seg):
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 3


def _move_by_a_column(seg):
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[0] += 4


def _turn(seg):
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 1, 0, 0]


def _stretch(seg):
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence[0].PixelSpacing = [4, 5]


def _call_a_frame_another_segments(seg):
    frame = seg.PerFrameFunctionalGroupsSequence[0]
    frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_flip_a_voxel, "segment 1 marks other voxels of slice k=3 than were measured"),
        (_swap_two_frames, "segment 1 marks other voxels"),
        (_lose_a_frame, "segment 2 lacks slice k=4"),
        (_move_by_a_slice, "segment 1 marks other voxels of slice k=4"),
        (_move_by_a_column, "frame 1 of the SEG does not lie on a slice of the PET"),
        (_turn, "frame 1 of the SEG does not lie on a slice of the PET"),
        (_stretch, "frame 1 of the SEG does not lie on a slice of the PET"),
        (_call_a_frame_another_segments, "segment 1 lacks slice k=3"),
    ],
)
def test_a_seg_with_other_voxels_than_measured_is_held_back(tmp_path, monkeypatch, damage, told):
    from engine.report import seg as building

    def damaged(*args):
        seg = build_seg(*args)
        damage(seg)
        return seg

    build_seg = building.build_seg
    monkeypatch.setattr(building, "build_seg", damaged)

    def mask(images):
        wide, narrow = (
            [np.array([(x, x, z), (9, x, z), (9, 9, z), (x, 9, z)], float) for z in planes]
            for x, planes in ((-10, (6, 9)), (-30, (12, 15)))
        )
        wide[1][:, 0] += 8  # its two slices differ
        return makers.make_rtstruct({"a": wide, "b": narrow}, images)

    images = makers.make_pet()
    pet = makers.save(images, tmp_path / "pet")
    case = Case(tuple(pet), (), makers.save(mask(images), tmp_path / "mask")[0])
    with pytest.raises(InvalidReport, match=told):
        report_case(case, Template(), STYLE)
