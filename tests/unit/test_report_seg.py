"""The SEG that stands for an RTSTRUCT: the voxels that were measured, and no others."""

import subprocess
import sys
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.coding import Code

from engine import codes
from engine.errors import EmptySegment, UnusableCase
from engine.lesion import Segment
from engine.report import walk
from engine.report.check import groups_of, problems_of
from engine.report.group_check import segment_number
from engine.report.seg import build_seg
from engine.report.sources import tracking_uid
from engine.report.sr import build_sr
from engine.report.style import seg_uid
from engine.volume import Mask
from tests import makers
from tests.conftest import ROOT
from tests.unit import judges
from tests.unit.reports import STYLE, Study


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path, lesions=3, rtstruct=True)


def with_masks(study: Study, *masks: np.ndarray) -> Study:
    study.segments = tuple(
        replace(segment, mask=Mask(mask, study.pet.grid))
        for segment, mask in zip(study.segments, masks, strict=True)
    )
    return study


def read_back(seg, number: int, shape: tuple[int, ...], study: Study) -> np.ndarray:
    """Voxels of a segment on the PET grid, placed by position as another program does."""
    read = hd.seg.Segmentation.from_dataset(makers.written(seg))
    volume = read.get_volume(
        combine_segments=False, segment_numbers=[number], allow_missing_positions=True
    )
    voxels = np.zeros(shape, bool)
    for k, j, i, _ in np.argwhere(volume.array):
        lps = volume.affine @ [k, j, i, 1]
        voxels[tuple(np.rint(study.pet.grid.to_kji(lps[:3])).astype(int))] = True
    return voxels


def test_the_voxels_are_those_measured(study):
    rng = np.random.default_rng(1)
    shape = study.pet.grid.shape
    masks = [rng.random(shape) > 0.9 for _ in range(3)]  # they overlap
    masks[1][:3] = False
    masks[1][6:] = False
    masks[1][4] = False  # a hole in the stack of planes
    with_masks(study, *masks)
    seg = build_seg(study.report(), study.case, STYLE)
    for number, mask in enumerate(masks, start=1):
        np.testing.assert_array_equal(read_back(seg, number, shape, study), mask)


def test_the_judges_find_no_error_in_seg_and_sr(study, tmp_path):
    report = study.report()
    seg = build_seg(report, study.case, STYLE)
    sr = build_sr(report, study.case, STYLE)
    assert judges.dciodvfy_errors(judges.write(seg, tmp_path / "seg.dcm")) == []
    path = judges.write(sr, tmp_path / "sr.dcm")
    assert judges.dciodvfy_errors(path) == []
    assert judges.dsrdump_complaints(path) == []
    assert [group["ReferencedSegment"] for group in judges.tid1500_groups(path)] == [1, 2, 3]
    seg = dcmread(tmp_path / "seg.dcm")
    assert problems_of(dcmread(path), mask=seg, images=study.pet.slices, report=report) == ()


def test_segments_and_groups_agree(study):
    report = study.report()
    seg, sr = (build(report, study.case, STYLE) for build in (build_seg, build_sr))
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [1, 2, 3]
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["GTV 1", "GTV 2", "GTV 3"]
    for item, group, segment in zip(
        seg.SegmentSequence, groups_of(sr), study.segments, strict=True
    ):
        assert item.TrackingUID == tracking_uid(segment)
        assert item.TrackingUID == walk.of_type(group, "UIDREF")[0].UID
        assert segment_number(group) == item.SegmentNumber
        assert item.TrackingID == f"Lesion {segment.number}"  # 10, 20, 30: the ROI's number
    assert len({item.TrackingUID for item in seg.SegmentSequence}) == 3


def test_evidence_holds_images_then_seg_then_rtstruct(study):
    listed = [one for _, _, one in walk.evidence(build_sr(study.report(), study.case, STYLE))]
    assert listed[-2:] == [seg_uid(STYLE), study.mask.SOPInstanceUID]
    assert listed[0] == study.pet_datasets[0].SOPInstanceUID


