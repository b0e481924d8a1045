"""A made study written in each vendor's manner reads back as the arrays it was made from."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from engine.acquisition import SuvConversion
from engine.case import Case
from engine.cohort.body_tissues import DOTATATE, PSMA, SHORT_NAMES, TRACERS
from engine.cohort.dataset import read_dataset
from engine.cohort.record import SPLITS
from engine.cohort.world import WorldOptions, make_world_study
from engine.cohort.world_dicom import VENDORS, write_dicom
from engine.cohort.world_position import Position, Stance
from engine.errors import Unreadable
from engine.measuring.lesions import measure
from engine.pipeline.reporting import read_scan
from engine.reading.mask import read_mask
from pacsnode.cli import app, making
from tests.conftest import find_peer

OPTIONS = WorldOptions((8.0, 8.0, 8.0), (12.0, 12.0, 12.0), field="neck to pelvis", findings=(3, 5))
STANCES: tuple[tuple[str, Position, bool], ...] = (
    ("siemens", "HFS", True), ("siemens", "FFP", False), ("ge", "HFP", True),
    ("philips", "FFS", False),
)  # fmt: skip


@pytest.mark.parametrize(("vendor", "position", "rises"), STANCES)
def test_it_reads_back(
    vendor: str, position: Position, rises: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stance = Stance("neck to pelvis", position, rises)
    monkeypatch.setattr("engine.cohort.world.draw_stance", lambda rng, is_shifted: stance)
    study = make_world_study(11, OPTIONS)
    files = write_dicom(study, tmp_path, vendor)
    assert files.seg is not None
    scan, _ = read_scan(Case(files.pet, files.ct, files.seg))
    assert isinstance(scan.suv, SuvConversion)
    assert scan.ct is not None
    assert study.scan.ct is not None
    made = study.scan.pet
    kji = np.stack(np.meshgrid(*map(np.arange, made.values.shape), indexing="ij"), axis=-1)
    at = np.rint(scan.pet.grid.to_kji(made.grid.to_lps_mm(kji))).astype(int)
    read = scan.pet.values[tuple(np.moveaxis(at, -1, 0))]
    assert np.abs(read - made.values).max() < 2e-3 * made.values.max()

    content = read_mask(files.seg, scan.pet, lesion_numbers=None, fractional_threshold=0.5)
    assert [one.label for one in content.segments] == [
        f"Lesion {n}" for n in range(1, len(study.findings) + 1)
    ]
    for segment, one in zip(content.segments, study.findings, strict=True):
        assert segment.anatomic_region is None  # it names no site
        measured = measure(segment, scan)
        assert measured.volume_cm3 == pytest.approx(one.measurements.volume_cm3, rel=1e-3)
        assert measured.suv_max == pytest.approx(one.measurements.suv_max, rel=1e-3)
        assert measured.centroid_lps_mm == pytest.approx(one.measurements.centroid_lps_mm, abs=0.02)
        assert measured.hottest_slice is not None
        assert measured.hottest_slice.instance_number == one.record.measured["slice"]


def test_the_vendors_state_suv_by_different_attributes(tmp_path: Path) -> None:
    study = make_world_study(11, OPTIONS)
    headers = {
        vendor: dcmread(write_dicom(study, tmp_path / vendor, vendor).pet[0]) for vendor in VENDORS
    }
    assert headers["philips"].Units == "CNTS"
    assert headers["ge"].SeriesTime > headers["ge"].AcquisitionTime
    assert headers["siemens"].SeriesTime == headers["philips"].SeriesTime
    assert len({header.StudyInstanceUID for header in headers.values()}) == 1
    dciodvfy = find_peer("dciodvfy")
    for vendor in VENDORS:
        for kind in ("PET", "CT", "SEG"):
            first = sorted((tmp_path / vendor / kind).iterdir())[0]
            run = subprocess.run([dciodvfy, first], capture_output=True, text=True, check=False)
            assert "Error" not in run.stdout + run.stderr, run.stderr


def test_other_tracers_state_their_nuclide(tmp_path: Path) -> None:
    study = make_world_study(4, WorldOptions((8.0,) * 3, tracer=DOTATATE, field="neck to pelvis"))
    files = write_dicom(study, tmp_path, "ge")
    dose = dcmread(files.pet[0]).RadiopharmaceuticalInformationSequence[0]
    assert "68" in dose.RadionuclideCodeSequence[0].CodeMeaning
    scan, _ = read_scan(Case(files.pet, files.ct, files.seg or Path()))
    assert float(scan.pet.values.max()) == pytest.approx(study.scan.pet.values.max(), rel=1e-3)
    for path in (files.pet[0], files.ct[0], files.seg):
        assert path is not None
        assert dcmread(path).StudyDescription == "PET/CT whole body DOTATATE"


def test_an_unknown_vendor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="siemens, ge, philips"):
        write_dicom(make_world_study(11, OPTIONS), tmp_path, "acme")


def test_the_command_writes_a_study_and_its_words(tmp_path: Path) -> None:
    arguments = ["phantom", "--seed", "8", "--spacing-mm", "8", "--json"]
    run = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "a"), "--as", "ge"])
    assert run.exit_code == 0, run.output
    lines = (tmp_path / "a" / "records.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == json.loads(run.stdout)
    assert {one.name for one in (tmp_path / "a").iterdir()} >= {"PET", "CT", "records.jsonl"}
    run = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "b"), "--as", "arrays"])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "b" / "world-0000008" / "records.jsonl").is_file()


def test_the_command_takes_tracer_and_split(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        app,
        ["phantom", "--seed", "8", "--spacing-mm", "8", "--json", "--out", str(tmp_path), "--as",
         "arrays", "--tracer", "PSMA", "--split", "test"],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert {one["split"] for one in told} == {"test"}
    assert any("PSMA" in one["text"] for one in told)
    assert all("FDG" not in one["text"] for one in told)
    read = list(read_dataset(tmp_path, "test"))
    assert [one.record.text for one in read] == [one["text"] for one in told]
    assert read[0].scan.acquisition.tracer_name == PSMA


@pytest.mark.parametrize(
    ("option", "wrong"), [("--as", "png"), ("--tracer", "FES"), ("--split", "dev")]
)
def test_the_command_refuses_what_it_does_not_know(option: str, wrong: str, tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["phantom", "--out", str(tmp_path / "c"), option, wrong])
    assert run.exit_code == 2
    assert f"{option} is '{wrong}'" in run.output
    assert not (tmp_path / "c").exists()


def test_the_command_offers_what_the_world_knows() -> None:
    assert set(making.TRACERS) == set(SHORT_NAMES.values())
    assert set(SHORT_NAMES) == set(TRACERS)
    assert making.SPLITS == SPLITS
