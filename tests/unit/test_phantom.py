"""The phantom is what its formulas say: checked on its pixels, without our reading or measuring."""

import hashlib
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import integrate

from engine.cohort.anatomy import EXTENT, LESIONS, truth_of
from engine.cohort.phantom import PhantomStudy, make_study
from tests.conftest import find_peer


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_study(tmp_path_factory.mktemp("phantom"), seed=7)


@pytest.fixture(scope="module")
def suv(study: PhantomStudy) -> np.ndarray:
    """SUVbw [instance from the head, row, column] by DICOM's definitions, straight from pydicom."""
    planes = []
    for path in study.pet:
        image = dcmread(path)
        dose = image.RadiopharmaceuticalInformationSequence[0]
        started = _seconds(image.SeriesTime) - _seconds(dose.RadiopharmaceuticalStartTime)
        left_bq = dose.RadionuclideTotalDose * 2 ** (-started / dose.RadionuclideHalfLife)
        factor = image.PatientWeight * 1000 / left_bq
        planes.append(image.pixel_array * float(image.RescaleSlope) * factor)
    return np.stack(planes)


def _seconds(time: str) -> int:
    return int(time[:2]) * 3600 + int(time[2:4]) * 60 + int(time[4:6])


def _segment_voxels(study: PhantomStudy, number: int) -> list[tuple[str, np.ndarray]]:
    """(SOP Instance UID of the PET slice, its mask) of one segment, from the SEG's frames."""
    seg = dcmread(study.seg)
    frames = seg.pixel_array
    found = []
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            source = frame.DerivationImageSequence[0].SourceImageSequence[0]
            found.append((source.ReferencedSOPInstanceUID, pixels.astype(bool)))
    return found


def test_a_realistic_size(study: PhantomStudy) -> None:
    assert len(study.pet) >= 200
    assert len(study.ct) >= 200
    ct = dcmread(study.ct[0])
    assert (ct.Rows, ct.Columns) == (512, 512)
    assert len(study.lesions) == 6
    slopes = {dcmread(path, stop_before_pixels=True).RescaleSlope for path in study.pet}
    assert len(slopes) > 200  # a slope of its own for each slice


def test_lesions_are_what_the_formulas_say(study: PhantomStudy, suv: np.ndarray) -> None:
    index = {dcmread(p, stop_before_pixels=True).SOPInstanceUID: n for n, p in enumerate(study.pet)}
    first = dcmread(study.pet[0])
    voxel_cm3 = math.prod(first.PixelSpacing) * first.SliceThickness / 1000
    for lesion in study.lesions:
        inside = np.concatenate(
            [suv[index[uid]][mask] for uid, mask in _segment_voxels(study, lesion.number)]
        )
        assert inside.max() == pytest.approx(lesion.suv_max, rel=1e-3)
        assert inside.mean() == pytest.approx(lesion.suv_mean, rel=0.005)
        assert np.median(inside) == pytest.approx(lesion.suv_median, rel=0.01)
        assert inside.std() == pytest.approx(lesion.suv_sd, rel=0.01)
        assert inside.size * voxel_cm3 == pytest.approx(lesion.volume_cm3, rel=0.01)


def test_the_hottest_voxel_lies_at_the_centre(study: PhantomStudy, suv: np.ndarray) -> None:
    index = {dcmread(p, stop_before_pixels=True).SOPInstanceUID: n for n, p in enumerate(study.pet)}
    for lesion in study.lesions:
        planes = _segment_voxels(study, lesion.number)
        uid, mask = max(planes, key=lambda plane: suv[index[plane[0]]][plane[1]].max())
        image = dcmread(study.pet[index[uid]])
        row, column = np.unravel_index(np.argmax(suv[index[uid]] * mask), mask.shape)
        x0, y0, z = image.ImagePositionPatient
        dy, dx = image.PixelSpacing
        centre = (x0 + column * dx, y0 + row * dy, z)
        assert centre == pytest.approx(lesion.centre_lps_mm, abs=0.01)


@pytest.mark.parametrize("blob", LESIONS, ids=lambda blob: blob.label)
def test_closed_forms_agree_with_numerical_integration(blob) -> None:
    truth = truth_of(blob, 1, "2.25.1")

    def value(r: float) -> float:
        return blob.background_suv + blob.rise_suv * math.exp(-r * r / 2)

    def over_ball(function) -> float:
        weight = 3 / EXTENT**3
        return weight * integrate.quad(lambda r: r * r * function(r), 0, EXTENT)[0]

    mean = over_ball(value)
    assert truth.suv_mean == pytest.approx(mean, rel=1e-9)
    assert truth.suv_sd == pytest.approx(
        math.sqrt(over_ball(lambda r: (value(r) - mean) ** 2)), rel=1e-9
    )
    above = over_ball(lambda r: float(value(r) > truth.suv_median))
    assert above == pytest.approx(0.5, abs=1e-3)


def test_equal_seeds_give_equal_files(study: PhantomStudy, tmp_path: Path) -> None:
    again = make_study(tmp_path, seed=7)
    for ours, theirs in zip(study.files, again.files, strict=True):
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (ours, theirs)]
        assert digests[0] == digests[1], ours.name


def test_the_lung_nodule_is_on_the_left(study: PhantomStudy) -> None:
    nodule = study.lesions[0]
    assert "Left" in nodule.label
    assert nodule.centre_lps_mm[0] > 0  # LPS: x grows to the patient's left
    item = dcmread(study.seg).SegmentSequence[0]
    region = item.AnatomicRegionSequence[0]
    assert region.CodeMeaning == "Lung"
    assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
    assert item.TrackingUID == nodule.tracking_uid


def test_dciodvfy_finds_no_error(study: PhantomStudy) -> None:
    dciodvfy = find_peer("dciodvfy")
    for path in (study.pet[0], study.pet[-1], study.ct[0], study.seg):
        run = subprocess.run([dciodvfy, path], capture_output=True, text=True, check=False)
        assert "Error" not in run.stdout + run.stderr, run.stderr
