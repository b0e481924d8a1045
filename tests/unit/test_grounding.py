"""A description held to a lesion: printed numbers, site, claims, flags."""

from dataclasses import replace

import numpy as np
import pytest

from engine.codes import RIGHT
from engine.finding import Description
from engine.grounding import Grounded, ground
from engine.grounding.claims import claims_of
from engine.grounding.measured import craniocaudal_mm, measured_of
from engine.grounding.numbers import grounded_numbers
from engine.lesion import Lesion, Segment
from engine.volume import ImageReference, Mask, Scan
from tests.makers import make_ct, make_pet
from tests.unit import reports

LUNG = reports.LUNG


@pytest.fixture(scope="module")
def scan() -> Scan:
    pet = reports.volume_of(make_pet(), "g/ml")
    return Scan(pet, reports.volume_of(make_ct(), "HU"), reports.ACQUISITION, reports.CONVERSION)


def lesion_in(scan: Scan, k: slice = slice(3, 6), **values: object) -> Lesion:
    """A block in slices `k`, measured as made up."""
    voxels = np.zeros(scan.pet.grid.shape, bool)
    voxels[k, 12:18, 12:18] = True
    segment = Segment(
        number=1,
        label="GTV",
        role="lesion",
        mask=Mask(voxels, scan.pet.grid),
        source_class_uid="1.2",
        source_instance_uid="1.2.3",
    )
    return Lesion(segment, reports.measured(scan.pet, **values))


def told(scan: Scan, text: str, **values: object) -> Grounded:
    return ground(Description(text), lesion_in(scan, **values), scan, ())


def test_numbers_site_and_side_of_one_description(scan: Scan) -> None:
    text = "Right upper lobe nodule, 1 x 2 cm, SUV max 99 (axial slice 7)."
    grounded = told(scan, text)
    assert grounded.text == (
        "Right upper lobe nodule, 2.5 x 1.8 cm, SUV max 8.3 (axial slice 5)."  # 24.5 mm, 8.25
    )
    assert grounded.site is not None
    assert "lobe" in grounded.site.meaning.lower()
    assert grounded.laterality == RIGHT
    assert grounded.raw_text == text
    assert [span.kind for span in grounded.spans] == ["size2", "suv", "slice"]


def test_a_site_that_the_describer_coded_stands(scan: Scan) -> None:
    given = Description("Nodule in the liver.", site=LUNG, laterality=reports.LEFT)
    grounded = ground(given, lesion_in(scan), scan, ())
    assert (grounded.site, grounded.laterality) == (LUNG, reports.LEFT)


def test_both_sides_in_one_mask_are_flagged(scan: Scan) -> None:
    assert "bilateral-claim" in told(scan, "Bilateral hilar lymph nodes, SUV max 4.").flags


def test_nothing_left_to_say_is_flagged(scan: Scan) -> None:
    assert told(scan, "").flags == ("empty-text",)
    emptied = told(scan, "35 HU.")
    assert emptied.text == ""
    assert emptied.flags == ("unverified-number", "empty-text")


def test_each_flag_is_there_once(scan: Scan) -> None:
    flags = told(scan, "Node, 35 HU, 40 HU, stable, Deauville score 4.").flags
    assert flags == ("unsupported-claim", "unverified-number")


@pytest.mark.parametrize(
    ("suv_max", "shown"),
    [
        (0.25, "0.3"),  # a tie in binary: half to even would print 0.2
        (0.75, "0.8"),
        (2.5, "2.5"),
        (1.25, "1.3"),
        (8.45, "8.4"),  # the float64 is 8.4499999...: no tie
        (0.35, "0.3"),  # 0.34999...
        (9.95, "9.9"),  # 9.949999...
        (1234.56, "1234.6"),
        (0.04, "0.0"),
    ],
)
def test_uptake_is_rounded_half_up_on_its_exact_value(
    scan: Scan, suv_max: float, shown: str
) -> None:
    assert told(scan, "SUV max 5.", suv_max=suv_max).text == f"SUV max {shown}."