def test_the_seg_refers_to_pet_and_rtstruct(study):
    seg = build_seg(study.report(), study.case, STYLE)
    series = {item.SeriesInstanceUID: item for item in seg.ReferencedSeriesSequence}
    assert set(series) == {study.pet.series_instance_uid, study.mask.SeriesInstanceUID}
    [reference] = series[study.mask.SeriesInstanceUID].ReferencedInstanceSequence
    assert reference.ReferencedSOPInstanceUID == study.mask.SOPInstanceUID


def test_an_rtstruct_of_another_study_is_referred_to_there(study, tmp_path):
    study.mask.StudyInstanceUID = makers.uid("elsewhere")
    case = replace(study.case, mask=makers.save(study.mask, tmp_path / "elsewhere")[0])
    seg = build_seg(study.report(), case, STYLE)
    [other] = seg.StudiesContainingOtherReferencedInstancesSequence
    assert other.StudyInstanceUID == makers.uid("elsewhere")
    assert judges.dciodvfy_errors(judges.write(seg, tmp_path / "seg.dcm")) == []


def test_an_roi_that_vanished_has_no_segment_and_no_group(study):
    empty = np.zeros(study.pet.grid.shape, bool)
    with_masks(study, study.voxels[0], empty, study.voxels[2])
    vanished = replace(study.segments[1], drawn_volume_cm3=0.0213)
    study.segments = (study.segments[0], vanished, study.segments[2])
    report = study.report()
    seg, sr = (build(report, study.case, STYLE) for build in (build_seg, build_sr))
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["GTV 1", "GTV 3"]
    assert [segment_number(group) for group in groups_of(sr)] == [1, 2]
    said = [str(item.TextValue) for item in walk.named(sr, codes.COMMENT)]
    assert any(
        'segment 20 ("GTV 2"), below-pet-resolution' in one and "0.021 cm3" in one for one in said
    )
    assert problems_of(sr, mask=seg, images=study.pet.slices, report=report) == ()


@pytest.mark.parametrize("stated", [["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"], ""])
def test_a_pet_of_any_character_set_carries_a_seg(tmp_path, stated):
    """Value 1 empty is the standard's form for Japanese and Korean (PS3.5 6.1.2.4)."""
    study = Study(tmp_path, rtstruct=True, SpecificCharacterSet=stated)
    seg = build_seg(study.report(), study.case, STYLE)
    assert seg.SpecificCharacterSet == "ISO_IR 192"
    assert seg.PatientName == study.pet_datasets[0].PatientName
    np.testing.assert_array_equal(
        read_back(seg, 1, study.pet.grid.shape, study), study.segments[0].mask.voxels
    )


@pytest.mark.parametrize("stated", [{"SliceThickness": None}, {"SliceThickness": ""}])
def test_a_pet_without_slice_thickness_carries_a_seg(study, tmp_path, stated):
    images = makers.make_pet(**stated)
    case = replace(study.case, pet=tuple(makers.save(images, tmp_path / "thin")))
    seg = build_seg(study.report(), case, STYLE)
    [measures] = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.SliceThickness == pytest.approx(study.pet.grid.spacing_mm[0])


def test_only_vanished_rois_make_no_seg(study):
    empty = np.zeros(study.pet.grid.shape, bool)
    with_masks(study, empty, empty, empty)
    with pytest.raises(EmptySegment, match="a segment with a voxel"):
        build_seg(study.report(), study.case, STYLE)


def test_the_same_inputs_give_the_same_bytes(study, tmp_path):
    report = study.report()
    one, again = (
        judges.write(build_seg(report, study.case, STYLE), tmp_path / name).read_bytes()
        for name in ("one.dcm", "again.dcm")
    )
    assert one == again


def test_context_is_neither_lesion_nor_altered_structure(study):
    context: Segment = replace(study.segments[0], role="context", label="")
    study.segments = (context, *study.segments[1:])
    seg = build_seg(study.report(), study.case, STYLE)
    first, second = seg.SegmentSequence[:2]
    category = first.SegmentedPropertyCategoryCodeSequence[0]
    assert category.CodeValue == codes.SPATIAL_CONCEPT.value
    assert first.SegmentLabel == "ROI 10"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeValue == codes.LESION.value


