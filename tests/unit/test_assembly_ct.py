"""Which CT goes with a mask and its PET: cover, references, kernel, time, thickness; no refusal."""

from typing import Any

import pytest

from pacsnode.assembly import Assessment, assess
from pacsnode.assembly.kernels import SHARP, SOFT, UNKNOWN, kernel_rank
from pacsnode.settings import Assembly
from storage.records import Instance, Series
from tests.unit.assembly_records import (
    CT,
    PET,
    candidates,
    make_images,
    make_instance,
    make_rtstruct,
    make_seg,
    refer_to,
)

RULES = Assembly()
PET_IMAGES = make_images(PET, "pet", slices=40, AcquisitionTime="100000")


def judged(*cts: Instance, mask: Instance | None = None, rules: Assembly = RULES) -> Assessment:
    drawn = mask or make_seg(on=PET_IMAGES[10:20])
    return assess(drawn, candidates(*PET_IMAGES, *cts), quiet=True, rules=rules)


def chosen_ct(found: Assessment) -> str | None:
    assert found.state == "ready", found.reasons
    return found.ct.series_instance_uid if found.ct else None


def series_of(images: tuple[Instance, ...]) -> str:
    return images[0].series_instance_uid


def ct(name: str, **fields: Any) -> tuple[Instance, ...]:
    return make_images(CT, name, **({"slices": 40} | fields))


def only(images: tuple[Instance, ...]) -> Series:
    (series,) = candidates(*images)
    return series


def test_without_ct_it_is_reported_and_says_so() -> None:
    found = judged()
    assert chosen_ct(found) is None
    assert found.flags == ("no-ct",)
    assert "It is reported without CT." in found.reasons


@pytest.mark.parametrize(
    "short",
    [
        {"slices": 15},
        {"slices": 10, "first_mm": 60.0},
        {"slices": 3, "first_mm": 300.0},
    ],
)
def test_a_ct_must_cover_the_mask(short: dict[str, Any]) -> None:
    """The short one is better in every other way."""
    near = ct("near", **short, AcquisitionTime="100000", ConvolutionKernel="B30f")
    far = ct("far", AcquisitionTime="080000", ConvolutionKernel="B70f")
    assert chosen_ct(judged(*near, *far)) == series_of(far)
    alone = judged(*near)
    assert chosen_ct(alone) is None
    assert any("does not cover the mask" in reason for reason in alone.reasons)


def test_a_ct_may_end_half_a_slice_early() -> None:
    mask = make_seg(on=PET_IMAGES[10:20])  # 30 to 57 mm
    barely = ct("barely", spacing_mm=2.0, slices=15, first_mm=28.4)  # to 56.4 mm: 57.4 with half
    short = ct("short", spacing_mm=2.0, slices=14, first_mm=28.4)  # to 54.4 mm: 55.4 with half
    assert chosen_ct(judged(*barely, mask=mask)) == series_of(barely)
    assert chosen_ct(judged(*short, mask=mask)) is None


def test_contours_tell_how_far_an_rtstruct_reaches() -> None:
    mask = make_rtstruct(extent_lps_mm=(0.0, 0.0, 30.0, 10.0, 10.0, 57.0))
    low, high = ct("low", slices=10), ct("high", slices=20, first_mm=27.0)
    assert chosen_ct(judged(*low, *high, mask=mask)) == series_of(high)


def test_a_body_contour_beyond_the_pet_asks_of_the_ct_only_what_the_pet_holds() -> None:
    mask = make_rtstruct(extent_lps_mm=(0.0, 0.0, -500.0, 10.0, 10.0, 900.0))
    whole, part = ct("whole"), ct("part", slices=30, ConvolutionKernel="B30f")
    found = judged(*part, *whole, mask=mask)
    assert chosen_ct(found) == series_of(whole)
    assert any("it covers more of the PET" in reason for reason in found.reasons)


