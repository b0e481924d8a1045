"""Which PET a mask belongs to: links in order, gates, kinds, preferences, ties."""

from typing import Any

import pytest

from pacsnode.assembly import Assessment, assess
from pacsnode.settings import Assembly
from storage.records import Instance, Reference
from tests.unit.assembly_records import (
    CT,
    ENHANCED_PET,
    PET,
    candidates,
    make_images,
    make_instance,
    make_rtstruct,
    make_seg,
    refer_to,
)

RULES = Assembly()


def judged(mask: Instance, *images: Instance, rules: Assembly = RULES) -> Assessment:
    return assess(mask, candidates(*images), quiet=True, rules=rules)


def chosen_pet(found: Assessment) -> str:
    assert found.state == "ready", found.reasons
    assert found.pet is not None
    return found.pet.series_instance_uid


def series_of(images: tuple[Instance, ...]) -> str:
    return images[0].series_instance_uid


def test_the_images_a_mask_refers_to_beat_its_series_and_its_space() -> None:
    drawn_on, named, other = (make_images(PET, name) for name in ("one", "two", "three"))
    references = (*refer_to(drawn_on[:3]), Reference(PET, "1.9.9", series_of(named)))
    mask = make_seg(references=references)
    found = judged(mask, *other, *named, *drawn_on)
    assert chosen_pet(found) == series_of(drawn_on)
    assert "the mask refers to 3 of its objects" in found.reasons[1]
    assert sum("the images of another PET" in reason for reason in found.reasons) == 2


def test_a_series_named_by_uid_beats_one_in_the_same_space() -> None:
    named, other = make_images(PET, "named"), make_images(PET, "other")
    mask = make_rtstruct(references=(Reference(PET, "1.9.9", series_of(named)),))
    found = judged(mask, *other, *named)
    assert chosen_pet(found) == series_of(named)
    assert "references-missing" in found.flags


def test_the_frame_of_reference_pairs_a_mask_drawn_on_the_ct() -> None:
    pet, ct = make_images(PET, "pet"), make_images(CT, "ct")
    elsewhere = make_images(PET, "elsewhere", frame_of_reference_uid="1.2.3.8")
    found = judged(make_rtstruct(on=ct), *elsewhere, *ct, *pet)
    assert chosen_pet(found) == series_of(pet)
    assert any("another frame of reference" in reason for reason in found.reasons)


def test_the_masks_own_study_comes_before_another_in_the_same_space() -> None:
    home = make_images(PET, "home")
    away = make_images(PET, "away", study_instance_uid="1.2.4")
    assert chosen_pet(judged(make_seg(), *away, *home)) == series_of(home)
    assert chosen_pet(judged(make_seg(), *away)) == series_of(away)


def test_no_pet_is_refused_by_name() -> None:
    assert judged(make_seg(), *make_images(CT, "ct")).code == "no-pet"


@pytest.mark.parametrize("referring", [True, False])
def test_another_frame_of_reference_is_refused_even_where_the_mask_refers_to_it(
    referring: bool,
) -> None:
    pet = make_images(PET, "pet", frame_of_reference_uid="1.2.3.8")
    found = judged(make_seg(on=pet if referring else ()), *pet)
    assert (found.state, found.code) == ("refused", "frame-of-reference-mismatch")


@pytest.mark.parametrize("referring", [True, False])
def test_a_mask_that_says_no_frame_of_reference_is_refused_even_where_it_refers_to_the_pet(
    referring: bool,
) -> None:
    pet = make_images(PET, "pet")
    bare = make_seg(on=pet if referring else (), frame_of_reference_uid=None)
    found = judged(bare, *pet)
    assert (found.state, found.code) == ("refused", "no-frame-of-reference")
    assert "states no frame of reference" in found.reasons[0]


def test_a_pet_that_says_no_frame_of_reference_is_refused() -> None:
    pet = make_images(PET, "pet", frame_of_reference_uid=None)
    found = judged(make_seg(on=pet), *pet)
    assert (found.state, found.code) == ("refused", "no-frame-of-reference")
    assert series_of(pet) in found.reasons[0]


@pytest.mark.parametrize("referring", [True, False])
def test_contours_in_several_frames_of_reference_lie_in_each_of_them(referring: bool) -> None:
    rois = tuple(
        {"ROINumber": number, "ReferencedFrameOfReferenceUID": uid}
        for number, uid in ((1, "1.2.3.9"), (2, "1.2.3.8"))
    )
    pet = make_images(PET, "pet")
    mask = make_rtstruct(
        on=pet if referring else (), frame_of_reference_uid=None, StructureSetROISequence=rois
    )
    found = judged(mask, *pet)
    assert chosen_pet(found) == series_of(pet)
    elsewhere = make_images(PET, "pet", frame_of_reference_uid="1.2.3.7")
    assert judged(mask, *elsewhere).code == "frame-of-reference-mismatch"


