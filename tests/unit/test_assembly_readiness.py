"""When a mask is context, waits, is ready or is refused, with its code and its reasons."""

from dataclasses import replace
from typing import Any

import pytest

from pacsnode.assembly import Assessment, assess
from pacsnode.settings import Assembly, RoleRule
from storage.records import Instance, Reference
from tests.unit.assembly_records import (
    ANATOMY,
    CT,
    ENHANCED_PET,
    PET,
    START,
    candidates,
    later,
    make_images,
    make_instance,
    make_rtstruct,
    make_seg,
    refer_to,
    segment,
)

RULES = Assembly(quiet_s=60)
PET_IMAGES = make_images(PET, "pet", slices=20)
CT_IMAGES = make_images(CT, "ct", slices=20)


def live(mask: Instance, *images: Instance) -> Assessment:
    return assess(mask, candidates(*images), quiet=False, rules=RULES)


def at_rest(mask: Instance, *images: Instance) -> Assessment:
    return assess(mask, candidates(*images), quiet=True, rules=RULES)


# ---- context


def test_an_organ_mask_is_context_with_its_reason() -> None:
    organs = make_seg(SegmentSequence=tuple(segment(n, ANATOMY) for n in range(1, 105)))
    found = live(organs, *PET_IMAGES)
    assert (found.state, found.code, found.inputs_sha256) == ("context", "no-lesion", None)
    assert len(found.reasons) == 1
    assert "Anatomical" in found.reasons[0]


def test_a_mask_without_segments_is_context() -> None:
    assert live(make_seg(SegmentSequence=())).reasons == ("It holds no segment and no ROI.",)


def test_our_own_seg_is_no_work_and_anothers_is() -> None:
    ours = {"Manufacturer": "pacsnode", "ManufacturerModelName": "pacsnode"}
    own = make_seg(sop_instance_uid="2.25.77", **ours)
    assert live(own, *PET_IMAGES).code == "own-document"
    assert at_rest(make_seg(sop_instance_uid="2.25.77"), *PET_IMAGES).state == "ready"
    assert at_rest(make_seg(**ours), *PET_IMAGES).state == "ready"  # not a UID that we derive


def test_an_image_is_no_mask() -> None:
    assert live(PET_IMAGES[0]).code == "not-a-mask"


def test_lesion_numbers_leave_context_and_background_out() -> None:
    mixed = make_seg(
        on=PET_IMAGES,
        SegmentSequence=(segment(7), segment(0), segment(3, ANATOMY), segment(2, None)),
    )
    assert at_rest(mixed, *PET_IMAGES).lesion_numbers == (2, 7)


def test_a_role_rule_of_the_settings_changes_what_is_work() -> None:
    rules = Assembly(role_rules=(RoleRule(label="segment 3", role="lesion"),))
    organs = make_seg(SegmentSequence=(segment(3, ANATOMY), segment(4, ANATOMY)))
    found = assess(organs, candidates(*PET_IMAGES), quiet=True, rules=rules)
    assert found.lesion_numbers == (3,)
    assert any("role rule 1 of the settings" in reason for reason in found.reasons)


# ---- while objects may still come


def test_the_mask_that_comes_long_after_its_scan_is_ready_at_once() -> None:
    mask = make_seg(on=PET_IMAGES, received_at=later(60))
    assert live(mask, *PET_IMAGES, *CT_IMAGES).state == "ready"
    sooner = replace(mask, received_at=later(59))
    assert live(sooner, *PET_IMAGES, *CT_IMAGES).state == "waiting"


def test_a_stated_and_named_pet_and_ct_are_ready_without_any_quiet() -> None:
    whole_ct = make_images(CT, "ct", slices=20, ImagesInAcquisition=20, AcquisitionNumber=1)
    mask = make_seg(on=(*PET_IMAGES, *whole_ct))
    assert live(mask, *PET_IMAGES, *whole_ct).state == "ready"
    for missing in (0, 7, 19):
        images = [*PET_IMAGES, *whole_ct]
        del images[missing]
        assert live(mask, *images).code == "waiting-for-references"


