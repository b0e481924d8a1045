"""Sentences find the lesion they measure, or are dropped with the reason that is true."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from engine.acquisition import SuvRefusal
from engine.cohort.pairs import REASONS, pairs_of
from engine.cohort.pairs_contour import Limits, lesion_at
from engine.cohort.pairs_records import Exam, split_of, study_name
from engine.cohort.pairs_sentences import Said, said_in, sentences_of
from engine.evaluating.interpretation import interpretation_in
from engine.lesion import Segment
from engine.measuring.lesions import measure
from tests.unit.boxes import a_grid, scan_of
from tests.unit.hot_spots import HotSpots, hot_spots, is_within_a_voxel, matched

EXAM = Exam("study-1", "train", interpret=interpretation_in)


@pytest.fixture(scope="module")
def spots() -> HotSpots:
    return hot_spots(seed=5, count=8)


def test_generated_reports_give_back_their_masks() -> None:
    """Most masks within a voxel at the boundary, and no word of it lost without a reason."""
    whole, back, dropped = 0, 0, Counter[str]()
    for seed, spacing_mm in enumerate([(3.27, 3.65, 3.65), (4, 4, 4), (2, 4.07, 4.07), (5, 3, 3)]):
        made = hot_spots(seed, count=11, spacing_mm=spacing_mm)
        report = made.report(np.random.default_rng(seed)) + (
            "\nThe liver is normal with SUV mean 2.1.\nLesion with SUV max 55.0 on slice 20."
            "\nPreviously SUV max 8.2 on slice 12.\nLesion with SUV max 4.4."
        )
        pairs = pairs_of(report, made.scan, EXAM)
        assert pairs.sentences == len(made.masks) + 5
        assert len(pairs.examples) + len(pairs.dropped) == pairs.sentences
        found = tuple(one.mask for one in pairs.examples)
        whole += len(made.masks)
        back += sum(matched(mask, found) for mask in made.masks)
        dropped.update(one.code for one in pairs.dropped)
        for code, sentence in (
            ("no-suv", "The liver is normal with SUV mean 2.1."),
            ("no-match", "Lesion with SUV max 55.0 on slice 20."),
            ("prior-only", "Previously SUV max 8.2 on slice 12."),
            ("no-slice", "Lesion with SUV max 4.4."),
            ("no-suv", "FINDINGS:"),
        ):
            assert (sentence, code) in [(one.text, one.code) for one in pairs.dropped]
    assert whole == 44
    assert back >= 0.95 * whole, dropped
    assert set(dropped) <= set(REASONS)


def test_a_pair_says_what_its_mask_measures(spots: HotSpots) -> None:
    suv, number = spots.said[0]
    sentence = (
        f"Intensely FDG-avid left axillary lymph node, SUV max {suv} (slice {number}), suspicious."
    )
    (one,) = pairs_of(sentence, spots.scan, EXAM).examples
    record = one.record
    assert (record.site, record.laterality) == ("axillary LN", "left")
    assert (record.organ_group, record.region) == ("Lymph node", "Chest")
    assert (record.uptake, record.interpretation) == ("intense", "malignant")
    assert (record.text, record.source, record.split) == (sentence, "report", "train")
    again = measure(Segment(1, "", "lesion", one.mask, "", ""), spots.scan)
    assert record.measured["suv_max"] == again.suv_max == pytest.approx(suv, abs=0.1)
    assert record.measured["slice"] == number
    assert record.measured["volume_cm3"] == again.volume_cm3


@pytest.mark.parametrize(
    ("sentence", "suv", "slices"),
    [
        ("Left axillary lymph node, SUV max of 6.3 (slice 86).", 6.3, (86, 86)),
        ("Focus in the liver with max SUV 15.8 on image 77 of 267.", 15.8, (77, 77)),
        ("1.2 x 1.1 cm nodule, SUVmax: 3.25 (PET/CT axial slice 86).", 3.25, (86, 86)),
        ("Liver lesion SUV max measures up to 4 on axial slices 101-104.", 4.0, (101, 104)),
        ("Node with SUV max 6.3 (slice 86), previously SUV max 8.2 (slice 90).", 6.3, (86, 86)),
        ("Lesion SUV max 7,7 slice 12.", 7.7, (12, 12)),
        ("Above the liver background (SUV max 3.1), SUV max 7.7, slice 120.", 7.7, (120, 120)),
        ("L4-L5 uptake, maximum SUV of 5.5, SUV mean 3.1, image 201.", 5.5, (201, 201)),
        ("T9 uptake on slice 156 with a standardized uptake value of 12.", 12.0, (156, 156)),
        ("SUV max 12.0, 3.3 x 2.2 cm, slice number 101, increased from 4.5.", 12.0, (101, 101)),
        ("SUV max 6.3, axial slice 86, and again PET image 86.", 6.3, (86, 86)),
    ],
)  # fmt: skip
def test_a_sentence_gives_suv_and_slice(sentence: str, suv: float, slices: tuple[int, int]) -> None:
    assert said_in(sentence) == Said(sentence, suv, slices)


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("The liver is normal.", "no-suv"),
        ("No abnormal uptake with SUV max above 2.5 on slice 20.", "no-suv"),
        ("Normal liver with SUV mean 2.1 on slice 40.", "no-suv"),
        ("Previously SUV max 8.2 on slice 12.", "prior-only"),
        ("Liver lesion with SUV max 7.7.", "no-slice"),
        ("Liver lesion with SUV max 7.7, CT image 33.", "no-slice"),
        ("Left node SUV max 4.1 (slice 80), right node SUV max 5.2 (slice 82).", "several-suvs"),
        ("Lesion SUV max 5.2 on slice 80 and on slice 91.", "several-slices"),
        ("Lesion SUV max less than 3 at slice 12.", "inexact-suv"),
        ("Lesion SUV max of 3-4 at slice 12.", "inexact-suv"),
        ("Lesion SUV max approximately 3.1 at slice 12.", "inexact-suv"),
    ],
)
def test_a_sentence_that_gives_none_says_why(sentence: str, code: str) -> None:
    assert said_in(sentence) == code


def test_sentences_end_where_they_end() -> None:
    report = (
        "FINDINGS:\nNode, SUV max. 6.3 on im. 4. Dr. Who saw it."
        "\n\nIMPRESSION:\n1. SUV 4.5.\n2. Nil"
    )
    assert list(sentences_of(report)) == [
        "FINDINGS:", "Node, SUV max. 6.3 on im. 4.", "Dr. Who saw it.", "IMPRESSION:", "SUV 4.5.",
        "Nil",
    ]  # fmt: skip


def test_suv_and_slice_both_have_to_fit(spots: HotSpots) -> None:
    suv, number = spots.said[0]  # no other lesion has this SUVmax
    assert not isinstance(lesion_at(spots.scan, suv, (number, number)), str)
    assert lesion_at(spots.scan, round(suv + 0.3, 1), (number, number)) == "no-match"
    assert lesion_at(spots.scan, suv, (900, 900)) == "no-such-slice"
    elsewhere = [n for n in range(1, 65) if not _on(spots, 0, n)]
    assert {lesion_at(spots.scan, suv, (n, n)) for n in elsewhere[::6]} == {"no-match"}


def test_two_alike_on_one_slice_are_ambiguous() -> None:
    scan = _two_balls(8.0, 8.0, apart=18)
    assert lesion_at(scan, 8.0, (20, 20)) == "ambiguous"
    assert not isinstance(lesion_at(_two_balls(8.0, 7.0, apart=18), 8.0, (20, 20)), str)


def test_a_hotter_neighbour_stays_outside() -> None:
    """The two are joined at 40 % of the lesion's SUVmax, and part above it."""
    scan = _two_balls(6.0, 14.0, apart=12)
    found = lesion_at(scan, round(float(scan.pet.values[20, 20, 12]), 1), (20, 20))
    assert not isinstance(found, str)
    assert found.voxels[20, 20, 12]
    assert not found.voxels[20, 20, 19:].any()
    assert scan.pet.values[found.voxels].max() == scan.pet.values[found.peak_kji]