@pytest.mark.parametrize(
    ("long_axis_mm", "shown"), [(12.5, "1.3"), (0.5, "0.1"), (30.59412, "3.1"), (4.0, "0.4")]
)
def test_lengths_are_rounded_half_up_in_cm(scan: Scan, long_axis_mm: float, shown: str) -> None:
    assert told(scan, "A 9 mm node.", long_axis_mm=long_axis_mm).text == f"A {shown} cm node."


def test_a_refused_uptake_takes_its_clause_along(scan: Scan) -> None:
    lesion = Lesion(lesion_in(scan).segment, reports.refused(scan.pet))
    grounded = ground(Description("Node with SUV max of 6.3, 1.2 x 1.1 cm."), lesion, scan, ())
    assert grounded.text == "Node, 2.5 x 1.8 cm."
    assert "unmeasured-number-removed" in grounded.flags


@pytest.mark.parametrize("k", [slice(2, 3), slice(3, 6), slice(0, 8)])
def test_the_third_axis_is_the_extent_along_the_patient(scan: Scan, k: slice) -> None:
    lesion = lesion_in(scan, k)
    assert craniocaudal_mm(lesion) == pytest.approx(3.0 * (k.stop - k.start))
    shown = measured_of(lesion, scan).craniocaudal_cm
    assert told_text(lesion, scan, "1 x 1 x 1 cm") == f"2.5 x 1.8 x {shown} cm"


def told_text(lesion: Lesion, scan: Scan, text: str) -> str:
    return ground(Description(text), lesion, scan, ()).text