def test_nothing_points_to_the_ct_so_a_better_one_may_come() -> None:
    whole_ct = make_images(CT, "ct", slices=20, ImagesInAcquisition=20, AcquisitionNumber=1)
    found = live(make_seg(on=PET_IMAGES), *PET_IMAGES, *whole_ct)
    assert (found.state, found.code) == ("waiting", "waiting-for-quiet")
    referring = make_images(PET, "pet", slices=20, references=refer_to(whole_ct[:1]))
    assert live(make_seg(on=referring), *referring, *whole_ct).state == "ready"


def test_a_ct_that_does_not_state_its_slices_may_be_incomplete() -> None:
    found = live(make_seg(on=(*PET_IMAGES, *CT_IMAGES)), *PET_IMAGES, *CT_IMAGES)
    assert (found.state, found.code) == ("waiting", "waiting-for-slices")


def test_a_pet_still_short_of_its_stated_slices_waits() -> None:
    settled_ct = make_images(CT, "ct", slices=20, ImagesInAcquisition=20)
    mask = make_seg(on=(*PET_IMAGES[3:6], *settled_ct))
    found = live(mask, *PET_IMAGES[:15], *settled_ct)
    assert (found.state, found.code) == ("waiting", "waiting-for-slices")
    assert "its headers state 20 slices" in found.reasons[0]
    long_after = replace(mask, received_at=later(3600))
    assert live(long_after, *PET_IMAGES[:15], *settled_ct).code == "waiting-for-slices"
    assert live(mask, *PET_IMAGES, *settled_ct).state == "ready"


@pytest.mark.parametrize(
    ("images", "code"),
    [
        ((), "waiting-for-references"),
        ((*PET_IMAGES[:5], *PET_IMAGES[6:]), "waiting-for-references"),
        (PET_IMAGES, "waiting-for-ct"),
    ],
)
def test_what_it_waits_for_is_said(images: tuple[Instance, ...], code: str) -> None:
    found = live(make_seg(on=PET_IMAGES, received_at=later(3600)), *images)
    assert (found.state, found.code, found.inputs_sha256) == ("waiting", code, None)


@pytest.mark.parametrize(
    ("images", "code", "prospect"),
    [
        ((), "waiting-for-pet", "no-pet"),
        ((*PET_IMAGES[:5], *PET_IMAGES[6:]), "waiting-for-images", "pet-has-gaps"),
        ((*PET_IMAGES, *make_images(PET, "two")), "waiting-for-pet", "ambiguous-pet"),
    ],
)
def test_nothing_is_refused_before_quiet_but_the_prospect_is_told(
    images: tuple[Instance, ...], code: str, prospect: str
) -> None:
    mask = make_seg(received_at=later(3600))
    found = live(mask, *images, *CT_IMAGES)
    assert (found.state, found.code) == ("waiting", code)
    assert any(prospect in reason for reason in found.reasons)
    assert (at_rest(mask, *images, *CT_IMAGES).state, found.inputs_sha256) == ("refused", None)


def test_a_series_that_the_mask_names_and_nobody_has_is_waited_for() -> None:
    mask = make_seg(
        received_at=later(3600), references=refer_to(PET_IMAGES), referenced_series=("1.2.3.777",)
    )
    found = live(mask, *PET_IMAGES, *CT_IMAGES)
    assert found.code == "waiting-for-references"
    assert "1 series" in found.reasons[0]


# ---- when quiet