def test_a_stated_region_is_kept(study):
    liver = Code("10200004", "SCT", "Liver")
    study.segments = tuple(replace(one, anatomic_region=liver) for one in study.segments)
    seg = build_seg(study.report(), study.case, STYLE)
    assert seg.SegmentSequence[0].AnatomicRegionSequence[0].CodeMeaning == "Liver"


def _rewrite(paths, change):
    for path in paths:
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=True)


def test_a_pet_without_names_and_numbers_of_the_patient_makes_a_seg(study, tmp_path):
    def strip(dataset):
        del dataset.PatientBirthDate, dataset.AccessionNumber, dataset.StudyID
        dataset.PatientName = "SINGLE"  # highdicom warns of such a name, and prints it
        dataset.PatientComments = "not for a SEG"

    _rewrite(study.case.pet, strip)
    seg = build_seg(study.report(), study.case, STYLE)
    assert str(seg.PatientName) == "SINGLE"
    assert "PatientComments" not in seg
    assert judges.dciodvfy_errors(judges.write(seg, tmp_path / "seg.dcm")) == []


def test_a_pet_that_carries_no_seg_is_told_without_its_values(study):
    def break_it(dataset):
        del dataset.ImageOrientationPatient

    _rewrite(study.case.pet, break_it)
    with pytest.raises(UnusableCase, match="cannot be written as a SEG") as told:
        build_seg(study.report(), study.case, STYLE)
    assert told.value.code == "seg-not-writable"


def test_a_multiframe_pet_places_its_frames_by_number(study, tmp_path):
    """Frames of an enhanced PET need not come in the order of the planes."""
    from engine.report import seg as building

    slices = tuple(
        replace(one, sop_instance_uid="2.25.9", frame_number=8 - k)
        for k, one in enumerate(study.pet.slices)
    )
    pet = replace(study.pet, slices=slices)
    header = dcmread(study.case.pet[0])
    header.SOPInstanceUID, header.NumberOfFrames = "2.25.9", 8
    case = replace(study.case, pet=tuple(makers.save([header], tmp_path / "multi")))
    images, pixels = building._frames(pet, case, study.segments[:1])
    assert len(images) == 1
    np.testing.assert_array_equal(pixels[::-1, ..., 0].astype(bool), study.voxels[0])


def test_more_pixels_than_one_seg_is_made_of_are_refused(study, monkeypatch):
    """Counted before anything is made: three ROIs on the three slices that they touch."""
    from engine.report import seg as building

    pixels = 3 * 3 * int(np.prod(study.pet.grid.shape[1:]))
    monkeypatch.setattr(building, "MAX_PIXELS", pixels)
    assert len(build_seg(study.report(), study.case, STYLE).SegmentSequence) == 3
    monkeypatch.setattr(building, "MAX_PIXELS", pixels - 1)
    with pytest.raises(UnusableCase, match="3 ROIs on 3 PET slices") as told:
        build_seg(study.report(), study.case, STYLE)
    assert told.value.code == "seg-too-large"


MANY_ROIS = """
import resource
from types import SimpleNamespace
from engine.report.seg import MAX_PIXELS, _pixels
from engine.volume import Mask, unmarked

planes = range(512)
voxels = unmarked((512, 400, 400))
voxels[200:210, 100:130, 100:130] = True
segments = [SimpleNamespace(mask=Mask(voxels, None))] * (MAX_PIXELS // voxels.size)
before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = _pixels(segments, planes, planes, 512)
assert pixels.shape == (512, 400, 400, len(segments)) and len(segments) > 100
assert all(pixels[200:210, 100:130, 100:130, s].all() for s in (0, len(segments) - 1))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb)
"""


def test_the_largest_seg_takes_memory_for_what_is_marked_only():
    told = subprocess.run(
        [sys.executable, "-c", MANY_ROIS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(told.stdout) < 512 * 1024  # kB; all pixels as bytes are 8 GiB
