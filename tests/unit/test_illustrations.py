"""Key images and PDF of a kept report: valid, the same again, and no more than the SR says."""

import subprocess
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from highdicom import Image
from pydicom import dcmread

from engine import codes
from engine.errors import UnusableCase
from engine.finding import ModelIdentity
from engine.lesion import Segment
from engine.pipeline.redrawing import report_of
from engine.report import illustrations, slices
from engine.report.illustrations import encapsulated_pdf, key_image_uid, key_images, pdf_of
from engine.report.page import colour_of, lesions_of
from engine.report.seg import build_seg
from engine.report.slices import slice_pages
from engine.report.sr import build_sr
from engine.volume import Mask
from pacsnode.showing.projection_child import figure_of
from tests import makers
from tests.conftest import peer_path
from tests.unit import judges
from tests.unit.reports import REFUSAL, STYLE, Study, measured, refused
from tests.unit.test_picture import texts


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("pictures"), lesions=3)


@pytest.fixture(scope="module")
def sr(study):
    return build_sr(study.report(), study.case, STYLE)


@pytest.fixture(scope="module")
def report(study, sr):
    return report_of(sr, study.case)


@pytest.fixture(scope="module")
def images(report, sr):
    return list(key_images(report, sr))


STATED = (
    "suv_max", "suv_mean", "suv_peak", "volume_cm3", "long_axis_mm", "short_axis_mm",
    "total_lesion_glycolysis_g", "hottest_slice_contour",
)  # fmt: skip

# the report again


def test_a_report_is_told_again_as_its_document_has_it(study, report):
    before = study.report()
    assert [one.lesion.segment.number for one in report.findings] == [1, 2, 3]
    for again, was in zip(report.findings, before.findings, strict=True):
        for name in STATED:
            assert getattr(again.lesion.measurements, name) == getattr(
                was.lesion.measurements, name
            )
        assert again.lesion.measurements.hottest_slice == replace(
            was.lesion.measurements.hottest_slice, instance_number=None
        )
        assert (again.lesion.segment.mask.voxels == was.lesion.segment.mask.voxels).all()
        assert again.description.site == was.description.site
        assert again.description.text.startswith(was.description.text)
    assert (report.model.name, report.model.version) == ("template", "1")
    assert not report.model.is_demonstration


def test_a_structure_set_is_told_by_its_rois_and_the_seg_that_was_made_of_it(tmp_path):
    study = Study(tmp_path, lesions=2, rtstruct=True)
    before = study.report()
    seg = build_seg(before, study.case, STYLE)
    sr = build_sr(before, study.case, STYLE)
    (path,) = makers.save(seg, tmp_path / "seg")
    again = report_of(sr, replace(study.case, mask=path))
    assert [one.lesion.segment.number for one in again.findings] == [10, 20]
    assert [one.lesion.segment.role for one in again.findings] == ["lesion", "lesion"]


def test_editable_groups_and_context_are_told_by_their_words(tmp_path):
    study = Study(tmp_path, lesions=2)
    segments = (study.segments[0], replace(study.segments[1], role="context"))
    study.segments = segments
    model = ModelIdentity("petar", "0", "ab" * 32, is_demonstration=True)
    editable = replace(STYLE, tracking_identifier="editable")
    sr = build_sr(study.report(model=model), study.case, editable)
    again = report_of(sr, study.case)
    assert [(one.lesion.segment.role, one.lesion.segment.number) for one in again.findings] == [
        ("lesion", 1), ("context", 2),
    ]  # fmt: skip
    assert again.model.is_demonstration


def test_a_seg_without_the_segments_of_the_report_is_named(study, sr, tmp_path):
    one = makers.make_seg({"GTV 1": study.voxels[0]}, study.pet_datasets)
    (path,) = makers.save(one, tmp_path / "one")
    with pytest.raises(UnusableCase, match="holds no segment 2"):
        report_of(sr, replace(study.case, mask=path))