def test_references_nobody_has_are_no_reason_to_wait_for_ever() -> None:
    """The IBSI structure sets: every image named is gone, the series UID is right."""
    originals = tuple(
        Reference(PET, f"1.9.{n}", PET_IMAGES[0].series_instance_uid) for n in range(267)
    )
    mask = make_rtstruct(references=originals, received_at=later(3600))
    waiting = live(mask, *PET_IMAGES, *CT_IMAGES)
    assert (waiting.state, waiting.code) == ("waiting", "waiting-for-references")
    found = at_rest(mask, *PET_IMAGES, *CT_IMAGES)
    assert found.state == "ready"
    assert "references-missing" in found.flags
    assert any("Of 267 images" in reason and "267 never came" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.3.1.2.3.1",  # the study itself, in an RTSTRUCT
        "1.2.840.10008.5.1.4.1.1.66.4",  # the SEG it was saved over
        "1.2.840.10008.5.1.4.1.1.481.3",
        "1.2.840.10008.5.1.4.1.1.88.34",
        "1.2.840.10008.5.1.4.1.1.67",
    ],
)
def test_what_is_no_image_is_no_reference_to_wait_for(sop_class: str) -> None:
    other = Reference(sop_class, "1.2.3.4.5")
    mask = make_rtstruct(references=(other, *refer_to(PET_IMAGES)), received_at=later(60))
    assert live(mask, *PET_IMAGES, *CT_IMAGES).state == "ready"


def test_a_few_of_many_slices_referenced_and_no_ct() -> None:
    pet = make_images(PET, "pet", slices=545, spacing_mm=2.025)
    mask = make_seg(on=pet[100:166], received_at=later(3600))
    assert live(mask, *pet).code == "waiting-for-ct"
    found = at_rest(mask, *pet)
    assert found.state == "ready"
    assert found.ct is None
    assert found.pet is not None
    assert len(found.pet.instances) == 545
    assert found.flags == ("no-ct",)


@pytest.mark.parametrize("lost", [(5,), (5, 6, 7), (1,), (18,), (3, 9)])
def test_gaps_refuse_a_pet(lost: tuple[int, ...]) -> None:
    here = [image for k, image in enumerate(PET_IMAGES) if k not in lost]
    found = at_rest(make_seg(on=PET_IMAGES[9:11]), *here, *CT_IMAGES)
    assert (found.state, found.code) == ("refused", "pet-has-gaps")
    many = "slices are" if len(lost) > 1 else "slice is"
    assert f"{len(lost)} {many} missing inside" in found.reasons[0]


def test_every_second_slice_lost_is_a_gap_too() -> None:
    found = at_rest(make_seg(), *PET_IMAGES[::2], *CT_IMAGES)
    assert (found.state, found.code) == ("refused", "pet-has-gaps")


def test_slices_lost_at_the_ends_are_told() -> None:
    found = at_rest(make_seg(on=PET_IMAGES[9:11]), *PET_IMAGES[:15], *CT_IMAGES)
    assert found.state == "ready"
    assert "fewer-slices-than-stated" in found.flags


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ({"sop_instance_uid": "1.7"}, "duplicate-positions"),
        ({"ImageOrientationPatient": (0, 1, 0, 0, 0, 1)}, "mixed-orientations"),
        ({"ImagePositionPatient": ()}, "missing-positions"),
        ({"ImagePositionPatient": ("a", "b", "c")}, "missing-positions"),
        ({"ImageOrientationPatient": (1, 0, 0, 1, 0, 0)}, "missing-positions"),
    ],
)
def test_a_pet_that_is_no_stack_is_refused_by_name(odd: dict[str, Any], code: str) -> None:
    changed = {key: odd[key] for key in odd if key[0].isupper()}
    extra = replace(
        PET_IMAGES[4],
        sop_instance_uid="1.7",
        attributes={**PET_IMAGES[4].attributes, **changed},
    )
    found = at_rest(make_seg(), *PET_IMAGES, extra)
    assert (found.state, found.code) == ("refused", code)


