"""Records to table rows, and back."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Row

from storage.header import Queried
from storage.records import Decision, Instance, Reference, Series

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Entry(NamedTuple):
    """An instance on its way into the catalog, and what only queries need of it."""

    instance: Instance
    is_image: bool
    queried: Queried


def microseconds(moment: datetime) -> int:
    """Since 1970, UTC; exact, where a float would round."""
    return (moment - EPOCH) // MICROSECOND


def moment(since_1970_us: int) -> datetime:
    """The aware time of a row."""
    return EPOCH + timedelta(microseconds=since_1970_us)


def row_of(entry: Entry, root: Path) -> dict[str, Any]:
    """The columns of an instance; a path below the root is kept relative to it."""
    instance = entry.instance
    path = instance.path
    return {
        "sha256": instance.sha256,
        "sop_instance_uid": instance.sop_instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "series_instance_uid": instance.series_instance_uid,
        "study_instance_uid": instance.study_instance_uid,
        "modality": instance.modality[:16],
        "frame_of_reference_uid": instance.frame_of_reference_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "path": str(path.relative_to(root) if path.is_relative_to(root) else path),
        "size_bytes": instance.size_bytes,
        "calling_ae": instance.calling_ae,
        "received_at_us": microseconds(instance.received_at),
        "standing": instance.standing,
        "remark": instance.remark,
        "patient_id_digest": instance.patient_id_digest,
        "patient_name_digest": instance.patient_name_digest,
        "is_image": entry.is_image,
        "referenced_series": json.dumps(instance.referenced_series),
        "extent_lps_mm": json.dumps(instance.extent_lps_mm) if instance.extent_lps_mm else None,
        # NaN is no JSON: one row of it would break every search that reads it
        "attributes": json.dumps(
            instance.attributes, default=dict, separators=(",", ":"), allow_nan=False
        ),
    }


def instance_of(row: Row[Any], references: Sequence[Reference], root: Path) -> Instance:
    """The record of a row."""
    return Instance(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        series_instance_uid=row.series_instance_uid,
        study_instance_uid=row.study_instance_uid,
        modality=row.modality,
        frame_of_reference_uid=row.frame_of_reference_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        references=tuple(references),
        path=root / row.path,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        calling_ae=row.calling_ae,
        received_at=moment(row.received_at_us),
        standing=row.standing,
        patient_id_digest=row.patient_id_digest,
        patient_name_digest=row.patient_name_digest,
        attributes=_frozen_mapping(row.attributes),
        remark=row.remark,
        referenced_series=tuple(json.loads(row.referenced_series)),
        extent_lps_mm=tuple(json.loads(row.extent_lps_mm)) if row.extent_lps_mm else None,
    )


def grouped(instances: Iterable[Instance]) -> tuple[Series, ...]:
    """Instances by study, series and SOP class; the order does not depend on that of arrival."""
    by_key: dict[tuple[str, str, str], list[Instance]] = {}
    for one in instances:
        key = (one.study_instance_uid, one.series_instance_uid, one.sop_class_uid)
        by_key.setdefault(key, []).append(one)
    return tuple(_series(key, members) for key, members in sorted(by_key.items()))


def _series(key: tuple[str, str, str], members: list[Instance]) -> Series:
    members.sort(key=_reading_order)
    spaces = {one.frame_of_reference_uid for one in members} - {None}
    study, series, sop_class = key
    return Series(
        series_instance_uid=series,
        sop_class_uid=sop_class,
        study_instance_uid=study,
        modality=members[0].modality,
        frame_of_reference_uid=spaces.pop() if len(spaces) == 1 else None,
        instances=tuple(members),
    )


def _reading_order(instance: Instance) -> tuple[int, str]:
    number = instance.attributes.get("InstanceNumber")
    return number if isinstance(number, int) else 0, instance.sop_instance_uid


def decision_row(decision: Decision) -> dict[str, Any]:
    """The columns of a journal line."""
    return {
        "study_instance_uid": decision.study_instance_uid,
        "mask_instance_uid": decision.mask_instance_uid,
        "state": decision.state,
        "code": decision.code,
        "reasons": json.dumps(decision.reasons),
        "facts": json.dumps(decision.facts, default=dict, sort_keys=True),
        "decided_at_us": microseconds(decision.decided_at),
    }


def decision_of(row: Row[Any]) -> Decision:
    """The journal line of a row."""
    return Decision(
        study_instance_uid=row.study_instance_uid,
        mask_instance_uid=row.mask_instance_uid,
        state=row.state,
        code=row.code,
        reasons=tuple(json.loads(row.reasons)),
        decided_at=moment(row.decided_at_us),
        facts=_frozen_mapping(row.facts),
    )


def _frozen_mapping(text: str) -> Mapping[str, Any]:
    read = json.loads(text, object_hook=_frozen_items)
    return read if isinstance(read, Mapping) else _NOTHING


def _frozen_items(item: dict[str, Any]) -> Mapping[str, Any]:
    # inner objects come first, so lists hold frozen items already
    for key, value in item.items():
        if isinstance(value, list):
            item[key] = _frozen_list(value)
    return MappingProxyType(item)


def _frozen_list(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_frozen_list(one) if isinstance(one, list) else one for one in values)
