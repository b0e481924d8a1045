"""Which masks of the index are cases, with which images: by the code the live node uses."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine.finding import ModelIdentity
from pacsnode.assembly import assess
from pacsnode.assembly.assessment import Assessment
from pacsnode.assembly.label_maps import label_maps_of
from pacsnode.assembly.seed import report_seed
from pacsnode.assembly.supersession import later_versions
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


@dataclass(slots=True)
class Held:
    """The order for a mask that has later versions, the newest last: for when none is usable."""

    order: Order
    later: tuple[Instance, ...]

    def superseded(self) -> NotPlanned:
        """What is said of the mask while one of them stands."""
        why = (journal.superseded_by(self.later[-1]),)
        uids = (self.order.study_instance_uid, self.order.mask_instance_uid)
        return NotPlanned("superseded", "superseded", why, *uids, self.order.input_path)


@dataclass(slots=True)
class Plan:
    """All masks of the inputs that fall to this shard."""

    ready: list[Order] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    unusable: list[NotPlanned] = field(default_factory=list)
    of_other_shards: int = 0

    @property
    def not_planned(self) -> list[NotPlanned]:
        """Every mask that makes no report as things stand."""
        return [*self.unusable, *(held.superseded() for held in self.held)]

    def add(self, case: Order | NotPlanned, later: tuple[Instance, ...]) -> None:
        """Add what became of one more mask, which has these later versions."""
        if isinstance(case, NotPlanned):
            self.unusable.append(case)
        elif later:
            self.held.append(Held(case, later))
        else:
            self.ready.append(case)

    def release(self, refused: Collection[str]) -> list[Order]:
        """What is ready now that these masks turned out to make no report."""
        for held in self.held:
            held.later = tuple(one for one in held.later if one.sop_instance_uid not in refused)
        released = [held.order for held in self.held if not held.later]
        self.held = [held for held in self.held if held.later]
        self.ready += released
        return released


def in_shard(uid: str, shard: tuple[int, int]) -> bool:
    """Whether the mask of this UID falls to shard I of N: by the UID alone, so that all agree."""
    digest = hashlib.sha256(uid.encode("ascii", "replace")).digest()
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
        decided = list(_decide(study, archive, settings))
        families = _families(decided)
        for mask, assessment, later in decided:
            made = case.of(mask, assessment, study)
            if in_shard(families[mask.sop_instance_uid], shard):
                plan.add(made, later)
            elif isinstance(made, Order) and not later:
                plan.of_other_shards += 1
        done += len(study)
        progress(done, len(masks))
    return plan


_Decided = tuple[Instance, Assessment, tuple[Instance, ...]]


def _decide(study: Sequence[Instance], archive: Archive, settings: Settings) -> Iterator[_Decided]:
    """Each mask of a study with its assessment and its later versions, if it is ready at all."""
    assessed = [
        (mask, assess(mask, archive.candidates(mask), quiet=True, rules=settings.assembly))
        for mask in study
    ]
    ready = [mask for mask, assessment in assessed if assessment.state == "ready"]
    for mask, assessment in assessed:
        later = later_versions(mask, ready, settings.assembly) if mask in ready else ()
        if later:
            archive.write_down(journal.superseded(mask, later[-1]))
        else:
            archive.write_down(assessment.decision(mask, datetime.now(UTC)))
        yield mask, assessment, later


def _families(decided: Sequence[_Decided]) -> dict[str, str]:
    """For each mask the least UID of all its versions: what becomes of one depends on the others,
    so that they fall to one shard.
    """
    least = {mask.sop_instance_uid: mask.sop_instance_uid for mask, *_ in decided}
    for mask, _, later in decided:
        if later:
            joined = {least[one.sop_instance_uid] for one in (mask, *later)}
            least = {uid: min(joined) if of in joined else of for uid, of in least.items()}
    return least


@dataclass(frozen=True, slots=True)
class _CaseMaker:
    settings: Settings
    out: Path
    origins: Mapping[Path, str]
    identity: ModelIdentity

    def of(
        self, mask: Instance, decided: Assessment, study: Sequence[Instance]
    ) -> Order | NotPlanned:
        """The order for a mask that is ready, or why there is none."""
        input_path = self.origins.get(mask.path, str(mask.path))
        if decided.inputs_sha256 is None:
            # nothing more comes in a replay: what waits, waits in vain
            state = "context" if decided.state == "context" else "refused"
            uids = (mask.study_instance_uid, mask.sop_instance_uid)
            return NotPlanned(state, decided.code, decided.reasons, *uids, input_path)
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
            style=settings.report.model_dump(exclude={"verifying_organization"}) | {"seed": seed},
            fractional_threshold=settings.measure.fractional_threshold,
            out=self.out,
            flags=decided.flags,
            label_maps=tuple(one.path for one in label_maps),
        )


def _paths(series: Series) -> tuple[Path, ...]:
    return tuple(instance.path for instance in _in_order(series.instances))


def _in_order(instances: Sequence[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda instance: instance.sop_instance_uid)
