"""The phantom world: seeds, sides, anatomy, numbers and words that belong together."""

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from engine.cohort.body_tissues import DOTATATE, FDG, PSMA
from engine.cohort.dataset import read_dataset, read_regions
from engine.cohort.world import WorldOptions, WorldStudy, make_world_study, write_arrays
from engine.cohort.world_images import as_pet
from engine.cohort.world_places import places
from engine.cohort.world_position import FIELDS
from engine.evaluating.facts import facts_in
from engine.grounding.midline import side_in_body
from engine.grounding.uptake import liver_reference
from engine.lesion import Lesion, Measurements, Segment
from engine.volume import Mask

COARSE = (7.0, 7.0, 7.0)
HOME = WorldOptions(spacing_mm=COARSE)
SHIFTED = WorldOptions(spacing_mm=COARSE, is_shifted=True)


@pytest.fixture(scope="module")
def studies() -> list[WorldStudy]:
    home = [make_world_study(seed, HOME) for seed in range(10)]
    return [*home, *(make_world_study(seed, SHIFTED) for seed in range(6))]


def region_of(study: WorldStudy, name: str) -> np.ndarray:
    number = next(n for n, one in study.region_names.items() if one == name)
    return study.scan.pet.grid.to_lps_mm(np.argwhere(study.regions == number))


def test_equal_seeds_give_equal_studies(studies: list[WorldStudy]) -> None:
    again = make_world_study(3, HOME)
    assert again.records == studies[3].records
    assert np.array_equal(again.scan.pet.values, studies[3].scan.pet.values)
    assert again.scan.ct is not None
    assert studies[3].scan.ct is not None
    assert np.array_equal(again.scan.ct.values, studies[3].scan.ct.values)
    for ours, theirs in zip(again.findings, studies[3].findings, strict=True):
        assert np.array_equal(ours.mask.voxels, theirs.mask.voxels)
    texts = {tuple(record.text for record in one.records) for one in studies}
    assert len(texts) == len(studies)
    assert all(texts)  # none without a finding


def test_another_process_makes_the_same(studies: list[WorldStudy]) -> None:
    code = (
        "from engine.cohort.world import *;"
        "w = make_world_study(3, WorldOptions(spacing_mm=(7.0, 7.0, 7.0)));"
        "import zlib; print(zlib.crc32(w.scan.pet.values.tobytes()), w.records[0].text)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = zlib.crc32(studies[3].scan.pet.values.tobytes())
    assert run.stdout.strip() == f"{expected} {studies[3].records[0].text}"


def test_most_findings_that_are_tried_for_come_about() -> None:
    options = WorldOptions(spacing_mm=COARSE, findings=(8, 8), field="vertex to thighs")
    found = [len(make_world_study(seed, options).findings) for seed in range(100, 104)]
    assert np.mean(found) > 6.5


def test_sides_are_the_patients_in_every_position(studies: list[WorldStudy]) -> None:
    checked = 0
    for study in studies:
        for one in study.findings:
            centre = one.measurements.centroid_lps_mm
            assert centre is not None
            if one.record.laterality is None:
                continue
            assert (centre[0] > 0) == (one.record.laterality == "left"), one.record
            side = side_in_body(study.scan, centre)  # our own check of words against the body
            if side is not None:
                checked += 1
                assert side == (codes.SCT.Left if centre[0] > 0 else codes.SCT.Right)
    assert checked > 20
    assert {study.stance.position for study in studies} == {"HFS", "HFP", "FFS", "FFP"}
    assert {study.stance.rises for study in studies} == {True, False}


def test_words_and_records_agree(studies: list[WorldStudy]) -> None:
    for record in (record for study in studies for record in study.records):
        said = facts_in(record.text)
        assert (said.site, said.organ) == (record.site, record.organ_group), record.text
        assert (said.uptake, said.interpretation) == (record.uptake, record.interpretation)
        assert str(record.measured["slice"]) in record.text


def test_numbers_are_those_of_the_voxels(studies: list[WorldStudy]) -> None:
    for study in studies:
        pet = study.scan.pet
        for one in study.findings:
            values = pet.values[one.mask.voxels]
            measured = one.record.measured
            assert measured["suv_max"] == pytest.approx(float(values.max()))
            assert measured["volume_cm3"] == pytest.approx(len(values) * 0.343)
            k = np.argwhere(one.mask.voxels & (pet.values == values.max()))[0][0]
            assert pet.slices[k].instance_number == measured["slice"]


def test_an_outline_is_near_what_was_put_in(studies: list[WorldStudy]) -> None:
    for one in (one for study in studies for one in study.findings if not one.tumour.organ):
        centre = one.measurements.centroid_lps_mm
        away = np.linalg.norm(np.subtract(centre, one.tumour.shape.centre_mm))
        assert away < 7 + 0.6 * max(one.tumour.shape.radii_mm), one.record
        put_in_cm3 = 4 / 3 * np.pi * np.prod(one.tumour.shape.radii_mm) / 1000
        assert 0.1 < one.measurements.volume_cm3 / put_in_cm3 < 3.5, one.record
        assert put_in_cm3 <= 40.01


def test_anatomy_is_where_it_belongs(studies: list[WorldStudy]) -> None:
    study = next(one for one in studies if one.stance.field == "vertex to thighs")
    names = set(study.region_names.values())
    for name in ("kidney", "lower lobe of lung", "femoral head", "parotid gland", "rib"):
        left, right = region_of(study, f"left {name}"), region_of(study, f"right {name}")
        assert left[:, 0].min() > 0 > right[:, 0].max()
    liver = region_of(study, "liver")
    assert 0.8 < len(liver) * 0.343 / 1000 < 2.6  # litres
    assert liver[:, 0].mean() < 0 < region_of(study, "spleen")[:, 0].mean()
    order = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)]
    order += [f"L{n}" for n in range(1, 6)]
    heights = [region_of(study, f"{name} vertebra")[:, 2].mean() for name in order]
    assert heights == sorted(heights, reverse=True)
    for higher, lower in (("brain", "larynx"), ("larynx", "heart"), ("heart", "liver"),
                          ("liver", "urinary bladder")):  # fmt: skip
        assert region_of(study, higher)[:, 2].mean() > region_of(study, lower)[:, 2].mean()
    assert len(names) > 100


