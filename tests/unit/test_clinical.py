"""What texts state of lesions, by rules, and the figures made of it."""

from collections import Counter
from importlib import import_module

import pytest

from engine.codes import same
from engine.cohort.record import Record
from engine.evaluating.clinical import (
    class_scores,
    confusion,
    fact_scores,
    macro_f1,
    wilson,
)
from engine.evaluating.efficacy import ABNORMAL, efficacy_of, states_in
from engine.evaluating.facts import FACTS, Facts, facts_in, facts_of, mistakes
from engine.evaluating.groups import GROUP_OF, GROUPS, OUTSIDE
from engine.evaluating.interpretation import interpretation_in
from engine.grounding.site_table import table


def record(**told: str | None) -> Record:
    nothing: dict[str, str | None] = dict.fromkeys(
        ("site", "organ_group", "region", "laterality", "uptake", "interpretation")
    )
    return Record("s", "l", "test", **(nothing | told), text="")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Intense FDG uptake in the right hilar lymph node, suspicious for metastasis.",
         ("hilar LN", "Lymph node", "Chest", "right", "intense", "malignant")),
        ("Mildly hypermetabolic lesion of the left femur, likely degenerative.",
         ("femur", "Bone", "Extremity", "left", "mild", "inflammatory")),
        ("Physiologic activity in the urinary bladder.",
         ("urinary bladder", "Bladder", "Pelvis", "none", None, "physiologic")),
        ("Moderate FDG uptake in the liver, indeterminate.",
         ("liver", "Liver", "Abdomen", "none", "moderate", "uncertain")),
        ("A lesion.", (None,) * 6),
        ("", (None,) * 6),
    ],
)  # fmt: skip
def test_a_text_states_facts(text: str, known: tuple[str | None, ...]) -> None:
    assert facts_in(text) == Facts(*known)


@pytest.mark.parametrize(
    "text",
    [
        "Intensely FDG avid normal-sized left axillary lymph node, suspicious for metastasis.",
        "Left hilar node, normal in size, with intense uptake, suspicious for nodal metastasis.",
        "Intense uptake in a normal-appearing bone, compatible with metastasis.",
    ],
)
def test_a_normal_size_is_no_normal_uptake(text: str) -> None:
    assert interpretation_in(text) == "malignant"
    assert interpretation_in("Normal uptake in the myocardium.") == "physiologic"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("No evidence of malignancy.", None),
        ("Likely reactive rather than malignant.", "inflammatory"),
        ("Inflammatory; metastasis is less likely.", "inflammatory"),
        ("Metastasis versus infection.", "uncertain"),
        ("Metastatic or inflammatory.", "uncertain"),
        ("Nonspecific uptake.", "uncertain"),
        ("Malignancy cannot be excluded.", "uncertain"),
        ("Uptake above normal liver, concerning for recurrence.", "malignant"),
        ("Normal excretion.", "physiologic"),
        ("Active disease.", "malignant"),
        ("Degenerative disease.", "inflammatory"),
        ("Uptake of brown fat.", "physiologic"),
    ],
)
def test_interpretations_and_their_denial(text: str, meant: str | None) -> None:
    assert interpretation_in(text) == meant


def test_a_record_of_a_midline_site_knows_that_it_has_no_side() -> None:
    sites = [site for site in table().values() if site.side == "no"]
    assert facts_of(record(site=sites[0].name)).laterality == "none"
    assert facts_of(record(site="femur")).laterality is None
    assert facts_of(record(site="femur", laterality="left")).laterality == "left"
    assert facts_of(record(interpretation="suspicious for metastasis")).interpretation == (
        "malignant"
    )


def test_a_record_may_have_a_word_of_its_own_for_what_it_is() -> None:
    assert facts_of(record(interpretation="thrombus")).interpretation == "thrombus"


def test_a_side_is_told_by_who_tells_a_place() -> None:
    assert facts_in("Uptake in the liver.").laterality == "none"
    assert facts_in("Uptake in the kidney.").laterality == "none"
    assert facts_in("Uptake.").laterality is None
    known = facts_of(record(site="urinary bladder"))
    assert "laterality" in mistakes(known, facts_in("A lesion, SUVmax 4."))
    assert "laterality" not in mistakes(known, facts_in("Uptake in the urinary bladder."))


def test_what_is_not_said_is_no_grade() -> None:
    (pair,) = confusion("uptake", [Facts(uptake="mild")], [Facts()])
    assert pair == ("mild", "not said")
    assert facts_in("Non-avid lung nodule.").uptake == "none"


def test_sides_of_the_table_that_have_only_one() -> None:
    one_sided = [site for site in table().values() if site.side in ("left", "right")]
    assert one_sided
    for site in one_sided:
        assert facts_of(record(site=site.name)).laterality == site.side


def test_what_is_left_out_is_wrong_and_what_is_not_known_is_not_judged() -> None:
    known = Facts(site="femur", organ="Bone", laterality="none")
    assert mistakes(known, Facts(organ="Bone", laterality="none")) == ("site",)
    assert mistakes(known, Facts(site="femur", organ="Liver", laterality="left")) == (
        "organ", "laterality",
    )  # fmt: skip
    scores = {one.fact: one for one in fact_scores([known], [Facts(organ="Bone")])}
    assert tuple(scores) == FACTS
    assert (scores["site"].judged, scores["site"].exact) == (1, 0)
    assert (scores["laterality"].judged, scores["laterality"].exact) == (1, 0)  # no place, no side
    assert (scores["uptake"].judged, scores["uptake"].exact) == (0, None)
    assert scores["uptake"].macro_f1 is None
    assert scores["uptake"].interval is None