def test_a_mask_on_every_slice_of_the_pet_does_not_turn_a_slightly_shorter_ct_away() -> None:
    frames = tuple(
        {"PlanePositionSequence": ({"ImagePositionPatient": (-50.0, -50.0, 3.0 * k)},)}
        for k in range(40)
    )
    shared = ({"PlaneOrientationSequence": ({"ImageOrientationPatient": (1, 0, 0, 0, 1, 0)},)},)
    dense = make_seg(
        on=PET_IMAGES,
        NumberOfFrames=40,
        PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=shared,
    )
    shorter = ct("shorter", slices=38)
    assert chosen_ct(judged(*shorter, mask=dense)) == series_of(shorter)
    sparse = make_seg(
        on=PET_IMAGES,
        NumberOfFrames=4,
        PerFrameFunctionalGroupsSequence=frames[36:],
        SharedFunctionalGroupsSequence=shared,
    )
    assert chosen_ct(judged(*shorter, mask=sparse)) is None


def test_where_nothing_tells_the_extent_a_ct_must_at_least_meet_the_pet() -> None:
    blind = make_seg()
    assert chosen_ct(judged(*ct("away", first_mm=500.0), mask=blind)) is None
    assert chosen_ct(judged(*ct("here", slices=20), mask=blind)) is not None


def test_the_order_of_preferences() -> None:
    """Each is worse than the one before it only in the criterion that comes before its own."""
    drawn_on = ct("drawn on", ConvolutionKernel="B80f", AcquisitionTime="050000")
    referred = ct("referred", ConvolutionKernel="B80f", AcquisitionTime="060000")
    preferred = ct(
        "preferred",
        ConvolutionKernel="B80f",
        AcquisitionTime="070000",
        SeriesDescription="Thorax plain",
    )
    soft = ct("soft", ConvolutionKernel="B30f", AcquisitionTime="080000")
    unknown = ct("unknown", AcquisitionTime="095900")
    sharp_near = ct("near", ConvolutionKernel="B70f", AcquisitionTime="095900")
    sharp_far = ct("far", ConvolutionKernel="B70f", AcquisitionTime="090000", SliceThickness=1.0)
    order = [drawn_on, referred, preferred, soft, unknown, sharp_near, sharp_far]
    pet = make_images(
        PET, "pet", slices=40, AcquisitionTime="100000", references=refer_to(referred[:1])
    )
    mask = make_seg(on=(*pet[10:20], *drawn_on[10:20]))
    rules = Assembly(ct_preference=("plain",))
    for rank, expected in enumerate(order):
        images = [image for series in reversed(order[rank:]) for image in series]
        found = assess(mask, candidates(*images, *pet), quiet=True, rules=rules)
        assert chosen_ct(found) == series_of(expected)


def test_the_pets_referenced_image_sequence_points_to_its_ct() -> None:
    one, two = ct("one", ConvolutionKernel="B30f"), ct("two", ConvolutionKernel="B80f")
    item = {"ReferencedSOPInstanceUID": two[0].sop_instance_uid}
    pet = make_images(PET, "pet", slices=40, ReferencedImageSequence=(item,))
    found = assess(make_seg(on=pet), candidates(*pet, *one, *two), quiet=True, rules=RULES)
    assert chosen_ct(found) == series_of(two)


def test_thickness_comes_last_and_a_tie_is_broken_by_uid() -> None:
    thin, thick = ct("thin", SliceThickness=1.0), ct("thick", SliceThickness=3.0)
    assert chosen_ct(judged(*thick, *thin)) == series_of(thin)
    twins = ct("twin a"), ct("twin b")
    first = min(series_of(one) for one in twins)
    assert chosen_ct(judged(*twins[0], *twins[1])) == first
    assert chosen_ct(judged(*twins[1], *twins[0])) == first


