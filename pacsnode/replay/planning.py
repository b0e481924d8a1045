"""Which masks of the index are cases, with which images: by the code the live node uses."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from engine.finding import ModelIdentity
from pacsnode.assembly import assess
from pacsnode.assembly.assessment import Assessment
from pacsnode.assembly.label_maps import label_maps_of
from pacsnode.assembly.seed import report_seed
from pacsnode.assembly.supersession import later_version
from pacsnode.jobs import journal
from pacsnode.replay.cases import Order
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.records import Instance, Series


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """A mask object that makes no report: context, superseded or refused, and why."""

    state: str
    code: str
    reasons: tuple[str, ...]
    study_instance_uid: str
    mask_instance_uid: str
    input_path: str

    @classmethod
    def of(
        cls, mask: Instance, state: str, code: str, reasons: tuple[str, ...], input_path: str
    ) -> Self:
        """Of a mask, whose UIDs say which it is."""
        uids = (mask.study_instance_uid, mask.sop_instance_uid)
        return cls(state, code, reasons, *uids, input_path)


@dataclass(slots=True)
class Plan:
    """All masks of the inputs that fall to this shard."""

    ready: list[Order] = field(default_factory=list)
    not_planned: list[NotPlanned] = field(default_factory=list)
    of_other_shards: int = 0

    def add(self, case: Order | NotPlanned) -> None:
        """Add what became of one more mask."""
        if isinstance(case, Order):
            self.ready.append(case)
        else:
            self.not_planned.append(case)


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
    by_study: dict[str, list[Instance]] = {}
    masks = archive.masks()
    for mask in masks:
        by_study.setdefault(mask.study_instance_uid, []).append(mask)
    case = _CaseMaker(settings, out.resolve(), origins, identity)
    plan = Plan()
    done = 0
    for study in by_study.values():  # as the live node decides: versions and label maps lie in it
        for mask, decided in _decide(study, archive, settings):
            made = case.of(mask, decided, study)
            if in_shard(mask.sop_instance_uid, shard):
                plan.add(made)
            elif isinstance(made, Order):
                plan.of_other_shards += 1
        done += len(study)
        progress(done, len(masks))
    return plan


def _decide(
    study: Sequence[Instance], archive: Archive, settings: Settings
) -> Iterator[tuple[Instance, Assessment | Instance]]:
    """Each mask of a study with what became of it: its assessment, or a later version of it."""
    assessed = [
        (mask, assess(mask, archive.candidates(mask), quiet=True, rules=settings.assembly))
        for mask in study
    ]
    ready = [mask for mask, assessment in assessed if assessment.state == "ready"]
    for mask, assessment in assessed:
        later = later_version(mask, ready, settings.assembly) if mask in ready else None
        if later is not None:
            journal.write_superseded(archive, mask, later)
            yield mask, later
        else:
            archive.write_down(assessment.decision(mask, datetime.now(UTC)))
            yield mask, assessment


@dataclass(frozen=True, slots=True)
class _CaseMaker:
    settings: Settings
    out: Path
    origins: Mapping[Path, str]
    identity: ModelIdentity

    def of(
        self, mask: Instance, decided: Assessment | Instance, study: Sequence[Instance]
    ) -> Order | NotPlanned:
        """The order for a mask that is ready, or why there is none."""
        input_path = self.origins.get(mask.path, str(mask.path))
        if isinstance(decided, Instance):
            why = (journal.superseded_by(decided),)
            return NotPlanned.of(mask, "superseded", "superseded", why, input_path)
        if decided.inputs_sha256 is None:
            # nothing more comes in a replay: what waits, waits in vain
            state = "context" if decided.state == "context" else "refused"
            return NotPlanned.of(mask, state, decided.code, decided.reasons, input_path)
        settings = self.settings
        label_maps = label_maps_of(mask, decided.pet, study, settings)
        seed = report_seed(decided.inputs_sha256, self.identity, settings, label_maps)
        assert decided.pet is not None  # noqa: S101 a ready case has one
        return Order(
            input_path=input_path,
            study_instance_uid=mask.study_instance_uid,
            mask_instance_uid=mask.sop_instance_uid,
            pet_series_instance_uid=decided.pet.series_instance_uid,
            ct_series_instance_uid=decided.ct.series_instance_uid if decided.ct else None,
            pet=_paths(decided.pet),
            ct=_paths(decided.ct) if decided.ct else (),
            mask=mask.path,
            lesion_numbers=decided.lesion_numbers,
            style=settings.report.model_dump() | {"seed": seed},
            fractional_threshold=settings.measure.fractional_threshold,
            out=self.out,
            flags=decided.flags,
            label_maps=tuple(one.path for one in label_maps),
        )


def _paths(series: Series) -> tuple[Path, ...]:
    return tuple(instance.path for instance in _in_order(series.instances))


def _in_order(instances: Sequence[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda instance: instance.sop_instance_uid)
