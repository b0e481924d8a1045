"""Which segments or ROIs of a mask object are lesions: settings first, then the engine's rule."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.reading.roles import default_role
from pacsnode.assembly.attributes import Attributes, code, items, number, text
from pacsnode.assembly.kinds import SEGMENTATION_CLASSES
from pacsnode.assembly.senders import is_from
from pacsnode.settings import RoleRule
from storage.records import Instance


@dataclass(frozen=True, slots=True)
class SegmentRole:
    """What one segment (SegmentNumber) or ROI (ROINumber) is, and the clause that says why."""

    number: int
    is_lesion: bool
    reason: str


def roles_of(mask: Instance, rules: Sequence[RoleRule]) -> tuple[SegmentRole, ...]:
    """The role of every segment or ROI, in ascending number; the first rule that fits decides."""
    found = {}
    for segment_number, label, default in _segments(mask):
        rule = _first_fit(mask, label, rules)
        if rule is None:
            found[segment_number] = default
        else:
            place = rules.index(rule) + 1
            found[segment_number] = SegmentRole(
                segment_number, rule.role == "lesion", f"role rule {place} of the settings says so"
            )
    return tuple(found[key] for key in sorted(found))


def _segments(mask: Instance) -> Iterator[tuple[int, str, SegmentRole]]:
    if mask.sop_class_uid in SEGMENTATION_CLASSES:
        yield from _seg_segments(mask.attributes)
    else:
        yield from _rois(mask.attributes)


def _seg_segments(attributes: Attributes) -> Iterator[tuple[int, str, SegmentRole]]:
    for item in items(attributes, "SegmentSequence"):
        stated = number(item, "SegmentNumber")
        if not stated:  # a label map's number 0 is its background (PS3.3 C.8.20.2.4)
            continue
        default = default_role(
            is_roi=False,
            category=code(item, "SegmentedPropertyCategoryCodeSequence"),
            property_type=code(item, "SegmentedPropertyTypeCodeSequence"),
        )
        role = SegmentRole(int(stated), default.role == "lesion", default.reason)
        yield int(stated), text(item, "SegmentLabel") or "", role


def _rois(attributes: Attributes) -> Iterator[tuple[int, str, SegmentRole]]:
    observations: dict[int, Attributes] = {}
    for observation in items(attributes, "RTROIObservationsSequence"):
        about = number(observation, "ReferencedROINumber")
        if about is not None:
            observations.setdefault(int(about), observation)
    for item in items(attributes, "StructureSetROISequence"):
        stated = number(item, "ROINumber")
        if stated is None:
            continue
        observation = observations.get(int(stated), {})
        default = default_role(
            is_roi=True,
            property_type=code(observation, "RTROIIdentificationCodeSequence"),
            interpreted_type=text(observation, "RTROIInterpretedType"),
        )
        role = SegmentRole(int(stated), default.role == "lesion", default.reason)
        yield int(stated), text(item, "ROIName") or "", role


def _first_fit(mask: Instance, label: str, rules: Sequence[RoleRule]) -> RoleRule | None:
    return next((rule for rule in rules if _fits(mask, label, rule)), None)


def _fits(mask: Instance, label: str, rule: RoleRule) -> bool:
    if not is_from(mask, rule.calling_ae):
        return False
    return rule.label is None or re.search(rule.label, label, re.IGNORECASE) is not None