def test_a_shoulder_of_a_hotter_lesion_is_no_lesion() -> None:
    scan = _two_balls(8.0, 0.0, apart=9)
    for part in (7.0, 6.0, 5.0):  # values that the lesion's slope passes through
        assert lesion_at(scan, part, (20, 20)) == "no-match"


def test_a_contour_that_runs_out_is_refused() -> None:
    scan = _two_balls(8.0, 0.0, apart=9)
    assert lesion_at(scan, 8.0, (20, 20), Limits(largest_cm3=1.0)) == "too-large"


def test_a_lesion_is_paired_once(spots: HotSpots) -> None:
    suv, number = spots.said[0]
    sentence = f"Lesion with SUV max {suv} on slice {number}."
    pairs = pairs_of(f"{sentence}\nIMPRESSION:\n{sentence}", spots.scan, EXAM)
    assert len(pairs.examples) == 1
    assert [one.code for one in pairs.dropped] == ["no-suv", "said-before"]
    assert pairs.counts() == {"matched": 1, "no-suv": 1, "said-before": 1}


def test_without_suv_nothing_is_matched(spots: HotSpots) -> None:
    scan = replace(spots.scan, suv=SuvRefusal("missing-weight", "No weight."))
    pairs = pairs_of(spots.report(np.random.default_rng(0)), scan, EXAM)
    assert not pairs.examples
    assert {one.code for one in pairs.dropped} == {"missing-weight"}
    assert len(pairs.dropped) == pairs.sentences