def test_macro_f1_equals_scikit_learns() -> None:
    metrics = import_module("sklearn.metrics")
    known = ["left", "right", "none", "left", "left", "right", "none", "left"]
    said = ["left", "left", "none", "bilateral", "left", "right", "left", "none"]
    both = [Facts(laterality=one) for one in known], [Facts(laterality=one) for one in said]
    labels = sorted(set(known))
    expected = metrics.f1_score(known, said, labels=labels, average="macro")
    (score,) = [one for one in fact_scores(*both) if one.fact == "laterality"]
    assert score.macro_f1 == pytest.approx(expected, abs=1e-12)
    each = metrics.precision_recall_fscore_support(known, said, labels=labels, zero_division=0)
    counts = confusion("laterality", *both)
    for at, label in enumerate(labels):
        expected = [float(column[at]) for column in each[:3]]
        assert class_scores(counts, label) == pytest.approx(expected)
    assert macro_f1(Counter()) is None


def test_wilsons_interval_of_a_textbook_case() -> None:
    # 9 of 10: Brown, Cai & DasGupta 2001 give about (0.596, 0.982)
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == 1


def test_there_are_19_groups_and_every_organ_has_its_place() -> None:
    assert len(GROUPS) == 19
    organs = {site.organ_group for site in table().values()} - {None}
    assert organs == set(GROUP_OF) | OUTSIDE
    assert not set(GROUP_OF) & OUTSIDE


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Intense uptake in the liver.", {"liver": "increased"}),
        ("No uptake in the spleen.", {"spleen": "absent"}),
        ("Photopenic lesion of the liver.", {"liver": "decreased"}),
        ("Decreased FDG uptake in the brain.", {"brain": "decreased"}),
        ("Physiologic uptake in the kidneys.", {"kidneys": "normal"}),
        ("Nodule in the right upper lobe. It is hypermetabolic.", {"lung and pleura": "increased"}),
        ("Uptake in the breast.", {}),
        ("Left lower lobe FDG-avid nodule.", {"lung and pleura": "increased"}),
        ("Right lower lobe nodule with FDG uptake greater than liver.",
         {"lung and pleura": "increased"}),
        ("Low grade uptake in the liver.", {"liver": "increased"}),
        ("Low-level FDG activity in the stomach.", {"stomach": "increased"}),
        ("Lower uptake than the liver is seen in the spleen.", {"spleen": "decreased"}),
        ("Splenic FDG uptake is lower than expected.", {"spleen": "decreased"}),
        ("Mildly to moderately decreased FDG uptake in the brain.", {"brain": "decreased"}),
        ("Mild hypometabolic activity of the cerebellum.", {"brain": "decreased"}),
        ("Lung nodule with uptake above normal liver.", {"lung and pleura": "increased"}),
        ("Intense uptake above normal liver in a hilar lymph node.", {"lymph nodes": "increased"}),
        ("Hypermetabolic normal-sized axillary lymph node.", {"lymph nodes": "increased"}),
        ("Intense uptake with a photopenic centre in the pancreas.", {"pancreas": "increased"}),
        ("Mild uptake in the rib, not associated with activity elsewhere.", {"bone": "increased"}),
        ("No decreased uptake in the brain.", {"brain": "absent"}),
        ("No intense uptake in the liver.", {"liver": "absent"}),
        ("The liver is unremarkable.", {"liver": "normal"}),
        ("Normal FDG uptake in the stomach.", {"stomach": "normal"}),
        ("Intense physiologic uptake in the kidneys.", {"kidneys": "normal"}),
        ("Moderate uptake beyond physiologic in the colon.", {"bowel": "increased"}),
        ("Non-avid lung nodule. Liver: hypermetabolic.",
         {"lung and pleura": "absent", "liver": "increased"}),
    ],
)  # fmt: skip
def test_the_state_of_uptake_by_group(text: str, states: dict[str, str]) -> None:
    assert states_in(text) == states


def test_efficacy_counts_groups_of_studies() -> None:
    references = {
        "one": ["Intense uptake in the liver.", "Hypermetabolic bone lesion."],
        "two": ["No uptake in the spleen."],
    }
    told = efficacy_of(references, references)
    assert (told.precision, told.recall, told.f1, told.studies) == (1, 1, 1, 2)
    assert told.by_state["decreased"] is None  # it never occurred: it is not averaged
    half = efficacy_of({"one": ["Intense uptake in the liver. Uptake in the lung."]}, references)
    # increased: 1 right of 2 said and 2 known; absent: missed
    assert half.by_state["increased"] == pytest.approx((0.5, 0.5, 0.5))
    assert half.by_state["absent"] == (0, 0, 0)
    assert half.f1 == pytest.approx(0.25)
    assert set(half.by_state) == set(ABNORMAL)


def test_abnormal_wins_where_two_lesions_share_a_group() -> None:
    texts = ["Physiologic bowel uptake.", "Hypermetabolic mass of the sigmoid colon."]
    assert efficacy_of({"s": [texts[1]]}, {"s": texts}).f1 == 1


def test_every_site_by_its_own_name_is_read_back() -> None:
    """A reference that names a row of the table must be understood as that row."""
    missed = []
    for site in table().values():
        said = facts_in(f"Intense FDG uptake in the {site.synonyms[0]}.")
        row = table()[said.site] if said.site else None
        if row is None or not same(row.code, site.code):
            missed.append(site.name)
    assert len(missed) <= 0.05 * len(table()), missed
