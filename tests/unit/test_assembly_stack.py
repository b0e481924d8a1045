"""Slices along a normal, in any orientation, order and number."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pacsnode.assembly.attributes import code, items, moment, number, numbers, text, texts
from pacsnode.assembly.extent import Extent, cover, covered_part, extent_of_stack, lesions_extent
from pacsnode.assembly.slices import dot, normal_from
from pacsnode.assembly.stack import faults_of, is_whole, stack_of, stated_slices
from storage.records import Series
from tests.unit.assembly_records import (
    CT,
    ENHANCED_PET,
    PET,
    candidates,
    make_images,
    make_instance,
)


def series(sop_class: str = PET, **fields: Any) -> Series:
    (only,) = candidates(*make_images(sop_class, "series", **fields))
    return only


angles = st.floats(-math.pi, math.pi)


def turned(a: float, b: float, c: float) -> tuple[float, ...]:
    """The row and column directions of a plane turned by three angles."""
    ca, sa, cb, sb, cc, sc = (f(x) for x in (a, b, c) for f in (math.cos, math.sin))
    row = (cb * cc, cb * sc, -sb)
    column = (sa * sb * cc - ca * sc, sa * sb * sc + ca * cc, sa * cb)
    return (*row, *column)


@settings(max_examples=100, deadline=None)
@given(
    angles, angles, angles,
    st.integers(4, 40), st.floats(0.6, 10), st.floats(-900, 900), st.data(),
)  # fmt: skip
def test_gaps_are_counted_in_any_orientation_and_order(
    a: float, b: float, c: float, count: int, spacing_mm: float, first_mm: float, data: Any
) -> None:
    orientation = turned(a, b, c)
    normal = normal_from(orientation)
    assert normal is not None
    images = list(make_images(PET, "series", slices=count, ImageOrientationPatient=orientation))
    for k, image in enumerate(images):
        along = first_mm + k * spacing_mm
        # written with the rounding of a DS
        origin = tuple(
            float(f"{axis * along + 7 * orientation[n]:.6f}") for n, axis in enumerate(normal)
        )
        dict.update(image.attributes, ImagePositionPatient=origin)  # type: ignore[arg-type]
    lost = data.draw(st.sets(st.integers(1, count - 2), max_size=count // 3))
    # one step at least must remain to tell the spacing by, and most of them
    kept = [k for k in range(count) if k not in lost]
    steps = [after - before for before, after in pairwise(kept)]
    assume(sum(step == 1 for step in steps) * 2 > len(steps))
    order = data.draw(st.permutations(kept))
    (found,) = candidates(*(images[k] for k in order))
    stack = stack_of(found)
    assert stack.missing == len(lost)
    assert len(stack.positions_mm) == len(kept)
    assert stack.spacing_mm == pytest.approx(spacing_mm, abs=1e-4)
    assert (not faults_of(found, stack)) == (not lost)


def test_two_slices_far_apart_are_no_gap_without_headers_that_say_so() -> None:
    assert not faults_of(series(CT, slices=2), stack_of(series(CT, slices=2)))
    apart = series(PET, slices=2, spacing_mm=9.0, SliceThickness=3.0, NumberOfSlices=4)
    assert [fault.code for fault in faults_of(apart, stack_of(apart))] == ["gaps"]


def test_one_slice_is_a_stack() -> None:
    one = series(slices=1)
    stack = stack_of(one)
    assert (stack.spacing_mm, stack.missing, stack.interval_mm) == (None, 0, (0.0, 0.0))
    assert faults_of(one, stack) == ()


def test_thin_slices_far_apart_are_no_gap_when_all_stated_are_here() -> None:
    sparse = series(slices=10, spacing_mm=9.0, SliceThickness=3.0)
    assert faults_of(sparse, stack_of(sparse)) == ()


def test_what_headers_state_of_the_number_of_slices() -> None:
    assert stated_slices(series(slices=5)) == 5
    assert stated_slices(series(CT)) is None
    assert stated_slices(series(CT, ImagesInAcquisition=12)) == 12
    assert stated_slices(series(PET, NumberOfSlices=0)) is None
    assert stated_slices(series(PET, NumberOfSlices="many")) is None
    two = candidates(
        *make_images(CT, "series", ImagesInAcquisition=10, AcquisitionNumber=1),
        *make_images(CT, "series", slices=20, ImagesInAcquisition=10, AcquisitionNumber=2)[10:],
    )
    assert stated_slices(two[0]) is None
    assert is_whole(series(slices=5), stack_of(series(slices=5)))
    short = series(slices=5, NumberOfSlices=6)
    assert not is_whole(short, stack_of(short))


def enhanced(*files: tuple[float, ...], indexed: bool = True, **stated: Any) -> Series:
    """A series of multi-frame files with frames at these places; `indexed`: the index has them."""
    plane = ({"ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},)
    made = []
    for nth, places in enumerate(files):
        groups = {
            "PerFrameFunctionalGroupsSequence": tuple(
                {"PlanePositionSequence": ({"ImagePositionPatient": (0.0, 0.0, z)},)}
                for z in places
            ),
            "SharedFunctionalGroupsSequence": ({"PlaneOrientationSequence": plane},),
        }
        fields = {"NumberOfFrames": len(places), **(groups if indexed else {}), **stated}
        made.append(make_instance(ENHANCED_PET, f"enhanced {nth}", **fields))
    (only,) = candidates(*made)
    return only


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    ("files", "stated", "whole"),
    [
        ([(0, 3, 6)], {}, True),
        ([(0, 3, 6)], {"NumberOfSlices": 3}, True),
        ([(0, 3, 6)], {"NumberOfSlices": 6}, False),  # the other half is a file of its own
        ([(0, 3, 6), (9, 12, 15)], {"NumberOfSlices": 6}, True),
        ([(0, 3, 6), (9, 12, 15)], {"NumberOfSlices": 9}, False),
        ([(0, 3, 6), (9, 12, 15)], {}, False),  # two files: a third may come
    ],
)
def test_a_multi_frame_series_is_whole_when_nothing_more_can_come(
    files: list[tuple[float, ...]], stated: dict[str, int], whole: bool, indexed: bool
) -> None:
    found = enhanced(*files, indexed=indexed, **stated)
    assert is_whole(found, stack_of(found)) == whole


def test_cover_of_stacks_that_look_the_other_way() -> None:
    feet_up = series(CT, slices=10, ImageOrientationPatient=(1, 0, 0, 0, -1, 0))
    stack = stack_of(feet_up)
    assert stack.normal == (0.0, 0.0, -1.0)
    assert stack.interval_mm == (-27.0, 0.0)
    head = (0.0, 0.0, 1.0)
    assert cover(stack, Extent(head, 0.0, 27.0)) == "inside"
    assert cover(stack, Extent(head, 0.0, 30.0)) == "partly"
    assert cover(stack, Extent(head, -30.0, -3.0)) == "outside"
    assert cover(stack, Extent((0.0, 1.0, 0.0), 0.0, 1.0)) == "unknown"
    assert cover(stack, None) == "unknown"
    assert covered_part(stack, Extent(head, -27.0, 27.0)) == pytest.approx(0.5, abs=0.04)
    assert covered_part(stack, Extent(head, 3.0, 3.0)) == 1.0
    assert covered_part(stack, Extent(head, 300.0, 330.0)) == 0.0


def test_the_extent_of_lesions_is_what_lies_in_the_pet() -> None:
    pet = stack_of(series(slices=11))  # 0 to 30 mm
    head = (0.0, 0.0, 1.0)
    assert lesions_extent(Extent(head, 3.0, 9.0), pet) == Extent(head, 3.0, 9.0)
    assert lesions_extent(Extent(head, 12.0, 900.0), pet) == Extent(head, 12.0, 30.0)
    assert lesions_extent(Extent((0.0, 0.0, -1.0), -9.0, -3.0), pet) == Extent(head, 3.0, 9.0)
    assert lesions_extent(Extent(head, -5.0, 900.0), pet) is None
    assert lesions_extent(None, pet) is None
    assert extent_of_stack(pet) == Extent(head, 0.0, 30.0)


@given(angles, angles, angles)
def test_a_normal_is_a_unit_across_the_plane(a: float, b: float, c: float) -> None:
    orientation = turned(a, b, c)
    normal = normal_from(orientation)
    assert normal is not None
    assert dot(normal, normal) == pytest.approx(1)
    assert dot(normal, orientation[:3]) == pytest.approx(0, abs=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "orientation", [(), (1, 0, 0), (0,) * 6, (1, 0, 0, 1, 0, 0), (math.nan,) * 6]
)
def test_what_spans_no_plane_has_no_normal(orientation: tuple[float, ...]) -> None:
    assert normal_from(orientation) is None


# ---- attributes as the index gives them


def test_single_values_and_tuples_read_alike() -> None:
    assert texts({"A": "ATTN"}, "A") == ("ATTN",)
    assert texts({"A": ("ATTN ", "DECY")}, "A") == ("ATTN", "DECY")
    assert texts({}, "A") == ()
    assert (text({"A": " "}, "A"), text({"A": 7}, "A")) == (None, "7")
    assert numbers({"A": ("1.5", 2)}, "A") == (1.5, 2.0)
    assert (number({"A": "x"}, "A"), numbers({"A": ("1", "x")}, "A")) == (None, ())
    assert items({"A": {"B": 1}}, "A") == ({"B": 1},)
    assert items({"A": ({"B": 1}, "odd")}, "A") == ({"B": 1},)
    assert items({"A": "odd"}, "A") == ()


def test_codes_need_value_and_scheme() -> None:
    whole = {"CodeValue": "1", "CodingSchemeDesignator": "SCT"}
    found = code({"A": (whole,)}, "A")
    assert found is not None
    assert (found.value, found.scheme_designator, found.meaning) == ("1", "SCT", "1")
    assert code({"A": ({"CodeValue": "1"},)}, "A") is None


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        ("20260301", "112805.668", "2026-03-01T11:28:05.668000"),
        ("20260301", "1128", "2026-03-01T11:28:00"),
        ("2026.03.01", "11:28:05", "2026-03-01T11:28:05"),
        ("20260301", "", None),
        ("", "112805", None),
        ("20261301", "112805", None),
        ("20260301", "noon", None),
    ],
)
def test_moments(day: str, time: str, expected: str | None) -> None:
    found = moment({"D": day, "T": time}, "D", "T")
    assert (found.isoformat() if found else None) == expected


def test_a_single_frame_image_may_say_that_it_has_one_frame() -> None:
    stated = series(slices=5, NumberOfFrames=1)
    assert len(stack_of(stated).positions_mm) == 5
    unknown = series(slices=5, NumberOfFrames=30)  # frames whose places nobody states
    assert stack_of(unknown).positions_mm == ()
