"""Which masks of the index are cases, with which images: by the code the live node uses."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.finding import ModelIdentity
from pacsnode.assembly import assess
from pacsnode.assembly.assessment import Assessment
from pacsnode.assembly.label_maps import label_maps_of
from pacsnode.assembly.seed import report_seed
from pacsnode.assembly.supersession import earlier_version
from pacsnode.replay.cases import Order
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.records import Instance, Series


@dataclass(frozen=True, slots=True)
class Planned:
    """A case to report; `earlier` is the mask whose report it takes the place of."""

    order: Order
    earlier: str | None


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """A mask object that makes no report: context, or refused, and why."""

    state: str
    code: str
    reasons: tuple[str, ...]
    study_instance_uid: str
    mask_instance_uid: str
    input_path: str


@dataclass(slots=True)
class Plan:
    """All masks of the inputs that fall to this shard."""

    ready: list[Planned] = field(default_factory=list)
    not_planned: list[NotPlanned] = field(default_factory=list)
    of_other_shards: int = 0


def in_shard(mask_instance_uid: str, shard: tuple[int, int]) -> bool:
    """Whether a mask falls to shard I of N: by its UID alone, so that all shards agree."""
    digest = hashlib.sha256(mask_instance_uid.encode("ascii", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % shard[1] == shard[0] - 1


def plan_cases(
    archive: Archive,
    settings: Settings,
    out: Path,
    shard: tuple[int, int],
    origins: Mapping[Path, str],
    identity: ModelIdentity,
    progress: Callable[[int, int], None],
) -> Plan:
    """Assess every mask of the index, all of whose data is taken to have come."""
    masks = archive.masks()
    ready: dict[str, tuple[Instance, Assessment, str]] = {}
    plan = Plan()
    for number, mask in enumerate(masks, start=1):
        assessment = assess(mask, archive.candidates(mask), quiet=True, rules=settings.assembly)
        archive.write_down(assessment.decision(mask, datetime.now(UTC)))
        progress(number, len(masks))
        if assessment.inputs_sha256 is not None:
            label_maps = label_maps_of(mask, assessment.pet, masks, settings)
            seed = report_seed(assessment.inputs_sha256, identity, settings, label_maps)
            ready[mask.sop_instance_uid] = (mask, assessment, seed)
        elif in_shard(mask.sop_instance_uid, shard):
            plan.not_planned.append(_not_planned(mask, assessment, origins))
    for uid, (mask, assessment, seed) in ready.items():
        if not in_shard(uid, shard):
            plan.of_other_shards += 1
            continue
        others = [other for other, *_ in ready.values() if other is not mask]
        earlier = earlier_version(mask, others, settings.assembly)
        style = _style(settings, seed, None if earlier is None else ready[earlier.sop_instance_uid])
        order = _order(mask, assessment, style, settings, out, origins)
        label_maps = label_maps_of(mask, assessment.pet, masks, settings)
        order = replace(order, label_maps=tuple(one.path for one in label_maps))
        plan.ready.append(Planned(order, None if earlier is None else earlier.sop_instance_uid))
    return plan


def _not_planned(mask: Instance, assessment: Assessment, origins: Mapping[Path, str]) -> NotPlanned:
    return NotPlanned(
        # nothing more comes in a replay: what waits, waits in vain
        "context" if assessment.state == "context" else "refused",
        assessment.code,
        assessment.reasons,
        mask.study_instance_uid,
        mask.sop_instance_uid,
        origins.get(mask.path, str(mask.path)),
    )


def _style(
    settings: Settings, seed: str, earlier: tuple[Instance, Assessment, str] | None
) -> dict[str, Any]:
    """The fields of a ReportStyle; a superseded mask's SR is named as the predecessor."""
    from pydicom.uid import Comprehensive3DSRStorage

    from engine.report.style import Predecessor, derived_uid

    predecessors: tuple[Predecessor, ...] = ()
    if earlier is not None:
        mask, _, its_seed = earlier
        predecessors = (
            Predecessor(
                mask.study_instance_uid,
                derived_uid(its_seed, "series"),
                Comprehensive3DSRStorage,
                derived_uid(its_seed, "sr"),
            ),
        )
    return settings.report.model_dump() | {"seed": seed, "predecessors": predecessors}


def _order(
    mask: Instance,
    assessment: Assessment,
    style: Mapping[str, Any],
    settings: Settings,
    out: Path,
    origins: Mapping[Path, str],
) -> Order:
    assert assessment.pet is not None  # noqa: S101 a ready case has one
    return Order(
        input_path=origins.get(mask.path, str(mask.path)),
        study_instance_uid=mask.study_instance_uid,
        mask_instance_uid=mask.sop_instance_uid,
        pet_series_instance_uid=assessment.pet.series_instance_uid,
        ct_series_instance_uid=assessment.ct.series_instance_uid if assessment.ct else None,
        pet=_paths(assessment.pet),
        ct=_paths(assessment.ct) if assessment.ct else (),
        mask=mask.path,
        lesion_numbers=assessment.lesion_numbers,
        style=style,
        fractional_threshold=settings.measure.fractional_threshold,
        out=out.resolve(),
        flags=assessment.flags,
    )


def _paths(series: Series) -> tuple[Path, ...]:
    return tuple(instance.path for instance in _in_order(series.instances))


def _in_order(instances: Sequence[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda instance: instance.sop_instance_uid)