@pytest.mark.parametrize("flag", ["VERIFIED", "UNVERIFIED"])
def test_the_picture_of_a_web_page_is_drawn_from_the_document(study, sr, tmp_path, flag):
    told = deepcopy(sr)
    told.VerificationFlag = flag
    errand = {
        "sr": str(judges.write(told, tmp_path / "sr.dcm")), "pet": [*map(str, study.case.pet)],
        "mask": str(study.case.mask), "fractional_threshold": 0.5,
    }  # fmt: skip
    words = texts(figure_of(errand))
    assert any(one.startswith(f"{flag}. ") for one in words)
    assert sum(one in ("1", "2", "3") for one in words) >= 3


# the key images


def test_the_judges_find_no_error_in_a_key_image(images, tmp_path):
    for number, image in enumerate(images):
        path = judges.write(image, tmp_path / f"{number}.dcm")
        assert judges.dciodvfy_errors(path) == []
        read = Image.from_dataset(dcmread(path))
        pixels = read.get_stored_frame(1)
        assert pixels.shape == (image.Rows, image.Columns, 3)
        assert np.ptp(pixels, axis=-1).max() > 100  # outlines have colours


def test_projections_come_first_and_slices_after(images, sr, study):
    assert len(images) == 2
    assert [image.InstanceNumber for image in images] == [1, 2]
    assert [image.SOPInstanceUID for image in images] == [
        key_image_uid(sr.SOPInstanceUID, number) for number in (1, 2)
    ]
    assert len({image.SeriesInstanceUID for image in images} - {sr.SeriesInstanceUID}) == 1
    assert all(image.BurnedInAnnotation == "YES" for image in images)
    referred = [
        {item.ReferencedSOPInstanceUID for item in image.SourceImageSequence} for image in images
    ]
    pet = {one.SOPInstanceUID for one in study.pet_datasets}
    ct = {one.SOPInstanceUID for one in study.ct_datasets}
    assert referred[0] == pet
    assert referred[1] & pet == {study.pet_datasets[4].SOPInstanceUID}
    assert len(referred[1] & ct) == 1
    for image in images:
        (reference,) = image.ReferencedInstanceSequence
        assert reference.ReferencedSOPInstanceUID == sr.SOPInstanceUID
        (purpose,) = reference.PurposeOfReferenceCodeSequence
        assert purpose.CodeValue == codes.ILLUSTRATED_REPORT.value


def test_the_same_report_gives_the_same_pictures_again(report, sr, images):
    for one, other in zip(images, key_images(report, sr), strict=True):
        assert one.PixelData == other.PixelData
        assert one.to_json() == other.to_json()


@pytest.fixture(scope="module")
def pages(report, sr):
    return [page.figure for page in illustrations.pages_of(report, sr)]


def test_no_picture_names_the_patient_and_all_say_that_none_verified_them(pages):
    for figure in pages:
        said = texts(figure)
        assert "Phantom" not in " ".join(said)
        assert "MADE-1" not in " ".join(said)
        assert any(each.startswith("UNVERIFIED. Numbers measured") for each in said)


def test_a_verified_demonstration_says_both_on_every_page(report, sr):
    told = replace(report, model=replace(report.model, is_demonstration=True))
    document = dcmread_copy(sr)
    document.VerificationFlag = "VERIFIED"
    for page in illustrations.pages_of(told, document):
        said = texts(page.figure)
        assert any(each.startswith("VERIFIED. Numbers measured") for each in said)
        assert any(each.startswith("DEMONSTRATION.") for each in said)


def dcmread_copy(sr):
    return type(sr).from_json(sr.to_json())


def test_frames_of_a_multi_frame_pet_are_named(study, report, sr):
    framed = tuple(
        replace(one, sop_instance_uid="2.25.9", frame_number=k + 1)
        for k, one in enumerate(study.pet.slices)
    )
    told = replace(report, scan=replace(report.scan, pet=replace(report.scan.pet, slices=framed)))
    first = next(key_images(told, sr))
    (item,) = first.SourceImageSequence
    assert list(item.ReferencedFrameNumber) == [one.frame_number for one in framed]


# the slices


def test_every_lesion_has_a_slice_with_its_number_and_numbers(study):
    (page,) = slice_pages(study.report())
    said = texts(page.figure)
    assert said.count("SUVmax 8.3    5.1 cm3    2.5 x 1.8 cm") == 3
    for number in ("1", "2", "3"):
        assert said.count(number) >= 2  # at the outline and in the caption
    assert said.count("PET on CT") == 3