@pytest.mark.parametrize("field", ["patient_id_digest", "patient_name_digest"])
@pytest.mark.parametrize("referring", [True, False])
def test_another_patient_is_refused_by_either_digest(field: str, referring: bool) -> None:
    pet = make_images(PET, "pet", **{field: "somebody else"})
    found = judged(make_seg(on=pet if referring else ()), *pet)
    assert (found.state, found.code) == ("refused", "patient-mismatch")


def test_one_image_of_another_patient_is_enough() -> None:
    pet = make_images(PET, "pet")
    stray = make_images(PET, "pet", slices=11, patient_id_digest="somebody else")[-1]
    assert judged(make_seg(on=pet), *pet, stray).code == "patient-mismatch"


def test_a_mask_that_names_no_patient_does_not_vouch_for_two() -> None:
    pet = make_images(PET, "pet")
    stray = make_images(PET, "pet", slices=11, patient_id_digest="somebody else")[-1]
    nobody = make_seg(on=pet, patient_id_digest=None, patient_name_digest=None)
    assert judged(nobody, *pet, stray).code == "patient-mismatch"
    assert judged(nobody, *pet).state == "ready"


def test_enhanced_pet_says_its_corrections_in_attributes_of_their_own() -> None:
    image = make_instance(ENHANCED_PET, "e", AttenuationCorrected="YES", DecayCorrected="YES")
    assert "pet-not-corrected" not in judged(make_seg(), image).flags
    raw = make_instance(ENHANCED_PET, "e", AttenuationCorrected="YES", DecayCorrected="NO")
    assert "pet-not-corrected" in judged(make_seg(), raw).flags


def test_a_second_pet_of_another_patient_in_the_study_is_no_matter_of_choice() -> None:
    mine, theirs = make_images(PET, "a"), make_images(PET, "b", patient_id_digest="other")
    assert judged(make_seg(), *mine, *theirs).code == "patient-mismatch"


def test_a_space_shared_by_accident_with_another_patients_study_is_passed_over() -> None:
    mine = make_images(PET, "a", study_instance_uid="1.2.4")
    theirs = make_images(PET, "b", study_instance_uid="1.2.5", patient_id_digest="other")
    found = judged(make_seg(), *mine, *theirs)
    assert chosen_pet(found) == series_of(mine)
    assert any("of another patient" in reason for reason in found.reasons)


def test_a_patient_nobody_states_is_flagged_not_refused() -> None:
    nobody: dict[str, Any] = {"patient_id_digest": None, "patient_name_digest": None}
    found = judged(make_seg(**nobody), *make_images(PET, "pet"))
    assert found.state == "ready"
    assert "patient-unverified" in found.flags
    half = judged(make_seg(patient_name_digest=None), *make_images(PET, "pet"))
    assert "patient-unverified" not in half.flags


def test_the_corrected_pet_comes_first() -> None:
    corrected = make_images(PET, "ac", ImageType=("DERIVED", "SECONDARY"))
    raw = make_images(PET, "nac", CorrectedImage="DECY")  # a single value is no tuple
    found = judged(make_seg(), *raw, *corrected)
    assert chosen_pet(found) == series_of(corrected)
    assert any("attenuation- and decay-corrected" in reason for reason in found.reasons)
    assert "pet-not-corrected" not in found.flags
    alone = judged(make_seg(), *raw)
    assert chosen_pet(alone) == series_of(raw)
    assert "pet-not-corrected" in alone.flags


def test_image_type_is_a_preference_and_never_a_gate() -> None:
    derived = make_images(PET, "derived", ImageType=("DERIVED", "SECONDARY"))
    original = make_images(PET, "original")
    assert chosen_pet(judged(make_seg(), *derived)) == series_of(derived)
    assert chosen_pet(judged(make_seg(), *derived, *original)) == series_of(original)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageType": ("DERIVED", "SECONDARY", "MIP")}, "projection-pet"),
        ({"ImageType": ("DERIVED", "PRIMARY", "PROJECTION IMAGE")}, "projection-pet"),
        ({"ImageType": ("DERIVED", "SECONDARY", "AXIAL", "CSA MIP")}, "projection-pet"),
        ({"ImageType": ("DERIVED", "SECONDARY", "VOLUME", "MAX_IP")}, "projection-pet"),
        ({"SeriesType": ("WHOLE BODY", "REPROJECTION")}, "projection-pet"),
        ({"ImageType": ("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE")}, "reformat-pet"),
        ({"ImageType": ("DERIVED", "SECONDARY", "MPR")}, "reformat-pet"),
        ({"ImageType": ("DERIVED", "SECONDARY", "AXIAL", "CSAMPR")}, "reformat-pet"),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer-pet"),
        ({"SeriesType": ("GATED", "IMAGE")}, "gated-pet"),
        ({"SeriesType": ("DYNAMIC", "IMAGE")}, "dynamic-pet"),
    ],
)
@pytest.mark.parametrize("referring", [True, False])
def test_what_is_no_still_volume_is_refused_by_name(
    attributes: dict[str, Any], code: str, referring: bool
) -> None:
    odd, good = make_images(PET, "odd", **attributes), make_images(PET, "good")
    assert judged(make_seg(on=odd if referring else ()), *odd).code == code
    both = judged(make_seg(on=odd if referring else ()), *odd, *good)
    if referring:  # what was drawn on one image is not measured on another
        assert both.code == code
    else:
        assert chosen_pet(both) == series_of(good)