@pytest.mark.parametrize("orientation", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_the_third_axis_does_not_depend_on_how_the_grid_lies(
    scan: Scan, orientation: tuple[int, int, int]
) -> None:
    lesion = lesion_in(scan)
    mask = lesion.segment.mask
    affine = mask.grid.affine.copy()
    affine[:3, :3] = -affine[:3, list(orientation)]
    turned = replace(
        mask,
        voxels=np.transpose(mask.voxels, orientation),
        grid=replace(
            mask.grid,
            shape=tuple(np.array(mask.grid.shape)[list(orientation)].tolist()),
            affine=affine,
        ),
    )
    other = Lesion(replace(lesion.segment, mask=turned), lesion.measurements)
    assert craniocaudal_mm(other) == pytest.approx(9.0)


def test_an_empty_mask_has_no_extent_and_no_slices(scan: Scan) -> None:
    lesion = lesion_in(scan, slice(0, 0), long_axis_mm=None, short_axis_mm=None)
    assert craniocaudal_mm(lesion) is None
    text = told_text(lesion, scan, "A 1 x 2 x 3 cm node on axial slices 3-4, 8 mL.")
    assert text == "A node, 5.1 cm3."


def test_slices_are_instance_numbers_whichever_way_they_run(scan: Scan) -> None:
    def numbered(number: int | None, one: ImageReference) -> ImageReference:
        return replace(one, instance_number=number)

    pet = scan.pet
    down = replace(pet, slices=tuple(numbered(90 - k, one) for k, one in enumerate(pet.slices)))
    turned = replace(scan, pet=down)
    lesion = lesion_in(turned)
    assert told_text(lesion, turned, "Axial slices 1-2.") == "Axial slices 85-87."
    assert told_text(lesion, turned, "Axial slice 1.") == "Axial slice 86."
    unnumbered = replace(
        scan, pet=replace(pet, slices=tuple(numbered(None, s) for s in pet.slices))
    )
    assert told_text(lesion_in(unnumbered), unnumbered, "Node (axial slices 1-2).") == "Node."
    assert told_text(lesion_in(unnumbered), unnumbered, "Node (axial slice 1).") == "Node."


@pytest.mark.parametrize("volume_cm3", [0.0312, 0.25, 13.635])
def test_volumes_have_the_decimals_of_the_report(scan: Scan, volume_cm3: float) -> None:
    shown = told(scan, "Volume 3 mm3.", volume_cm3=volume_cm3).text
    assert shown in ("Volume 0.031 cm3.", "Volume 0.25 cm3.", "Volume 13.6 cm3.")
    assert float(shown.split()[1]) == pytest.approx(volume_cm3, rel=0.01)


CLAIMS = [
    ("New hypermetabolic node.", True),
    ("Newly seen focus.", True),
    ("Node, increased in size.", True),
    ("Uptake has decreased.", True),
    ("Increased uptake compared to the prior study.", True),
    ("Resolved uptake.", True),
    ("Stable nodule.", True),
    ("Unchanged.", True),
    ("No new lesion.", True),  # a comparison all the same
    ("Interval growth.", True),
    ("Surgical clips in the axilla.", True),
    ("Biopsy-proven metastasis.", True),
    ("As on the previous examination.", True),
    ("Increased FDG uptake in the node.", False),
    ("Increased metabolic activity.", False),
    ("Decreased attenuation of the liver.", False),
    ("No prior study for comparison.", False),
    ("Without surgical clips.", False),
    *((text, True) for text in (
        "Larger than before", "Slightly smaller", "Slightly smaller in size.", "As before, avid.",
        "No significant change", "Without appreciable interval change", "It has changed.",
        "partial response to therapy", "Complete metabolic response.", "Response to chemotherapy",
        "post chemotherapy", "Post-radiation change", "status-post lobectomy", "After nephrectomy",
        "follow-up imaging", "Seen on follow up.", "has developed", "Has since appeared.",
        "since 2019", "Since March.", "Doubled in size.", "clips in the axilla", "Sutures nearby.",
        "compared to the prior scan", "Compared with 2019.",
    )),
    *((text, False) for text in (
        "compared to liver", "Compared with that of the blood pool.", "compared to the left side",
        "The larger of two nodes.", "Smaller than the other node.", "Degenerative changes.",
        "Follow-up is recommended.", "Recommend CT follow-up.", "Avid since it is inflamed.",
        "Posterior to the bladder.", "No clips.",
    )),
    ("Intense uptake in the left lung.", False),
    ("Renewed, newborn, knew.", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "is_claim"), CLAIMS, ids=[text for text, _ in CLAIMS])
def test_claims_that_one_scan_cannot_support(text: str, is_claim: bool) -> None:
    assert bool(claims_of(text, has_ct=True)) is is_claim


@pytest.mark.parametrize(
    ("text", "is_claim"),
    [
        ("Nodule on CT.", True),
        ("CT shows a nodule.", True),
        ("Sclerotic on the low-dose CT images.", True),
        ("Focus without CT correlate.", False),
        *((f"Focus on PET{joint}CT.", False) for joint in ("/", " / ", "-", " ", "", "  ")),
        *((f"Focus on PET{dash}CT.", False) for dash in "\u2010\u2011\u2012\u2013\u2014\u2212"),
        ("CT/PET shows a focus.", False),
        ("Focus on PET-CT, sclerotic on CT.", True),
        ("Avid on PET - CT shows a nodule.", True),
        ("On PET, CT shows a nodule.", True),
        ("Octreotide scan.", False),
    ],
)
def test_a_finding_on_ct_needs_a_ct(scan: Scan, text: str, is_claim: bool) -> None:
    without_ct = replace(scan, ct=None)
    assert ("unsupported-claim" in told(without_ct, text).flags) is is_claim
    assert "unsupported-claim" not in told(scan, text).flags


def test_a_grounded_text_grounds_to_itself(scan: Scan) -> None:
    text = "An 8-mm node at T9, SUV 6.3 (previously 8), image 77 of 267, 3 x 2 x 1 cm. SUV 5."
    once = told(scan, text)
    again = told(scan, once.text)
    assert again.text == once.text
    assert all(span.action in ("replaced", "kept") for span in again.spans)
    assert grounded_numbers(once.text, measured_of(lesion_in(scan), scan))[0] == once.text
