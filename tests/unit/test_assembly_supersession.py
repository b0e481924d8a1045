"""Which mask is a later save of which: creator, PET, tracking UIDs, configured rules, time."""

from typing import Any

import pytest

from pacsnode.assembly.supersession import earlier_version, later_version
from pacsnode.settings import Assembly, Supersession
from storage.records import Instance
from tests.unit.assembly_records import (
    CT,
    PET,
    later,
    make_images,
    make_rtstruct,
    make_seg,
    segment,
)

RULES = Assembly()
PET_IMAGES = make_images(PET, "pet")
VIEWER = {"Manufacturer": "Viewer Ltd", "ManufacturerModelName": "Draw"}


def save(name: str, minute: int, *, tracking: str = "2.25.1", **fields: Any) -> Instance:
    stated: dict[str, Any] = {
        "on": PET_IMAGES[2:4],
        "SegmentSequence": (segment(1, TrackingUID=tracking),),
        "ContentDate": "20260301",
        "ContentTime": f"12{minute:02d}00",
        "received_at": later(minute),
        **VIEWER,
    }
    return make_seg(name, **stated | fields)


FIRST, SECOND, THIRD = save("first", 1), save("second", 2), save("third", 3)


def test_the_immediate_predecessor_is_named() -> None:
    everyone = (THIRD, FIRST, SECOND)
    assert earlier_version(THIRD, everyone, RULES) is SECOND
    assert earlier_version(SECOND, everyone, RULES) is FIRST
    assert earlier_version(FIRST, everyone, RULES) is None
    assert later_version(FIRST, everyone, RULES) is THIRD
    assert later_version(THIRD, everyone, RULES) is None


def test_when_it_was_made_counts_not_when_it_came() -> None:
    late = save("first", 1, received_at=later(500))
    assert earlier_version(SECOND, (late,), RULES) is late
    assert earlier_version(late, (SECOND,), RULES) is None
    assert later_version(late, (SECOND,), RULES) is SECOND


def test_arrival_counts_where_nobody_says_when_it_was_made() -> None:
    one = save("one", 1, ContentDate="", ContentTime="")
    two = save("two", 2, ContentDate="", ContentTime="")
    assert earlier_version(two, (one,), RULES) is one
    assert earlier_version(one, (two,), RULES) is None


@pytest.mark.parametrize(
    "difference",
    [
        {"tracking": "2.25.2"},
        {"Manufacturer": "Another"},
        {"ManufacturerModelName": "Another"},
        {"on": make_images(PET, "other pet")[:2]},
        {"frame_of_reference_uid": "1.2.3.8"},
        {"sop_instance_uid": SECOND.sop_instance_uid},
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.7"},
    ],
)
def test_what_differs_is_no_version(difference: dict[str, Any]) -> None:
    assert earlier_version(SECOND, (save("first", 1, **difference),), RULES) is None


def test_overlapping_references_are_the_same_pet() -> None:
    moved = save("first", 1, on=PET_IMAGES[3:7])
    assert earlier_version(SECOND, (moved,), RULES) is moved
    elsewhere = save("first", 1, on=PET_IMAGES[6:8])  # the same series, though no shared image
    assert earlier_version(SECOND, (elsewhere,), RULES) is elsewhere


def test_our_own_seg_is_never_an_earlier_version() -> None:
    ours = {"Manufacturer": "pacsnode", "ManufacturerModelName": "pacsnode"}
    own = save("own", 1, sop_instance_uid="2.25.9", **ours)
    assert earlier_version(save("next", 2, **ours), (own,), RULES) is None


def test_without_manufacturer_the_calling_ae_tells_the_creator() -> None:
    nameless = {"Manufacturer": "", "ManufacturerModelName": ""}
    one, two = save("one", 1, **nameless), save("two", 2, **nameless)
    assert earlier_version(two, (one,), RULES) is one
    other = save("two", 2, calling_ae="OTHER", **nameless)
    assert earlier_version(other, (one,), RULES) is None
    nobody = save("two", 2, calling_ae=None, **nameless)
    assert earlier_version(nobody, (save("one", 1, calling_ae=None, **nameless),), RULES) is None


def test_an_rtstruct_needs_a_rule() -> None:
    def drawn(name: str, description: str, time: str) -> Instance:
        return make_rtstruct(
            name,
            on=make_images(CT, "ct")[:3],
            SeriesDescription=description,
            StructureSetDate="20260301",
            StructureSetTime=time,
            **VIEWER,
        )

    one = drawn("one", "Lesions reader 1 v1", "120000")
    two = drawn("two", "Lesions reader 1 v2", "121000")
    other = drawn("other", "Lesions reader 2 v1", "120500")
    assert earlier_version(two, (one, other), RULES) is None
    alike = Assembly(supersession=(Supersession(series_description=r"^lesions (reader \d)"),))
    assert earlier_version(two, (one, other), alike) is one
    anyone = Assembly(supersession=(Supersession(series_description="^lesions"),))
    assert earlier_version(two, (one, other), anyone) is other
    sender = Assembly(
        supersession=(Supersession(calling_ae="OTHER", series_description="^lesions"),)
    )
    assert earlier_version(two, (one, other), sender) is None


def test_a_rule_names_senders_by_a_pattern() -> None:
    def drawn(name: str, minute: int, sender: str | None) -> Instance:
        described = {"SeriesDescription": "Lesions", "calling_ae": sender}
        return save(name, minute, tracking=f"2.25.{minute}", **described)

    one, two = drawn("one", 1, "READING1"), drawn("two", 2, "READING2")
    for pattern, fits in ((r"^reading\d$", True), ("READING1", False), ("OTHER", False)):
        rule = Supersession(calling_ae=pattern, series_description="^lesions")
        found = earlier_version(two, (one,), Assembly(supersession=(rule,)))
        assert (found is one) is fits, pattern
    anyone = Assembly(supersession=(Supersession(calling_ae=".*", series_description=""),))
    assert earlier_version(two, (drawn("one", 1, None),), anyone) is None


def test_the_two_structure_sets_of_one_study_are_no_versions() -> None:
    on_pet = make_rtstruct("on pet", on=PET_IMAGES, **VIEWER)
    on_ct = make_rtstruct("on ct", on=make_images(CT, "ct"), received_at=later(9), **VIEWER)
    everything = Assembly(supersession=(Supersession(series_description=""),))
    assert earlier_version(on_ct, (on_pet,), everything) is None


def test_masks_without_any_reference_are_held_together_by_their_space() -> None:
    one, two = save("one", 1, on=()), save("two", 2, on=())
    assert earlier_version(two, (one,), RULES) is one
    nowhere = {"on": (), "frame_of_reference_uid": None}
    assert earlier_version(save("b", 2, **nowhere), (save("a", 1, **nowhere),), RULES) is None
