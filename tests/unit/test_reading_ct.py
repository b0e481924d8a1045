"""CT from files to Hounsfield units."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from engine.errors import GridMismatch, MissingQuantity, Unreadable
from engine.reading.ct import read_ct
from engine.reading.pet import read_pet
from engine.volume import Volume
from tests.makers import make_ct, save, uid, written

HU = np.random.default_rng(5).integers(-1000, 1500, (5, 6, 7)).astype(float)


def test_hounsfield_units(tmp_path: Path) -> None:
    made = make_ct(HU, spacing_mm=(1.5, 0.9, 0.8))
    ct = read_ct(save(made, tmp_path)[::-1])
    assert np.array_equal(ct.values, HU)
    assert (ct.unit, ct.values.dtype) == ("HU", np.float32)
    assert ct.grid.spacing_mm == pytest.approx((1.5, 0.9, 0.8))
    assert [s.sop_instance_uid for s in ct.slices] == [d.SOPInstanceUID for d in made]


def test_each_slice_by_its_own_rescale(tmp_path: Path) -> None:
    made = make_ct(HU)
    made[2].RescaleSlope, made[2].RescaleIntercept = "2", "-2000"
    ct = read_ct(save(made, tmp_path))
    assert np.array_equal(ct.values[2], (HU[2] + 1024) * 2 - 2000)
    assert np.array_equal(ct.values[3], HU[3])


def test_unsigned_with_unused_bits(tmp_path: Path) -> None:
    made = make_ct(HU, PixelRepresentation=0, BitsStored=12, HighBit=11)
    for dataset in made:
        marked = np.frombuffer(dataset.PixelData, "<u2") | 0x8000
        dataset.PixelData = marked.astype("<u2").tobytes()
    assert np.array_equal(read_ct(save(made, tmp_path)).values, HU)


def test_a_tilted_gantry_is_a_sheared_grid(tmp_path: Path) -> None:
    """The planes are not square to the table: positions step sideways, evenly."""
    made = make_ct(HU)
    for k, dataset in enumerate(made):
        dataset.ImagePositionPatient = [-60, -60 + 0.5 * k, 3 * k]
    grid = read_ct(save(made, tmp_path)).grid
    assert grid.to_lps_mm((4, 0, 0)) == pytest.approx((-60, -58, 12))
    assert grid.voxel_volume_cm3 == pytest.approx(0.048)


def test_legacy_converted_ct(tmp_path: Path) -> None:
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    made = make_ct(HU)
    converted = LegacyConvertedEnhancedCTImage(
        made,
        series_instance_uid=uid("converted"),
        series_number=7,
        sop_instance_uid=uid("converted ct"),
        instance_number=1,
    )
    ct = read_ct(save(written(converted), tmp_path / "converted"))
    classic = read_ct(save(made, tmp_path / "classic"))
    assert np.array_equal(ct.values, classic.values)
    assert ct.grid.coincides(classic.grid)
    assert {each.sop_class_uid for each in ct.slices} == {"1.2.840.10008.5.1.4.1.1.2.2"}


@pytest.mark.parametrize("stated", ["Z_EFF", "MGML", "ED", "PCT"])
def test_a_ct_of_another_unit_is_not_hounsfield(tmp_path: Path, stated: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        read_ct(save(make_ct(HU, RescaleType=stated), tmp_path))
    assert refusal.value.code == "not-hu"


@pytest.mark.parametrize("stated", ["HU", "US", "", None])
def test_a_ct_that_states_no_other_unit_is_hounsfield(tmp_path: Path, stated: str | None) -> None:
    ct = read_ct(save(make_ct(HU, RescaleType=stated), tmp_path))
    assert np.array_equal(ct.values, HU)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_without_a_rescale_it_is_not_hounsfield(tmp_path: Path, keyword: str) -> None:
    paths = save(make_ct(HU, **{keyword: None}), tmp_path)
    with pytest.raises(MissingQuantity) as refusal:
        read_ct(paths)
    assert refusal.value.keyword == keyword


def test_another_image_is_not_taken_for_ct(tmp_path: Path) -> None:
    paths = save(make_ct(HU, SOPClassUID=MRImageStorage), tmp_path)
    with pytest.raises(Unreadable) as refusal:
        read_ct(paths)
    assert refusal.value.code == "not-ct"


def test_a_modality_lut_is_refused(tmp_path: Path) -> None:
    paths = save(make_ct(HU, ModalityLUTSequence=[Dataset()]), tmp_path)
    with pytest.raises(Unreadable) as refusal:
        read_ct(paths)
    assert refusal.value.code == "modality-lut"


def test_a_localizer_among_the_slices_is_refused(tmp_path: Path) -> None:
    made = make_ct(HU)
    made[0].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    paths = save(made, tmp_path)
    with pytest.raises(GridMismatch) as refusal:
        read_ct(paths)
    assert refusal.value.code == "mixed-orientation"


@pytest.mark.parametrize("kind", ["CT", "PET"])
@pytest.mark.parametrize("study", ["STS_002", "STS_035"])
def test_real_series_as_simpleitk_reads_them(data: Path, study: str, kind: str) -> None:
    """Another reader (GDCM's): every value, and where the corners lie."""
    import SimpleITK

    folder = data / "ibsi_sts" / study / kind
    read: Callable[[list[Path]], Volume] = (
        read_ct if kind == "CT" else lambda paths: read_pet(paths)[0]
    )
    ours = read(list(folder.iterdir()))
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    theirs = SimpleITK.ReadImage(names, SimpleITK.sitkFloat64)
    np.testing.assert_allclose(ours.values, SimpleITK.GetArrayFromImage(theirs), rtol=1e-6)
    for k, j, i in ((0, 0, 0), (10, 20, 30), tuple(n - 1 for n in ours.grid.shape)):
        there = theirs.TransformIndexToPhysicalPoint((i, j, k))
        assert ours.grid.to_lps_mm((k, j, i)) == pytest.approx(there, abs=0.01)


def test_real_quadra_ct(data: Path) -> None:
    ct = read_ct(list((data / "quadra_headers" / "quadra_ct").iterdir()))
    assert ct.grid.shape == (4, 512, 512)
    assert ct.grid.spacing_mm == pytest.approx((2.0, 1.5234375, 1.5234375))
