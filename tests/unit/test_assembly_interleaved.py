"""An adversary's study - two PETs, two CTs, an organ SEG, lesion masks - in every interleaving."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pacsnode.assembly import Assessment, assess
from pacsnode.settings import Assembly
from storage.records import Instance, Series
from tests.unit.assembly_records import (
    ANATOMY,
    CT,
    LESION,
    PET,
    candidates,
    later,
    make_images,
    make_rtstruct,
    make_seg,
    refer_to,
    segment,
)

RULES = Assembly(quiet_s=60)


def live(mask: Instance, *images: Instance) -> Assessment:
    return assess(mask, candidates(*images), quiet=False, rules=RULES)


def at_rest(mask: Instance, *images: Instance) -> Assessment:
    return assess(mask, candidates(*images), quiet=True, rules=RULES)


def adversary() -> tuple[dict[str, Instance], list[Instance]]:
    early = make_images(PET, "early", slices=6, AcquisitionTime="100000")
    delayed = make_images(PET, "delayed", slices=6, AcquisitionTime="120000")
    low_dose = make_images(CT, "low dose", slices=8, first_mm=-3.0, AcquisitionTime="095500",
                           ConvolutionKernel="B30f")  # fmt: skip
    lung = make_images(CT, "lung", slices=8, first_mm=-3.0, AcquisitionTime="115900",
                       ConvolutionKernel="B70f")  # fmt: skip
    masks = {
        "organs": make_seg("organs", on=low_dose, SegmentSequence=(segment(1, ANATOMY),)),
        "early lesions": make_seg("early lesions", on=early[1:4],
                                  SegmentSequence=(segment(1, LESION), segment(2, ANATOMY))),
        "delayed lesions": make_rtstruct("delayed lesions", on=delayed[2:5]),
        "late, on the lung CT": make_seg("on ct", on=(*delayed[:2], *lung[:3])),
    }  # fmt: skip
    return masks, [*early, *delayed, *low_dose, *lung, *masks.values()]


MASKS, OBJECTS = adversary()


def grouped(arrived: list[Instance]) -> tuple[Series, ...]:
    """In the order of arrival, masks among the images, as a careless archive might hand it over."""
    return candidates(*arrived)


@settings(max_examples=200, deadline=None)
@given(st.permutations(OBJECTS), st.integers(0, len(OBJECTS)))
def test_any_interleaving_ends_in_the_same_inputs(order: list[Instance], cut: int) -> None:
    arrived = [replace(one, received_at=later(step)) for step, one in enumerate(order)]
    uid = {name: mask.sop_instance_uid for name, mask in MASKS.items()}
    here = {one.sop_instance_uid: one for one in arrived}
    found = {
        name: at_rest(here[uid[name]], *arrived) for name in MASKS
    }  # fmt: skip
    expected = {name: at_rest(mask, *OBJECTS) for name, mask in MASKS.items()}
    for name, one in found.items():
        assert (one.state, one.code, one.reasons) == (
            expected[name].state,
            expected[name].code,
            expected[name].reasons,
        )
        assert one.inputs_sha256 == expected[name].inputs_sha256
    assert found["organs"].state == "context"
    pairs = {
        name: (one.pet and one.pet.instances[0].attributes["AcquisitionTime"],
               one.ct and one.ct.instances[0].attributes["AcquisitionTime"])
        for name, one in found.items()
    }  # fmt: skip
    assert pairs["early lesions"] == ("100000", "095500")
    assert pairs["delayed lesions"] == ("120000", "095500")
    assert pairs["late, on the lung CT"] == ("120000", "115900")
    # and whatever was said to be ready on the way had the inputs that it ends with
    partial = arrived[:cut]
    for name in MASKS:
        if uid[name] in {one.sop_instance_uid for one in partial}:
            so_far = assess(here[uid[name]], grouped(partial), quiet=False, rules=RULES)
            if so_far.state == "ready":
                assert so_far.inputs_sha256 == found[name].inputs_sha256


def test_pairing_by_the_only_one_would_fail_the_adversary() -> None:
    pets = {one.series_instance_uid for one in OBJECTS if one.sop_class_uid == PET}
    cts = {one.series_instance_uid for one in OBJECTS if one.sop_class_uid == CT}
    assert (len(pets), len(cts)) == (2, 2)
    unreferenced = make_seg("blind")
    assert at_rest(unreferenced, *OBJECTS).code == "ambiguous-pet"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_early_answer_is_final_where_headers_state_their_numbers(data: st.DataObject) -> None:
    """Every prefix of every order: ready is said once the inputs are final, and they stay so."""
    ct = make_images(CT, "ct", slices=5, ImagesInAcquisition=5, AcquisitionNumber=1)
    pet = make_images(PET, "pet", slices=5, references=refer_to(ct[:1]))
    better = make_images(CT, "better", slices=5, ConvolutionKernel="B30f")
    mask = make_seg(on=pet[1:3])
    order = data.draw(st.permutations([*pet, *ct, *better]))
    final = at_rest(mask, *order)
    readies = 0
    for count in range(len(order) + 1):
        so_far = live(mask, *order[:count])
        if so_far.state == "ready":
            readies += 1
            assert so_far.inputs_sha256 == final.inputs_sha256
        else:
            assert so_far.state == "waiting"
    assert readies >= 1