@pytest.mark.parametrize(
    ("fields", "clause"),
    [
        ({"frame_of_reference_uid": "1.2.3.8"}, "not in the PET's frame of reference"),
        ({"frame_of_reference_uid": None}, "not in the PET's frame of reference"),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "it is a localizer"),
        ({"ImageType": ("DERIVED", "SECONDARY", "MPR")}, "it is a reformat"),
        ({"ImageType": ("DERIVED", "SECONDARY", "AXIAL", "MIP THICK")}, "it is a projection"),
        ({"ImagePositionPatient": (0.0, 0.0, 5.0)}, "more than one slice"),
        ({"ImagePositionPatient": ()}, "no position or orientation"),
    ],
)
def test_a_ct_that_cannot_serve_is_passed_over_by_name(fields: dict[str, Any], clause: str) -> None:
    odd, good = ct("odd", ConvolutionKernel="B30f", **fields), ct("good", ConvolutionKernel="B80f")
    found = judged(*odd, *good)
    assert chosen_ct(found) == series_of(good)
    assert any(clause in reason and series_of(odd) in reason for reason in found.reasons)
    assert chosen_ct(judged(*odd)) is None


def test_a_ct_with_a_gap_gives_way_to_one_without() -> None:
    better = ct("better", ConvolutionKernel="B30f")
    worse = ct("worse", ConvolutionKernel="B80f")
    assert chosen_ct(judged(*better, *worse)) == series_of(better)
    assert chosen_ct(judged(*better[:20], *better[21:], *worse)) == series_of(worse)


def test_a_ct_of_another_patient_in_the_study_refuses_the_case() -> None:
    theirs = ct("theirs", patient_id_digest="somebody else")
    found = judged(*theirs, *ct("mine"))
    assert (found.state, found.code) == ("refused", "patient-mismatch")
    assert any("another patient" in reason for reason in found.reasons)
    away = ct("away", patient_id_digest="somebody else", study_instance_uid="1.2.9")
    mine = ct("mine")
    assert chosen_ct(judged(*away, *mine)) == series_of(mine)
    named = make_seg(on=(*PET_IMAGES[:3], *away[:3]))
    assert judged(*away, *mine, mask=named).code == "patient-mismatch"


def test_pet_and_ct_are_compared_even_where_the_mask_names_no_patient() -> None:
    nobody = make_seg(on=PET_IMAGES[10:20], patient_id_digest=None, patient_name_digest=None)
    theirs = ct("theirs", patient_id_digest="somebody else")
    assert judged(*theirs, mask=nobody).code == "patient-mismatch"
    unstated = ct("unstated", patient_id_digest=None, patient_name_digest=None)
    assert judged(*unstated).flags == ("patient-unverified",)


@pytest.mark.parametrize(
    ("kernel", "rank"),
    [
        ("B30f", SOFT),
        (("Br38f", "3"), SOFT),
        (("I31f", "2"), SOFT),
        ("B70f", SHARP),
        ("Bl57d", SHARP),
        ("STANDARD", SOFT),
        ("SOFT", SOFT),
        ("LUNG", SHARP),
        ("BONEPLUS", SHARP),
        ("B", SOFT),
        ("YB", SHARP),
        ("FC08", SOFT),
        ("FC52", SHARP),
        ("XYZG=7.00", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_kernels(kernel: object, rank: int) -> None:
    assert kernel_rank(only((make_instance(CT, "ct", ConvolutionKernel=kernel),))) == rank


@pytest.mark.parametrize(
    ("description", "is_attenuation"),
    [
        ("AC CT 3.0  SWB HD_FoV", True),
        ("CTAC 3.75", True),
        ("WB_CT_AC", True),
        ("ACCT", True),
        ("Attenuation Corr", True),
        ("ACCESSORY SPLEEN", False),
        ("THORACIC", False),
        ("CT CARDIAC", False),
    ],
)
def test_descriptions_of_attenuation_cts(description: str, is_attenuation: bool) -> None:
    image = make_instance(CT, "ct", SeriesDescription=description, ConvolutionKernel="B80f")
    assert kernel_rank(only((image,))) == (SOFT if is_attenuation else SHARP)
