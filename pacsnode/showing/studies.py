"""One study: what came, what was decided and why, the reports on it, and where they went."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Final, Literal

from pydicom.uid import Comprehensive3DSRStorage

from pacsnode.assembly.arrivals import Arrival, arrivals
from pacsnode.assembly.kinds import CT_CLASSES, MASK_CLASSES, PET_CLASSES
from pacsnode.assembly.ours import is_ours
from pacsnode.jobs import journal
from pacsnode.jobs.withholding import held
from pacsnode.showing.reports import ReportShown, readable
from pacsnode.showing.states import State, state_of, state_of_study
from pacsnode.showing.worklist import read_date
from storage.archive import Archive
from storage.catalog.overview import LastLine
from storage.records import Decision, Instance, Study

Part = Literal["PET", "CT", "Mask", "Report", "Other"]
PARTS: Final[tuple[Part, ...]] = ("PET", "CT", "Mask", "Report", "Other")


@dataclass(frozen=True, slots=True)
class CameSeries:
    """A series as far as it is kept, and the part it has in a report."""

    part: Part
    modality: str
    series_instance_uid: str
    series_number: str | None
    description: str
    objects: int
    senders: tuple[str, ...]
    first_received_at: datetime  # aware, UTC
    last_received_at: datetime


Outcome = Literal["delivered", "refused", "postponed", "due", "held", "shadowed", "stopped"]
_OUTCOMES: Final[Mapping[str, Outcome]] = {
    journal.DELIVERED_TO: "delivered",
    journal.PARKED: "refused",
    journal.HELD: "held",
    journal.SHADOWED: "shadowed",
    journal.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class DeliveryShown:
    """What one destination was last heard to say of the report of a mask."""

    destination: str
    outcome: Outcome
    at: datetime | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaskShown:
    """A SEG or RTSTRUCT; the number is its place in the study, for people alone."""

    number: int
    mask_instance_uid: str
    kind: str
    state: State
    code: str
    since: datetime
    reasons: tuple[str, ...]
    pairing: tuple[str, ...]
    flags: tuple[str, ...]
    pet_series_instance_uid: str | None
    ct_series_instance_uid: str | None
    deliveries: tuple[DeliveryShown, ...]
    reports: tuple[ReportShown, ...]  # the current one first
    report: str | None  # SOPInstanceUID of the current one
    is_held: bool  # for a person to accept


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Lines of the journal that say the same, as one; `mask` is its number, None for the study."""

    at: datetime
    until: datetime
    times: int
    mask: int | None
    label: str
    tone: str
    code: str
    reasons: tuple[str, ...]
    asked: tuple[str, ...]
    by: str | None


@dataclass(frozen=True, slots=True)
class StudyShown:
    """No patient: the worklist alone tells who it is."""

    study_instance_uid: str
    study_date: date | None
    study_description: str
    accession_number: str
    state: State
    received_at: datetime | None
    series: tuple[CameSeries, ...]
    masks: tuple[MaskShown, ...]
    timeline: tuple[TimelineEntry, ...]  # the latest first


def study_shown(
    archive: Archive, study_instance_uid: str, quiet_s: float, now: datetime | None = None
) -> StudyShown | None:
    """The study, or None where nothing of it is kept and nothing was decided."""
    study = archive.study(study_instance_uid)
    lines = archive.decisions(study_instance_uid)
    if study is None and not lines:
        return None
    queried = archive.overview.queried([study_instance_uid]).get(study_instance_uid)
    by_mask: dict[str | None, list[Decision]] = {}
    for line in lines:
        by_mask.setdefault(line.mask_instance_uid, []).append(line)
    others = [mask for mask in by_mask if mask is not None and not _is_our_seg(archive, mask)]
    numbers = {mask: number for number, mask in enumerate(others, 1)}
    # a line about a mask says that its study could be looked at after all
    last = [
        _last_line(about[-1])
        for mask, about in by_mask.items()
        if mask is not None or about[-1] is lines[-1]
    ]
    received_at = study.last_received_at if study is not None else None
    quiet_since = (now or datetime.now(UTC)) - timedelta(seconds=quiet_s)
    return StudyShown(
        study_instance_uid=study_instance_uid,
        study_date=read_date(queried.study_date or "") if queried else None,
        study_description=(queried.study_description or "") if queried else "",
        accession_number=(queried.accession_number or "") if queried else "",
        state=state_of_study(
            last, is_arriving=received_at is not None and received_at > quiet_since
        ),
        received_at=received_at,
        series=_series(archive, study) if study is not None else (),
        masks=tuple(
            _mask(archive, number, mask, by_mask[mask]) for mask, number in numbers.items()
        ),
        timeline=tuple(
            _timeline([one for one in lines if one.mask_instance_uid in (None, *numbers)], numbers)
        ),
    )