def test_what_rules_cannot_settle_may_be_asked(spots: HotSpots) -> None:
    (suv, number), (other_suv, other) = spots.said[:2]
    sentence = (
        f"Left node SUV max {suv} (slice {number}), right node SUV max {other_suv} (slice {other})."
    )
    asked: list[str] = []

    def ask(text: str) -> list[Said]:
        asked.append(text)
        left, right = text.split(", ")
        return [Said(left, suv, (number, number)), Said(right, other_suv, (other, other))]

    pairs = pairs_of(f"The liver is normal. {sentence}", spots.scan, EXAM, ask=ask)
    assert asked == [sentence]
    assert pairs.asked == 1
    assert [one.record.laterality for one in pairs.examples] == ["left", "right"]
    assert is_within_a_voxel(pairs.examples[1].mask.voxels, spots.masks[1])
    assert pairs_of(sentence, spots.scan, EXAM).counts() == {"matched": 0, "several-suvs": 1}


def test_patients_fall_into_one_split_each() -> None:
    shares = Counter(split_of(f"patient {number}") for number in range(5000))
    assert shares["train"] / 5000 == pytest.approx(0.8, abs=0.02)
    assert shares["test"] / 5000 == pytest.approx(0.1, abs=0.02)
    assert split_of("patient 7") == split_of("patient 7")
    assert "patient" not in study_name("patient 7")


def _on(spots: HotSpots, which: int, number: int) -> bool:
    """Whether a lesion, or anything within 40 mm, is on a slice."""
    k = len(spots.scan.pet.slices) - number
    marked = np.flatnonzero(spots.masks[which].any(axis=(1, 2)))
    return bool(marked.min() - 3 <= k <= marked.max() + 3)


def _two_balls(one_suv: float, other_suv: float, apart: int):  # type: ignore[no-untyped-def]
    """Gaussians of sigma 3 voxels at [20, 20, 12] and `apart` voxels on, in tissue of 0.5."""
    k, j, i = np.indices((40, 40, 50))
    values = np.full(k.shape, 0.5)
    for height, column in ((one_suv, 12), (other_suv, 12 + apart)):
        square = (k - 20) ** 2 + (j - 20) ** 2 + (i - column) ** 2
        values += max(height - 0.5, 0) * np.exp(-square / 18)
    return scan_of(values, a_grid(values.shape, (4, 4, 4)))