def test_of_few_lesions_pet_and_ct_are_seen_alone_as_well(tmp_path):
    study = Study(tmp_path, lesions=1)
    (page,) = slice_pages(study.report())
    assert [said for said in texts(page.figure) if said in ("PET on CT", "PET", "CT")] == [
        "PET on CT", "PET", "CT",
    ]  # fmt: skip


def test_without_a_ct_or_an_suv_the_pet_is_drawn_alone(tmp_path):
    study = Study(tmp_path, lesions=2, with_ct=False, suv=REFUSAL)
    (page,) = slice_pages(study.report(refused(study.pet)))
    said = texts(page.figure)
    assert sum(each.startswith("no SUV    5.1 cm3") for each in said) == 2
    assert "PET on CT" not in said


def test_the_outline_of_a_slice_lies_where_the_lesion_is(study):
    """The panel is centred on the outline of the report; R is the patient's right."""
    (page,) = slice_pages(study.report(measured(study.pet)))
    axes = page.figure.axes[0]
    for contour in axes.collections:
        points = np.concatenate([path.vertices for path in contour.get_paths()])
        low, high = points.min(axis=0), points.max(axis=0)
        assert (high - low).min() > 0
    drawn = [path for one in axes.collections for path in one.get_paths() if len(path.vertices)]
    x = [float(path.vertices[:, 0].mean()) for path in drawn]
    assert x == sorted(x)  # lesion 1 is the most to the patient's right: columns grow to the left


def test_a_lesion_has_the_colour_of_the_projections_on_its_slice(tmp_path):
    """The second has no voxel on the PET: no slice, but a place among the colours."""
    study = Study(tmp_path, lesions=3)
    second = study.segments[1]
    empty = Mask(np.zeros_like(second.mask.voxels), second.mask.grid)
    study.segments = (study.segments[0], replace(second, mask=empty), study.segments[2])
    (page,) = slice_pages(study.report())
    captions = {said.get_text(): said.get_color() for said in page.figure.texts}
    assert (captions["1"], captions["3"]) == (colour_of(0), colour_of(2))


def test_a_mask_is_cut_where_it_is_marked_and_found_again(study):
    segment: Segment = study.segments[0]
    crop = slices._Crop(segment, colour_of(0))
    k, j, i = (int(each.mean()) for each in np.nonzero(segment.mask.voxels))
    x, y, z = study.pet.grid.to_lps_mm((k, j, i))
    on = crop.on(slices.Plane(x, y, z, 100.0))
    assert on.values[slices.SAMPLES // 2, slices.SAMPLES // 2] > 0.5
    assert crop.on(slices.Plane(x, y, z + 1000, 100.0)) is None


def test_many_lesions_end_with_a_word_of_those_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(slices, "MOST_PAGES", 1)
    study = Study(tmp_path, lesions=8)
    (page,) = slice_pages(study.report())
    assert any("; 2 more in the report" in said for said in texts(page.figure))
    assert len(lesions_of(study.report())) == 8


# the PDF


def test_the_judges_find_no_error_in_the_pdf(report, sr, tmp_path):
    document = encapsulated_pdf(report, sr)
    path = judges.write(document, tmp_path / "pdf.dcm")
    assert judges.dciodvfy_errors(path) == []
    pdf = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF")
    assert document.MIMETypeOfEncapsulatedDocument == "application/pdf"
    sources = [item.ReferencedSOPInstanceUID for item in document.SourceInstanceSequence]
    assert sources[0] == sr.SOPInstanceUID
    assert len(sources) > 8
    program = peer_path("pdftotext")
    if program is not None:
        (tmp_path / "pages.pdf").write_bytes(pdf)
        done = subprocess.run(
            [program, str(tmp_path / "pages.pdf"), "-"], capture_output=True, text=True, check=True
        )
        assert "UNVERIFIED" in done.stdout


def test_a_pdf_is_the_same_bytes_again(pages, report, sr):
    again = [page.figure for page in illustrations.pages_of(report, sr)]
    assert pdf_of(pages) == pdf_of(again)