def _is_our_seg(archive: Archive, mask: str) -> bool:
    """Whether it is the SEG that we made of an RTSTRUCT: it belongs to the report, not before."""
    instance = archive.instance(mask)
    return instance is not None and is_ours(instance)


def _last_line(line: Decision) -> LastLine:
    destinations = line.facts.get("destinations")
    return LastLine(
        line.state,
        line.code,
        line.facts.get(journal.NOW),
        None if destinations is None else len(destinations),
    )


def _series(archive: Archive, study: Study) -> tuple[CameSeries, ...]:
    described = archive.overview.series_descriptions(study.study_instance_uid)
    came = [
        CameSeries(
            part=_part(one),
            modality=one.modality,
            series_instance_uid=one.series_instance_uid,
            series_number=one.series_number,
            description=described.get(one.series_instance_uid, ""),
            objects=one.objects,
            senders=one.senders,
            first_received_at=one.first_received_at,
            last_received_at=one.last_received_at,
        )
        for one in arrivals(study)
    ]
    return tuple(sorted(came, key=lambda one: PARTS.index(one.part)))


def _part(series: Arrival) -> Part:
    if series.is_ours:
        return "Report"
    for part, classes in (("PET", PET_CLASSES), ("CT", CT_CLASSES), ("Mask", MASK_CLASSES)):
        if series.sop_class_uid in classes:
            return part  # type: ignore[return-value]  # the literals above
    return "Other"


def _mask(archive: Archive, number: int, mask: str, lines: Sequence[Decision]) -> MaskShown:
    last = lines[-1]
    chosen = next((one for one in reversed(lines) if one.code == "ready"), last)
    instance = archive.instance(mask)
    reports = _reports(archive, mask, lines)
    return MaskShown(
        number=number,
        mask_instance_uid=mask,
        kind=instance.modality if instance is not None else "Mask",
        state=state_of(_last_line(last)),
        code=last.code,
        since=last.decided_at,
        reasons=last.reasons,
        pairing=chosen.reasons if chosen is not last else (),
        flags=tuple(chosen.facts.get("flags", ())),
        pet_series_instance_uid=chosen.facts.get("pet_series_instance_uid"),
        ct_series_instance_uid=chosen.facts.get("ct_series_instance_uid"),
        deliveries=tuple(_deliveries(lines)),
        reports=reports,
        report=next((one.sop_instance_uid for one in reports if one.is_current), None),
        is_held=_is_held(lines),
    )


def _is_held(lines: Sequence[Decision]) -> bool:
    made = journal.last_made(lines)
    is_open = lines[-1].state not in ("cancelled", "superseded")
    return made is not None and is_open and bool(held(lines, made.facts["seed"]))


def _reports(archive: Archive, mask: str, lines: Sequence[Decision]) -> tuple[ReportShown, ...]:
    """Our SRs on a mask, the latest first."""
    ours = sorted(
        (one for one in archive.reports_of(mask) if is_ours(one) and _is_sr(one)),
        key=lambda one: one.received_at,
        reverse=True,
    )
    read = [shown for shown in map(readable, ours) if shown is not None]
    replaced = {uid for one in read for uid in one.predecessors}
    rejected = {line.facts.get("rejects") for line in lines if line.state == "rejected"}
    return tuple(
        replace(
            one,
            is_current=one.sop_instance_uid not in replaced,
            is_rejected=one.sop_instance_uid in rejected,
        )
        for one in read
    )


def _is_sr(instance: Instance) -> bool:
    return instance.sop_class_uid == Comprehensive3DSRStorage


def _deliveries(lines: Sequence[Decision]) -> Iterator[DeliveryShown]:
    made = journal.last_made(lines)
    if made is None:
        return
    for name in made.facts.get("destinations", ()):
        about = journal.last_about(lines, made.facts["seed"], name)
        if about is None:
            yield DeliveryShown(name, "due", None, ())
        else:
            outcome = _OUTCOMES.get(about.code, "postponed")
            yield DeliveryShown(name, outcome, about.decided_at, about.reasons)


def _timeline(lines: Sequence[Decision], numbers: Mapping[str, int]) -> Iterator[TimelineEntry]:
    def alike(line: Decision) -> tuple[object, ...]:
        return line.mask_instance_uid, line.state, line.code, line.facts.get("destination")

    runs = [list(run) for _, run in groupby(lines, key=alike)]
    for run in reversed(runs):
        first, last = run[0], run[-1]
        state = state_of(_last_line(last))
        told = dict.fromkeys(sentence for one in run for sentence in one.facts.get("asked", ()))
        by = last.facts.get("by")
        yield TimelineEntry(
            at=first.decided_at,
            until=last.decided_at,
            times=len(run),
            mask=numbers.get(last.mask_instance_uid or ""),
            label=state.label,
            tone=state.tone,
            code=last.code,
            reasons=last.reasons,
            asked=tuple(told),
            by=by if isinstance(by, str) else None,
        )