def test_a_whole_organ_keeps_the_activity_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def noted(uptake: np.ndarray, *others: Any) -> np.ndarray:
        seen.append(uptake.copy())
        return as_pet(uptake, *others)

    organs = tuple(place for place in places() if place.kind == "organ")
    monkeypatch.setattr("engine.cohort.world.places", lambda: organs)
    monkeypatch.setattr("engine.cohort.world.as_pet", noted)
    found = set()
    for seed in range(4):
        for wanted in ((0, 0), (2, 2)):
            options = WorldOptions(COARSE, findings=wanted, field="vertex to thighs")
            study = make_world_study(seed, options)
            found |= {record.site for record in study.records}
        assert all(np.array_equal(one, seen[0]) for one in seen)
        seen.clear()
    assert found == {"heart", "urinary bladder"}


def test_the_grades_refer_to_the_liver_that_a_report_would(studies: list[WorldStudy]) -> None:
    study = next(one for one in studies if one.stance.field == "vertex to thighs")
    number = next(n for n, one in study.region_names.items() if one == "liver")
    mask = Mask(study.regions == number, study.scan.pet.grid)
    segment = Segment(99, "liver", "context", mask, "", "", property_type=codes.SCT.Liver)
    reference = liver_reference(study.scan, [Lesion(segment, Measurements(volume_cm3=1.0))])
    assert reference is not None
    assert study.liver_suv == pytest.approx(reference, rel=0.15)
    for record in study.records:
        suv_max = record.measured["suv_max"]
        told = {"mild": 0, "moderate": 1, "intense": 2}[record.uptake or ""]
        assert told == int(suv_max > study.liver_suv) + int(suv_max > 2 * study.liver_suv)


def test_tracers_differ_where_they_should() -> None:
    means = {}
    for tracer in (FDG, PSMA, DOTATATE):
        study = make_world_study(
            5, WorldOptions(COARSE, tracer=tracer, field="vertex to thighs", findings=(1, 1))
        )
        numbers = {name: number for number, name in study.region_names.items()}
        for site in ("left frontal lobe", "spleen", "left parotid gland"):
            means[tracer, site] = study.scan.pet.values[study.regions == numbers[site]].mean()
    assert means[FDG, "left frontal lobe"] > 4 > 1 > means[PSMA, "left frontal lobe"]
    assert means[DOTATATE, "spleen"] > 2 * means[FDG, "spleen"]
    assert means[PSMA, "left parotid gland"] > 2 * means[FDG, "left parotid gland"]


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_of_view_can_be_made(field: str) -> None:
    study = make_world_study(2, WorldOptions((8.0, 8.0, 8.0), field=field))
    assert study.stance.field == field
    assert float(study.scan.pet.values.max()) > 1


def test_written_arrays_are_read_back(studies: list[WorldStudy], tmp_path: Path) -> None:
    write_arrays(studies[0], tmp_path)
    write_arrays(studies[1], tmp_path)
    read = list(read_dataset(tmp_path))
    made = [*studies[0].findings, *studies[1].findings]
    assert [one.record for one in read] == [one.record for one in made]
    for ours, theirs in zip(made, read, strict=True):
        assert np.array_equal(ours.mask.voxels, theirs.mask.voxels)
    assert np.array_equal(read[0].scan.pet.values, studies[0].scan.pet.values)
    regions = read_regions(tmp_path / studies[0].study_id)
    assert regions is not None
    assert np.array_equal(regions.labels, studies[0].regions)
