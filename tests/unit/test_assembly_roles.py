"""Lesion or context: rules of the settings in their order, then what the object says."""

from typing import Any

import pytest

from pacsnode.assembly.roles import roles_of
from pacsnode.settings import RoleRule
from storage.records import Instance
from tests.unit.assembly_records import ANATOMY, make_rtstruct, make_seg, segment

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
OLD_CODE = {"CodeValue": "M-01000", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Altered"}


def lesions(mask: Instance, *rules: RoleRule) -> tuple[int, ...]:
    return tuple(role.number for role in roles_of(mask, rules) if role.is_lesion)


def test_segments_of_a_seg_and_of_a_label_map() -> None:
    segments = (segment(2), segment(1, ANATOMY), segment(5, OLD_CODE))
    for mask in (
        make_seg(SegmentSequence=segments),
        make_seg(sop_class_uid=LABEL_MAP, SegmentSequence=(segment(0), *segments)),
    ):
        assert [role.number for role in roles_of(mask, ())] == [1, 2, 5]
        assert lesions(mask) == (2, 5)
        assert all(role.reason for role in roles_of(mask, ()))


def test_a_place_makes_no_organ_of_a_segment_whose_type_names_no_anatomy() -> None:
    """An anatomic region says where; only the type says what."""
    tissue = {"CodeValue": "85756007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
    lung = {"CodeValue": "39607008", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Lung"}
    of_type = {
        number: segment(
            number, tissue,
            SegmentedPropertyTypeCodeSequence=(kind,), AnatomicRegionSequence=(lung,),
        )
        for number, kind in ((1, tissue), (2, lung))
    }  # fmt: skip
    assert lesions(make_seg(SegmentSequence=tuple(of_type.values()))) == (1,)


@pytest.mark.parametrize(
    ("stated", "is_lesion"),
    [
        ("GTV", True),
        ("NONE", True),
        ("", True),
        (None, True),
        ("gtv", True),
        ("ORGAN", False),
        ("EXTERNAL", False),
        ("PTV", False),
        ("CTV", False),
        ("AVOIDANCE", False),
    ],
)
def test_rois_by_interpreted_type(stated: str | None, is_lesion: bool) -> None:
    observation: dict[str, Any] = {"ReferencedROINumber": 4}
    if stated is not None:
        observation["RTROIInterpretedType"] = stated
    mask = make_rtstruct(
        StructureSetROISequence=({"ROINumber": 4, "ROIName": "x"},),
        RTROIObservationsSequence=(observation,),
    )
    assert lesions(mask) == ((4,) if is_lesion else ())


def test_an_roi_that_nobody_observed_is_empty_and_an_observation_of_no_roi_is_nothing() -> None:
    mask = make_rtstruct(
        StructureSetROISequence=({"ROINumber": 1}, {"ROIName": "no number"}),
        RTROIObservationsSequence=({"ReferencedROINumber": 9}, {"RTROIInterpretedType": "GTV"}),
    )
    assert lesions(mask) == (1,)


def test_rules_by_label_and_sender_are_taken_in_order() -> None:
    names = ("GTV node", "Liver", "bladder")
    mask = make_rtstruct(
        calling_ae="PLANNING",
        StructureSetROISequence=tuple(
            {"ROINumber": number, "ROIName": name} for number, name in enumerate(names, start=1)
        ),
        RTROIObservationsSequence=(),
    )
    assert lesions(mask) == (1, 2, 3)
    organs = RoleRule(label="liver|bladder", role="context")
    assert lesions(mask, organs) == (1,)
    assert lesions(mask, RoleRule(label="^liver$", role="lesion"), organs) == (1, 2)
    assert lesions(mask, RoleRule(calling_ae="PLANNING", role="context")) == ()
    assert lesions(mask, RoleRule(calling_ae="OTHER", role="context")) == (1, 2, 3)
    both = RoleRule(calling_ae="PLANNING", label="node", role="context")
    assert lesions(mask, both) == (2, 3)
    told = roles_of(mask, (both, organs))
    assert told[0].reason == "role rule 1 of the settings says so"
    assert told[1].reason == "role rule 2 of the settings says so"


@pytest.mark.parametrize(
    ("pattern", "sender", "fits"),
    [
        (r"^PLAN\d+$", "PLAN12", True),
        (r"^PLAN\d+$", "XPLAN12", False),
        ("plan", "TPLANNING ", True),  # searched, without regard to case
        ("A|B", "B", True),
        ("", "ANYONE", True),
        ("", None, False),
        (".*", " ", False),
    ],
)
def test_a_sender_is_searched_for_a_pattern(pattern: str, sender: str | None, fits: bool) -> None:
    mask = make_seg(calling_ae=sender)
    context = RoleRule(calling_ae=pattern, role="context")
    assert lesions(mask, context) == (() if fits else (1,))


def test_without_a_sender_a_rule_by_sender_does_not_fit() -> None:
    mask = make_seg(calling_ae=None)
    assert lesions(mask, RoleRule(calling_ae="PLANNING", role="context")) == (1,)
