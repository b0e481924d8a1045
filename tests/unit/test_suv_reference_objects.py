"""Real series and digital reference objects, from files to SUV, against published values."""

import json
import tarfile
from importlib import import_module
from pathlib import Path

import nibabel
import numpy as np
import pytest

from engine.acquisition import SuvConversion
from engine.measuring.suv import suv_conversion, to_suv
from engine.reading.pet import read_pet
from engine.volume import Volume

# 0.20 / 1.00 / 4.00 each; all but the first two differ in what makes SUV software fail.
OBJECTS = ("0_0", "1_0", "2_0", "2_1", "2_4", "3_1", "3_2", "4_0", "4_2")
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def suv_of(folder: Path) -> tuple[Volume, SuvConversion]:
    volume, acquisition = read_pet(list(folder.iterdir()))
    conversion = suv_conversion(acquisition)
    assert isinstance(conversion, SuvConversion), conversion
    return to_suv(volume, conversion), conversion


def values_in(suv: Volume, mask: Path) -> np.ndarray:
    """SUV where a NIfTI mask is set, found by position, never by index."""
    image = nibabel.load(mask)
    xyz = np.argwhere(np.asarray(image.dataobj) > 0)
    lps_mm = (xyz @ image.affine[:3, :3].T + image.affine[:3, 3]) @ RAS_TO_LPS
    kji = suv.grid.to_kji(lps_mm)
    assert np.abs(kji - np.rint(kji)).max() < 1e-2
    return suv.values[tuple(np.rint(kji).astype(int).T)]


@pytest.fixture(scope="module")
def reference_objects(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suv_dro")
    with tarfile.open(data / "suv_dro" / "dro_open.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", OBJECTS)
def test_reference_object(reference_objects: Path, name: str) -> None:
    folder = reference_objects / f"DRO_{name}"
    suv, _ = suv_of(folder / "PT")
    inside = values_in(suv, folder / "mask" / "DRO_mask.nii.gz")
    assert len(inside) == 203_202
    assert inside.min() == pytest.approx(0.20, abs=0.0025)
    assert np.median(inside) == pytest.approx(1.00, abs=0.0025)
    assert inside.max() == pytest.approx(4.00, abs=0.0025)


def test_qin_head_and_neck(data: Path) -> None:
    """545 slices in 9 beds with 9 Acquisition Times: one factor for all."""
    published = json.loads((data / "qin0139" / "expected_public.json").read_text())
    suv, conversion = suv_of(data / "qin0139" / "pet")
    assert suv.values.shape == (545, 168, 168)
    assert np.ptp(conversion.factors) == 0
    assert conversion.factors[0] == pytest.approx(published["suvbw_factor"], rel=1e-6)
    assert round(float(suv.values.max())) == published["image_suvmax_round"]
    assert conversion.flags == ()


@pytest.mark.parametrize("study", ["STS_002", "STS_003", "STS_010", "STS_035"])
def test_ibsi_validation(data: Path, study: str) -> None:
    """GML with ADMIN: SUV already. Two of the four say the injection was a day after the scan."""
    published = json.loads((data / "ibsi_sts" / "expected_gtv_mass_pet.json").read_text())[study]
    suv, conversion = suv_of(data / "ibsi_sts" / study / "PET")
    assert set(conversion.factors) == {1.0}
    inside = values_in(suv, data / "ibsi_sts" / study / "PET_mask.nii.gz")
    assert len(inside) == published["n"]
    assert inside.mean(dtype=np.float64) == pytest.approx(published["mean"], rel=1e-3)
    assert inside.max() == pytest.approx(published["max"], rel=1e-3)
    assert np.median(inside) == pytest.approx(published["p50"], rel=1e-3)


def test_ge_slice(data: Path) -> None:
    _, conversion = suv_of(data / "pet_single")
    assert conversion.factors == pytest.approx(0.000331763707, abs=5e-13)
    assert conversion.rule == "GE scan date and time"
    assert conversion.flags == ("single-slice", "fewer-slices-than-stated")


def test_quadra_headers(data: Path) -> None:
    """A Ge-68 phantom: 85.74 MBq, 75 kg, half-life 271 days, 34.6 min."""
    _, conversion = suv_of(data / "quadra_headers" / "quadra_pet")
    expected = 75_000 / (85_740_000 * 0.5 ** ((34 * 60 + 37) / 23410100))
    assert conversion.factors == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2_1", "3_1", "3_2", "4_2"])
@pytest.mark.filterwarnings("ignore")
def test_mirp_gives_the_same_suv(reference_objects: Path, name: str) -> None:
    """Voxel for voxel; MIRP implements the same published manual on its own."""
    mirp = import_module("mirp")
    folder = reference_objects / f"DRO_{name}" / "PT"
    theirs = mirp.extract_images(image=str(folder), image_export_format="native")[0][0][0]
    ours, _ = suv_of(folder)
    np.testing.assert_allclose(ours.values, theirs.get_voxel_grid(), rtol=2e-6)
