"""Versions of one mask: every save in a viewer is a new SEG, and only the latest is reported."""

import re
from collections.abc import Sequence
from datetime import datetime

from pacsnode.assembly.attributes import items, moment, text
from pacsnode.assembly.ours import is_ours
from pacsnode.assembly.references import references_of
from pacsnode.assembly.senders import is_from
from pacsnode.settings import Assembly, Supersession
from storage.records import Instance


def earlier_version(mask: Instance, others: Sequence[Instance], rules: Assembly) -> Instance | None:
    """The latest of the earlier versions of a mask: the one whose report this one's takes over.

    A version is a mask of the same creator on the same PET that shares a Tracking UID, or fits a
    configured rule. Which is earlier is told by when they were made, else by when they came.
    """
    earlier = [one for one in _versions(mask, others, rules) if _precedes(one, mask)]
    return max(earlier, key=_age, default=None)


def later_version(mask: Instance, others: Sequence[Instance], rules: Assembly) -> Instance | None:
    """The newest of the later versions of a mask: where there is one, the mask is superseded."""
    return next(reversed(later_versions(mask, others, rules)), None)


def later_versions(
    mask: Instance, others: Sequence[Instance], rules: Assembly
) -> tuple[Instance, ...]:
    """Every later version of a mask, the newest last."""
    later = [one for one in _versions(mask, others, rules) if _precedes(mask, one)]
    return tuple(sorted(later, key=_age))


def _versions(mask: Instance, others: Sequence[Instance], rules: Assembly) -> list[Instance]:
    return [
        one
        for one in others
        if one.sop_instance_uid != mask.sop_instance_uid
        and one.sop_class_uid == mask.sop_class_uid
        and not is_ours(one)
        and _same_creator(one, mask)
        and _same_images(one, mask)
        and (
            _shares_tracking(one, mask) or any(_fit(rule, one, mask) for rule in rules.supersession)
        )
    ]


def _same_creator(one: Instance, other: Instance) -> bool:
    """By Manufacturer and model where both state them; else by calling AE, which routers share."""
    makers = [
        (text(each.attributes, "Manufacturer"), text(each.attributes, "ManufacturerModelName"))
        for each in (one, other)
    ]
    if all(maker[0] for maker in makers):
        return makers[0] == makers[1]
    return bool(one.calling_ae) and one.calling_ae == other.calling_ae


def _same_images(one: Instance, other: Instance) -> bool:
    if one.frame_of_reference_uid != other.frame_of_reference_uid:
        return False
    ours, theirs = references_of(one), references_of(other)
    if not (ours.instance_uids or ours.series_uids or theirs.instance_uids or theirs.series_uids):
        return one.frame_of_reference_uid is not None
    if ours.series_uids and theirs.series_uids:
        return bool(ours.series_uids & theirs.series_uids)
    return bool(ours.instance_uids & theirs.instance_uids)


def _shares_tracking(one: Instance, other: Instance) -> bool:
    return bool(_tracking_uids(one) & _tracking_uids(other))


def _tracking_uids(mask: Instance) -> set[str]:
    segments = items(mask.attributes, "SegmentSequence")
    return {uid for segment in segments if (uid := text(segment, "TrackingUID"))}


def _fit(rule: Supersession, one: Instance, other: Instance) -> bool:
    """Both descriptions fit the pattern, with the same words in its groups."""
    if not all(is_from(each, rule.calling_ae) for each in (one, other)):
        return False
    matches = [
        re.search(
            rule.series_description,
            text(each.attributes, "SeriesDescription") or "",
            re.IGNORECASE,
        )
        for each in (one, other)
    ]
    first, second = matches
    return first is not None and second is not None and first.groups() == second.groups()


def _precedes(one: Instance, other: Instance) -> bool:
    made, made_other = _made_at(one), _made_at(other)
    if made is not None and made_other is not None and made != made_other:
        return made < made_other
    return _arrival(one) < _arrival(other)


def _age(mask: Instance) -> tuple[datetime, tuple[datetime, str]]:
    return _made_at(mask) or datetime.min, _arrival(mask)  # noqa: DTZ901 - DICOM local time


def _arrival(mask: Instance) -> tuple[datetime, str]:
    return mask.received_at, mask.sop_instance_uid


def _made_at(mask: Instance) -> datetime | None:
    for stem in ("StructureSet", "Content", "InstanceCreation", "Series"):
        made = moment(mask.attributes, f"{stem}Date", f"{stem}Time")
        if made is not None:
            return made
    return None