@pytest.mark.parametrize(
    "flavour", [("DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 SPI"), ("ORIGINAL", "PRIMARY", "STATIC")]
)
def test_ordinary_image_types_pass(flavour: tuple[str, ...]) -> None:
    assert judged(make_seg(), *make_images(PET, "pet", ImageType=flavour)).state == "ready"


@pytest.mark.parametrize(
    "times",
    [
        {"AcquisitionTime": "093000"},
        {"FrameReferenceTime": 1800000.0},
        {"TemporalPositionIndex": 2},
        {"TriggerTime": 400.0},
    ],
)
def test_time_slices_at_one_position_are_dynamic_whatever_series_type_says(
    times: dict[str, Any],
) -> None:
    one = make_images(PET, "pet")
    two = make_images(PET, "again", series_instance_uid=series_of(one), **times)
    found = judged(make_seg(), *one, *two)
    assert (found.state, found.code) == ("refused", "dynamic-pet")


def test_enhanced_gated_pet_is_refused_by_its_flavour() -> None:
    one = make_instance(ENHANCED_PET, "e", ImageType=("ORIGINAL", "PRIMARY", "RESP_GATED", "NONE"))
    assert judged(make_seg(on=(one,)), one).code == "gated-pet"


def test_a_real_tie_is_refused_unless_something_decides() -> None:
    early = make_images(PET, "early", SeriesDescription="PET 60 min")
    delayed = make_images(PET, "delayed", SeriesDescription="PET 120 min")
    tie = judged(make_seg(), *early, *delayed)
    assert (tie.state, tie.code) == ("refused", "ambiguous-pet")
    assert series_of(early) in tie.reasons[0]
    assert series_of(delayed) in tie.reasons[0]
    assert chosen_pet(judged(make_seg(on=delayed), *early, *delayed)) == series_of(delayed)
    rules = Assembly(pet_preference=("osem", "^pet 120"))
    found = judged(make_seg(), *early, *delayed, rules=rules)
    assert chosen_pet(found) == series_of(delayed)
    assert any("a setting prefers" in reason for reason in found.reasons)


def test_a_mask_that_refers_to_both_of_two_pets_does_not_decide() -> None:
    one, two = make_images(PET, "one"), make_images(PET, "two")
    assert judged(make_seg(on=(*one, *two)), *one, *two).code == "ambiguous-pet"


def test_the_series_a_mask_names_outranks_images_that_its_contours_repeat() -> None:
    """As in a set of digital reference objects: contours copied with another scan's images."""
    copied, own = make_images(PET, "copied"), make_images(PET, "own")
    repeated = tuple(Reference(PET, one.sop_instance_uid) for one in copied)
    mask = make_rtstruct(references=(*repeated, *refer_to(own)))
    found = judged(mask, *copied, *own)
    assert chosen_pet(found) == series_of(own)
    assert "references-disagree" in found.flags
    assert any("it repeats 10 of this one's images" in reason for reason in found.reasons)
    assert "references-disagree" not in judged(mask, *own).flags


def test_a_lost_slice_does_not_decide_a_tie() -> None:
    one, two = make_images(PET, "one"), make_images(PET, "two")
    assert judged(make_seg(), *one, *two[:4], *two[5:]).code == "ambiguous-pet"


def test_of_two_bed_ranges_the_one_that_holds_the_mask_is_taken() -> None:
    ct = make_images(CT, "ct", slices=100)
    trunk = make_images(PET, "trunk", slices=50)
    legs = make_images(PET, "legs", slices=50, first_mm=150.0)
    found = judged(make_rtstruct(on=ct[60:70]), *trunk, *legs, *ct)
    assert chosen_pet(found) == series_of(legs)
    assert any("wholly outside its slices" in reason for reason in found.reasons)


def test_a_mask_outside_the_only_pet_is_refused() -> None:
    ct, pet = make_images(CT, "ct", slices=100), make_images(PET, "pet", slices=50)
    assert judged(make_rtstruct(on=ct[60:70]), *ct, *pet).code == "mask-outside-pet"
    partly = judged(make_rtstruct(on=ct[45:70]), *ct, *pet)
    assert partly.state == "ready"
    assert "partly-outside-pet" in partly.flags