def test_a_multi_frame_pet_is_whole_when_its_one_object_is_here() -> None:
    pet = make_instance(ENHANCED_PET, "enhanced", NumberOfFrames=300)
    ct = make_images(CT, "ct", ImagesInAcquisition=10)
    mask = make_seg(on=(pet, *ct))
    assert live(mask, pet, *ct).state == "ready"
    assert live(mask, *ct).code == "waiting-for-references"


def test_frames_of_a_multi_frame_pet_are_judged_where_the_index_has_them() -> None:
    def enhanced(*positions: float) -> Instance:
        frames = tuple(
            {"PlanePositionSequence": ({"ImagePositionPatient": (0.0, 0.0, z)},)} for z in positions
        )
        plane = ({"ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},)
        return make_instance(
            ENHANCED_PET,
            "enhanced",
            NumberOfFrames=len(positions),
            PerFrameFunctionalGroupsSequence=frames,
            SharedFunctionalGroupsSequence=({"PlaneOrientationSequence": plane},),
        )

    assert at_rest(make_seg(), enhanced(0, 3, 6, 9)).state == "ready"
    assert at_rest(make_seg(), enhanced(0, 3, 9, 12)).code == "pet-has-gaps"
    assert at_rest(make_seg(), enhanced(0, 3, 3, 6)).code == "duplicate-positions"


def test_an_rtstruct_and_a_ct_may_share_a_series_uid() -> None:
    ct = make_images(CT, "ct", slices=20, series_instance_uid="1.2.3.5")
    mask = make_rtstruct(on=ct, series_instance_uid="1.2.3.5")
    found = assess(
        mask,
        (*candidates(*PET_IMAGES, *ct), *candidates(mask)),
        quiet=True,
        rules=RULES,
    )
    assert found.state == "ready"
    assert found.ct is not None
    assert {one.sop_class_uid for one in found.ct.instances} == {CT}


# ---- what a report is made from


def test_the_digest_changes_with_every_input_and_with_nothing_else() -> None:
    mask = make_seg(on=PET_IMAGES)
    base = at_rest(mask, *PET_IMAGES, *CT_IMAGES).inputs_sha256
    assert base is not None
    assert len(bytes.fromhex(base)) == 32
    other_mri = replace(make_images(CT, "spare", slices=20)[0], frame_of_reference_uid="1.2.3.4")
    moved = replace(mask, received_at=later(99), calling_ae="OTHER")
    assert at_rest(moved, other_mri, *CT_IMAGES[::-1], *PET_IMAGES).inputs_sha256 == base
    changed = {
        "mask": at_rest(replace(mask, sha256="0" * 64), *PET_IMAGES, *CT_IMAGES),
        "pet": at_rest(mask, *PET_IMAGES, replace(PET_IMAGES[0], sop_instance_uid="1.8",
                       attributes={**PET_IMAGES[0].attributes,
                                   "ImagePositionPatient": (-50.0, -50.0, -3.0)},
                       sha256="1" * 64), *CT_IMAGES),
        "ct": at_rest(mask, *PET_IMAGES, *CT_IMAGES[:-1]),
        "no ct": at_rest(mask, *PET_IMAGES),
        "lesions": at_rest(replace(mask, attributes={"SegmentSequence": (segment(1), segment(2))}),
                           *PET_IMAGES, *CT_IMAGES),
    }  # fmt: skip
    digests = {base, *(found.inputs_sha256 for found in changed.values())}
    assert None not in digests
    assert len(digests) == 1 + len(changed)


def test_a_decision_carries_the_choice_for_programs() -> None:
    mask = make_seg(on=PET_IMAGES)
    found = at_rest(mask, *PET_IMAGES, *CT_IMAGES)
    decision = found.decision(mask, START)
    assert decision.state == "ready"
    assert decision.mask_instance_uid == mask.sop_instance_uid
    assert decision.facts["pet_series_instance_uid"] == PET_IMAGES[0].series_instance_uid
    assert decision.facts["ct_series_instance_uid"] == CT_IMAGES[0].series_instance_uid
    assert decision.facts["lesion_numbers"] == [1]
