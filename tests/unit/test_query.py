"""What a query string means, and that no pattern makes matching slow or finds too much."""

import re
import time
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.web.query import read_query
from pacsnode.web.refusal import Refusal
from storage.catalog.searching import Between, Condition, Like, OneOf


def only(level: Any = "study", **parameters: str) -> Condition:
    (condition,) = read_query(level, parameters.items(), {}).search.conditions
    return condition


@pytest.mark.parametrize(
    ("parameters", "condition"),
    [
        ({"StudyInstanceUID": "1.2,1.3"}, OneOf("StudyInstanceUID", ("1.2", "1.3"))),
        ({"0020000D": "1.2\\1.3"}, OneOf("StudyInstanceUID", ("1.2", "1.3"))),
        ({"PatientID": " P1 "}, OneOf("PatientID", ("P1",))),
        ({"ModalitiesInStudy": "PT,CT"}, OneOf("ModalitiesInStudy", ("PT", "CT"))),
        ({"StudyDate": "20240102"}, Between("StudyDate", "20240102", "20240102:")),
        ({"StudyDate": "20240102-"}, Between("StudyDate", "20240102", None)),
        ({"StudyDate": "-20240102"}, Between("StudyDate", None, "20240102:")),
        ({"StudyTime": "10-1159"}, Between("StudyTime", "10", "1159:")),
        ({"StudyID": "?1*"}, Like("StudyID", r"(?s)\A.1.*\Z")),
    ],
)
def test_values_become_conditions(parameters: dict[str, str], condition: Condition) -> None:
    assert only(**parameters) == condition


@pytest.mark.parametrize("value", ["", "*", "**"])
def test_universal_matching_is_no_condition_but_asks_for_the_attribute(value: str) -> None:
    query = read_query("study", {"PatientID": value}.items(), {})
    assert query.search.conditions == ()
    assert "PatientID" in query.included


def test_sequences_may_be_dotted() -> None:
    told = {"RequestAttributesSequence.ScheduledProcedureStepID": "S1"}
    assert only("series", **told) == OneOf("ScheduledProcedureStepID", ("S1",))
    assert only("series", **{"00400275.00401001": "R1"}) == OneOf("RequestedProcedureID", ("R1",))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"StudyInstanceUID": "Canary"}, "is a UID"),
        ({"StudyDate": "Canary"}, "YYYYMMDD"),
        ({"StudyDate": "-"}, "YYYYMMDD"),
        ({"StudyTime": "1"}, "HHMMSS"),
        ({"limit": "-1"}, "limit is a whole number"),
        ({"offset": "Canary"}, "offset is a whole number"),
        ({"fuzzymatching": "Canary"}, "true or false"),
        ({"includefield": "Canary"}, "no attribute"),
        ({"PatientName": "Canary" * 500}, "too long"),
        ({"PatientComments": "Canary"}, "no matching key of a study"),
    ],
)
def test_what_cannot_be_asked_is_named_without_its_value(
    parameters: dict[str, str], words: str
) -> None:
    with pytest.raises(Refusal, match=words) as refusal:
        read_query("study", parameters.items(), {})
    assert refusal.value.status == 400
    assert "Canary" not in str(refusal.value)


def test_parameters_that_are_no_attributes_are_passed_over() -> None:
    assert read_query("study", {"_": "17"}.items(), {}).search.conditions == ()


TEXT = st.text(st.sampled_from("aAb*?[]%_\\.^'\"()| \n"), max_size=12)


@given(TEXT, TEXT)
def test_wildcards_are_those_of_dicom(pattern: str, stored: str) -> None:
    if not pattern.strip("*") or not ("*" in pattern or "?" in pattern):
        return
    condition = only(StudyID=pattern)
    assert isinstance(condition, Like)
    expected = fnmatchcase(stored, pattern.replace("[", "[[]"))
    assert (re.search(condition.pattern, stored) is not None) == expected


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_name_can_be_asked_for(asked: str, stored: str) -> None:
    for condition in read_query("study", {"PatientName": asked}.items(), {}).search.conditions:
        assert isinstance(condition, Like)
        re.search(condition.pattern, stored)


def test_no_pattern_is_slow() -> None:
    condition = only(PatientName="*a" * 200 + "*b")
    assert isinstance(condition, Like)
    began = time.monotonic()
    assert re.search(condition.pattern, "a" * 190) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Yamada^Tarou", True), ("yamada^tarou", True), ("山田^太郎", True),
        ("やまだ^たろう", True),
        ("Yamada^Tarou^^", True), ("Yam*", True), ("山?^*", True), ("Yamada^Tarou=山田*", True),
        ("Yamada", False), ("amada^Tarou", False), ("*やまだ", False), ("Yamada*郎", False),
    ],
)  # fmt: skip
def test_a_name_matches_whole_or_by_a_component_group(asked: str, found: bool) -> None:
    condition = only(PatientName=asked)
    assert isinstance(condition, Like)
    stored = "Yamada^Tarou^^=山田^太郎=やまだ^たろう"
    assert (re.search(condition.pattern, stored) is not None) is found
