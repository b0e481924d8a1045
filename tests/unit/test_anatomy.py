"""Organs and regions that words claim, against the label map of a made body."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from scipy.spatial.distance import cdist

from engine.grounding.anatomy import flags_of
from engine.grounding.neighbours import NEAR_MM, labelled, neighbours_of, site_of_segment
from engine.grounding.site_table import table
from engine.grounding.sites import Located
from engine.lesion import Lesion
from engine.volume import Mask, Scan
from tests.unit import labelled as made
from tests.unit.labelled import flags


@pytest.fixture(scope="module")
def body_scan() -> Scan:
    return made.whole_body(shift_x_mm=60.0)


@pytest.fixture(scope="module")
def organs(body_scan: Scan) -> list[Lesion]:
    return made.label_map(body_scan.pet.grid)


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("Liver lesion", (-92.0, -12.0, 402.0), ()),
        ("Liver lesion in segment VIII", (-92.0, -12.0, 402.0), ()),
        ("Spleen lesion", (-92.0, -12.0, 402.0), ("organ-mismatch",)),
        ("Right lung nodule", (-92.0, -12.0, 402.0), ("organ-mismatch", "region-mismatch")),
        ("Left lower lobe nodule", (84.0, -12.0, 590.0), ()),  # the map has whole lungs
        ("L3 vertebra", (0.0, 64.0, 235.0), ()),
        ("L3-L4", (0.0, 64.0, 235.0), ()),
        ("T9 vertebra", (0.0, 64.0, 235.0), ("organ-mismatch", "region-mismatch")),
        ("L2 vertebra", (0.0, 64.0, 243.0), ()),  # it lies just above
        ("L1 vertebra", (0.0, 64.0, 235.0), ("organ-mismatch",)),
        ("Lumbar spine", (0.0, 64.0, 235.0), ()),
        ("Bone lesion", (0.0, 64.0, 235.0), ()),
        ("Left axillary lymph node", (84.0, -12.0, 590.0), ("organ-mismatch",)),
        ("Left hilar lymph node", (30.0, 0.0, 545.0), ()),  # as deep as in the lung
        ("Left breast mass", (60.0, -100.0, 540.0), ()),
        ("Left inguinal lymph node", (60.0, -100.0, 540.0), ("region-mismatch",)),
        ("Sigmoid colon", (60.0, -40.0, 140.0), ()),
        ("Stomach", (60.0, -40.0, 140.0), ("organ-mismatch",)),  # bowel may hang so low
        ("Stomach", (60.0, -40.0, 60.0), ("organ-mismatch", "region-mismatch")),
        ("Omental nodule", (60.0, -60.0, 300.0), ()),
        ("Uptake in the chest", (0.0, -60.0, 220.0), ("region-mismatch",)),
        ("Left thigh", (88.0, 5.0, 50.0), ()),
        ("Intense focus", (88.0, 5.0, 50.0), ()),
    ],
)
def test_organs_and_regions(
    body_scan: Scan, organs: list[Lesion], text: str, at: made.Point, expected: tuple[str, ...]
) -> None:
    assert flags(text, body_scan, at, organs) == expected


@pytest.mark.parametrize(("gap_mm", "expected"), [(10.0, ()), (12.0, ("organ-mismatch",))])
def test_an_organ_is_near_up_to_ten_millimetres(gap_mm: float, expected: tuple[str, ...]) -> None:
    grid = made.axial_grid((20, 20, 40), 2.0)
    masks = [np.zeros(grid.shape, np.bool_) for _ in range(2)]
    masks[0][8:12, 8:12, 10:15] = True
    first = 14 + round(gap_mm / 2)  # voxel 14 is the last of the organ
    masks[1][8:12, 8:12, first : first + 4] = True
    organ, lesion = (made.lesion_of(Mask(mask, grid), label="liver") for mask in masks)
    air = made.scan_of(made.volume(np.zeros(grid.shape, np.float32), grid))
    assert flags("Liver lesion", air, lesion, [organ]) == expected


def test_no_label_map_no_verdict(body_scan: Scan, organs: list[Lesion]) -> None:
    at = (-92.0, -12.0, 402.0)
    assert flags("Spleen lesion", body_scan, at) == ()
    without_spleen = [one for one in organs if one.segment.label == "liver"]
    assert flags("Spleen lesion", body_scan, at, without_spleen) == ()
    assert flags("Brain lesion", body_scan, at, without_spleen) == ("region-mismatch",)


@pytest.mark.parametrize(
    ("text", "stated", "expected"),
    [
        ("Liver lesion", codes.SCT.Lung, ("organ-mismatch",)),
        ("Liver lesion", codes.SCT.Liver, ()),
        ("Left upper lobe nodule", codes.SCT.Lung, ()),
        ("Left lung nodule", codes.SCT.UpperLobeOfLung, ()),
        ("Left hilar lymph node", codes.SCT.Lung, ()),
        ("Left inguinal lymph node", codes.SCT.Lung, ("organ-mismatch",)),
        ("Hypermetabolic lymph node", codes.SCT.Mediastinum, ()),  # it says no place
        ("Intense focus", codes.SCT.Lung, ()),
        ("Liver lesion", Code("1", "99X", "Thing"), ()),
        ("Liver lesion", None, ()),
    ],
)
def test_the_site_that_the_mask_codes_counts_without_a_map(
    body_scan: Scan, text: str, stated: Code | None, expected: tuple[str, ...]
) -> None:
    mask = made.ball(body_scan.pet.grid, (62.0, 0.0, 540.0))
    lesion = made.lesion_of(mask, anatomic_region=stated)
    assert flags(text, body_scan, lesion) == expected


def test_a_map_that_makes_no_row_of_vertebrae_tells_no_region(
    body_scan: Scan, organs: list[Lesion]
) -> None:
    spine = [one for one in organs if one.segment.label.startswith("vertebrae")]
    at = (0.0, -60.0, 220.0)
    assert flags("Uptake in the chest", body_scan, at, spine) == ("region-mismatch",)
    upside_down = [
        replace(one, segment=replace(one.segment, label=other.segment.label))
        for one, other in zip(spine, spine[::-1], strict=True)
    ]
    assert flags("Uptake in the chest", body_scan, at, upside_down) == ()
    assert flags("Uptake in the chest", body_scan, at, spine[:3]) == ()  # L5, L4: no bound


def test_segments_are_known_by_code_before_label(organs: list[Lesion]) -> None:
    liver = made.labelled_with(organs[0], codes.SCT.Liver).segment
    assert site_of_segment(liver) == table()["liver"]
    older = made.labelled_with(organs[0], Code("T-62000", "SRT", "Liver")).segment
    assert site_of_segment(older) == table()["liver"]
    private = replace(liver, property_type=Code("1", "99X", "Thing"), label="kidney_left")
    assert site_of_segment(private) == table()["kidney"]
    assert site_of_segment(replace(private, label="Segment 5x")) is None
    assert site_of_segment(replace(private, label="hip_left")) == table()["bony pelvis"]


def test_a_place_from_a_code_alone_is_judged(body_scan: Scan, organs: list[Lesion]) -> None:
    lesion = made.lesion_of(made.ball(body_scan.pet.grid, (-92.0, -12.0, 402.0)))
    coded = Located(site=codes.SCT.Spleen)
    assert flags_of("Focus", coded, lesion, body_scan, organs) == ("organ-mismatch",)


def test_an_empty_mask_gives_no_verdict(body_scan: Scan, organs: list[Lesion]) -> None:
    grid = body_scan.pet.grid
    lesion = made.lesion_of(made.ball(grid, (62.0, 0.0, 540.0)))
    nothing = Mask(np.zeros(grid.shape, np.bool_), grid)
    empty = Lesion(replace(lesion.segment, mask=nothing), replace(
        lesion.measurements, centroid_lps_mm=None
    ))  # fmt: skip
    assert flags("Right middle lobe nodule", body_scan, empty, organs) in ((), ("organ-mismatch",))
    assert neighbours_of(empty, labelled(organs)) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=6),
    st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=6),
    st.tuples(*[st.floats(1.5, 6.0)] * 3),
)
def test_distances_are_those_between_all_pairs(one, other, spacing_mm) -> None:
    affine = np.diag([*spacing_mm, 1.0])
    grid = replace(made.axial_grid((10, 10, 10)), affine=affine)
    masks = [np.zeros((10, 10, 10), np.bool_) for _ in range(2)]
    for mask, marked in zip(masks, (one, other), strict=True):
        mask[tuple(np.array(marked).T)] = True
    lesion, organ = (made.lesion_of(Mask(mask, grid), label="liver") for mask in masks)
    found = neighbours_of(lesion, labelled([organ]))
    nearest = cdist(np.array(one) * spacing_mm, np.array(other) * spacing_mm).min()
    if nearest > NEAR_MM + 1e-6:
        assert found == []
    elif nearest < NEAR_MM - 1e-6:
        assert found[0].distance_mm == pytest.approx(nearest)
        assert found[0].overlap == pytest.approx((masks[0] & masks[1]).sum() / masks[0].sum())
