"""Uptake adjectives against liver and blood; the lesion's record in the paper's keys."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from scipy import ndimage

from engine.codes import LEFT
from engine.finding import ModelIdentity
from engine.grounding.anatomy import flags_of
from engine.grounding.record import schema_of
from engine.grounding.sites import site_of
from engine.grounding.uptake import (
    INTENSE,
    MILD,
    MODERATE,
    NONE,
    blood_reference,
    flags_of_uptake,
    grade_of,
    grades_in,
    is_fdg,
    liver_reference,
)
from engine.lesion import Lesion
from engine.volume import ImageReference, Scan
from tests.unit import labelled as made
from tests.unit.reports import ACQUISITION, REFUSAL

LIVER, BLOOD = 2.3, 1.7
CONFLICT = ("uptake-adjective",)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return made.whole_body()


@pytest.fixture(scope="module")
def organs(scan: Scan) -> list[Lesion]:
    return made.label_map(scan.pet.grid)


def lesion_with(scan: Scan, suv_max: float | None, **of_measurements: Any) -> Lesion:
    lesion = made.lesion_of(made.ball(scan.pet.grid, (84.0, -12.0, 590.0)), suv_max)
    return replace(lesion, measurements=replace(lesion.measurements, **of_measurements))


def test_references_are_those_of_the_made_body(scan: Scan, organs: list[Lesion]) -> None:
    assert liver_reference(scan, organs) == pytest.approx(LIVER, abs=1e-3)
    assert blood_reference(scan, organs) == pytest.approx(BLOOD)


@pytest.mark.parametrize(
    ("suv_max", "grade"),
    [(1.7, NONE), (1.8, MILD), (2.29, MILD), (2.31, MODERATE), (4.5, MODERATE), (4.7, INTENSE)],
)
def test_grades_by_liver_and_blood(suv_max: float, grade: int) -> None:
    assert grade_of(suv_max, LIVER, BLOOD) == grade
    assert grade_of(suv_max, LIVER, None) == max(grade, MILD)


@pytest.mark.parametrize(
    ("text", "suv_max", "expected"),
    [
        ("Intense uptake in the left lung", 12.0, ()),
        ("Intense uptake in the left lung", 3.0, ()),  # one grade off
        ("Intense uptake in the left lung", 2.0, CONFLICT),
        ("Intensely FDG-avid left lung nodule", 1.2, CONFLICT),
        ("Mild uptake", 12.0, CONFLICT),
        ("Mildly hypermetabolic nodule", 4.5, ()),
        ("Low-grade activity", 12.0, CONFLICT),
        ("Mild to moderate uptake", 12.0, ()),
        ("Moderate uptake", 12.0, ()),
        ("Moderate uptake", 1.2, CONFLICT),
        ("Non-avid nodule", 3.0, CONFLICT),
        ("Non-avid nodule", 2.0, ()),
        ("Not FDG-avid", 12.0, CONFLICT),
        ("FDG-avid nodule", 12.0, ()),  # no grade is claimed
        ("Mild wall thickening of a nodule", 12.0, ()),
        ("Low attenuation FDG-avid lesion", 12.0, ()),
        ("Not intensely avid", 1.2, ()),
        ("Not intensely avid", 3.0, ()),
        ("Intense uptake. Mild uptake in the liver.", 1.2, CONFLICT),
        ("Uptake is intense", 1.2, CONFLICT),
    ],
)
def test_two_grades_off_are_flagged(
    scan: Scan, organs: list[Lesion], text: str, suv_max: float, expected: tuple[str, ...]
) -> None:
    lesion = lesion_with(scan, suv_max)
    assert flags_of_uptake(text, lesion, scan, organs) == expected
    assert flags_of(text, site_of("uptake"), lesion, scan, organs) == expected


def test_nothing_is_judged_without_a_liver(scan: Scan, organs: list[Lesion]) -> None:
    lesion = lesion_with(scan, 1.2)
    others = [one for one in organs if one.segment.label != "liver"]
    assert flags_of_uptake("Intense uptake", lesion, scan, others) == ()
    assert flags_of_uptake("Intense uptake", lesion, scan, ()) == ()
    small = made.lesion_of(
        made.ball(scan.pet.grid, (-70.0, -15.0, 385.0), 13.0), label="liver", role="context"
    )
    assert flags_of_uptake("Intense uptake", lesion, scan, [*others, small]) == ()


def test_nothing_is_judged_without_suv_or_with_another_tracer(
    scan: Scan, organs: list[Lesion]
) -> None:
    lesion = lesion_with(scan, 1.2)
    refused = replace(scan, suv=REFUSAL)
    assert flags_of_uptake("Intense uptake", lesion, refused, organs) == ()
    assert flags_of_uptake("Intense uptake", lesion_with(scan, None), scan, organs) == ()
    psma = replace(ACQUISITION, tracer=Code("C-B1031x", "99X", "PSMA-1007"), tracer_name="FDG")
    other = replace(scan, acquisition=psma)
    assert flags_of_uptake("Intense uptake", lesion, other, organs) == ()


def test_fdg_is_known_by_code_and_else_by_name() -> None:
    assert is_fdg(ACQUISITION)
    assert is_fdg(replace(ACQUISITION, tracer=Code("C-B1031", "SRT", "FDG")))
    assert is_fdg(replace(ACQUISITION, tracer=None, tracer_name="18F-FDG"))
    assert is_fdg(replace(ACQUISITION, tracer=None, tracer_name="Fluorodeoxyglucose"))
    assert not is_fdg(replace(ACQUISITION, tracer=None, tracer_name=None))
    like = Code("1", "99X", "FDG-like")  # a code decides over the name
    assert not is_fdg(replace(ACQUISITION, tracer=like, tracer_name="FDG"))


def test_a_hot_lesion_in_the_liver_does_not_move_its_reference(
    scan: Scan, organs: list[Lesion]
) -> None:
    hot = made.ball(scan.pet.grid, (-85.0, -15.0, 390.0), 18.0)
    values = np.where(hot.voxels, np.float32(15.0), scan.pet.values)
    with_hot = replace(scan, pet=made.volume(values, scan.pet.grid))
    liver = next(one for one in organs if one.segment.label == "liver")
    assert values[liver.segment.mask.voxels].mean() > 1.05 * LIVER
    assert liver_reference(with_hot, organs) == pytest.approx(LIVER, rel=0.05)


def test_the_reference_is_mean_and_two_deviations_of_some_sphere_in_the_right_lobe(
    scan: Scan, organs: list[Lesion]
) -> None:
    """Every sphere by brute force: the evenest one is the one whose values are reported."""
    rng = np.random.default_rng(3)
    values = (scan.pet.values * (1 + 0.2 * rng.standard_normal(scan.pet.values.shape))).astype(
        np.float32
    )
    noisy = replace(scan, pet=made.volume(values, scan.pet.grid))
    liver = next(one for one in organs if one.segment.label == "liver").segment.mask.voxels
    depth_mm = ndimage.distance_transform_edt(liver) * 6.0
    at = np.argwhere(depth_mm >= 15.0)
    at = at[at[:, 2] <= np.argwhere(liver)[:, 2].mean()]
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[(steps**2).sum(axis=1) * 36.0 <= 225.0]
    samples = values[tuple((at[:, None] + steps).transpose(2, 0, 1))].astype(np.float64)
    evenest = samples[samples.std(axis=1).argmin()]
    assert len(samples) > 50
    assert liver_reference(noisy, organs) == pytest.approx(evenest.mean() + 2 * evenest.std())


@pytest.mark.parametrize(("order", "against"), made.STORAGES[::7])
def test_the_right_lobe_is_the_patients_right_in_any_storage(
    scan: Scan, organs: list[Lesion], order: tuple[int, ...], against: tuple[bool, ...]
) -> None:
    """A liver whose left half is hotter: the reference must not see it."""
    x_mm = made.centres(scan.pet.grid)[..., 0]
    liver = next(one for one in organs if one.segment.label == "liver")
    hotter_left = liver.segment.mask.voxels & (x_mm > -40.0)
    values = np.where(hotter_left, np.float32(9.0), scan.pet.values)
    stored_values, grid = made.stored(values, scan.pet.grid, order, against)
    stored_mask, _ = made.stored(liver.segment.mask.voxels, scan.pet.grid, order, against)
    mask = replace(liver.segment.mask, voxels=stored_mask, grid=grid)
    stored_liver = replace(liver, segment=replace(liver.segment, mask=mask))
    other = made.scan_of(made.volume(stored_values, grid))
    assert liver_reference(other, [stored_liver]) == pytest.approx(LIVER, abs=1e-3)


def test_the_first_graded_sentence_decides() -> None:
    assert grades_in("A nodule. Intense uptake. Mild uptake.") == (INTENSE,)
    assert grades_in("Mild to moderate uptake") == (MILD, MODERATE)
    assert grades_in("A nodule") == ()


# the record


@dataclass
class Words:
    """What a grounding gives, as far as a record reads it."""

    text: str
    site: Code | None
    laterality: Code | None
    flags: tuple[str, ...] = ()
    raw_text: str = "raw: SUV max of 99"


MODEL = ModelIdentity("petar", "1", weights_sha256="ab" * 32)


def test_a_record_has_the_papers_keys_and_measured_numbers(scan: Scan) -> None:
    text = "Intense uptake in the left upper lobe, SUV max 6.3."
    located = site_of(text)
    shown = ImageReference("1.2", "1.3", None, 86)
    lesion = lesion_with(scan, 6.25, suv_mean=4.0625, hottest_slice=shown, long_axis_mm=24.5)
    words = Words(text, located.site, located.laterality, ("laterality-conflict",))
    record = json.loads(json.dumps(schema_of(words, lesion, MODEL)))
    assert record["region"] == "Chest"
    assert record["organ"] == "Lung"
    assert record["anatomic_subsite"] == "upper lobe of lung"
    assert record["suv_max"] == 6.3
    assert record["measured"]["suv_max"] == 6.25
    assert record["measured"]["long_axis_mm"] == 24.5
    assert record["measured"]["centroid_lps_mm"] == list(lesion.measurements.centroid_lps_mm or ())
    assert "suv_peak" not in record["measured"]
    assert record["axial_slice"] == 86
    assert record["findings"] == text
    assert record["finding_site"] == {
        "code": "45653009", "scheme": "SCT", "meaning": "Upper lobe of lung"
    }  # fmt: skip
    assert record["laterality"] == {"code": LEFT.value, "scheme": "SCT", "meaning": "Left"}
    assert record["checks"] == ["laterality-conflict"]
    assert record["model"] == {"name": "petar", "version": "1", "weights_sha256": "ab" * 32}
    assert "99" not in json.dumps(record)


def test_a_record_of_words_without_a_place(scan: Scan) -> None:
    lesion = lesion_with(scan, None, suv_refusal="missing-weight")
    record = schema_of(Words("A focus.", None, None), lesion, MODEL)
    absent = ("region", "organ", "anatomic_subsite", "suv_max", "finding_site", "laterality")
    assert all(record[key] is None for key in absent)
    assert record["axial_slice"] is None
    assert record["measured"]["suv_refusal"] == "missing-weight"


def test_a_record_whose_site_the_mask_told(scan: Scan) -> None:
    lesion = lesion_with(scan, 3.0)
    record = schema_of(Words("A focus.", codes.SCT.Kidney, LEFT), lesion, MODEL)
    assert (record["region"], record["organ"]) == ("Abdomen", "Kidney")
    region_alone = schema_of(Words("In the chest.", site_of("chest").site, None), lesion, MODEL)
    assert (region_alone["region"], region_alone["anatomic_subsite"]) == ("Chest", None)
