"""What is to be done about the masks of one study: assessed, written down, ordered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pacsnode.assembly import assess
from pacsnode.assembly.assessment import Assessment
from pacsnode.assembly.seed import report_seed
from pacsnode.assembly.supersession import earlier_version, later_version
from pacsnode.jobs import journal
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.orders import ReportOrder
from pacsnode.jobs.workflows import enqueue_report
from storage.records import Decision, Instance, Series


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A mask, what became of it, and the studies that its candidates lie in."""

    mask: Instance
    assessment: Assessment
    studies: frozenset[str]
    quiet: bool


def decide(study: str, desk: Desk, is_quiet: Callable[[str], bool]) -> frozenset[str]:
    """Assess every mask of a study, write down what is new, order the reports that are ready.

    Gives the studies that have to fall quiet before the masks that wait are looked at again.
    """
    looked = [_look(mask, desk, is_quiet) for mask in desk.archive.masks(study)]
    reach("assessed")
    work = [one for one in looked if one.assessment.state in ("ready", "waiting")]
    masks = [one.mask for one in work]
    ready = [one.mask for one in work if one.assessment.state == "ready"]
    for one in looked:
        if one in work and (later := later_version(one.mask, ready, desk.settings.assembly)):
            _write_superseded(one.mask, later, desk)
        elif one.assessment.state == "ready":
            _order(one, _earlier_versions(one.mask, masks, desk), desk)
        else:
            _write_unready(one, desk)
    waiting = (one for one in looked if one.assessment.state == "waiting" and not one.quiet)
    return frozenset().union(*(one.studies for one in waiting))


def _look(mask: Instance, desk: Desk, is_quiet: Callable[[str], bool]) -> _Looked:
    candidates = desk.archive.candidates(mask)
    studies = frozenset(
        {mask.study_instance_uid, *(series.study_instance_uid for series in candidates)}
    )
    quiet = all(map(is_quiet, studies))
    assessment = assess(mask, candidates, quiet=quiet, rules=desk.settings.assembly)
    return _Looked(mask, assessment, studies, quiet)


def _earlier_versions(mask: Instance, masks: Sequence[Instance], desk: Desk) -> list[str]:
    found = []
    before = earlier_version(mask, masks, desk.settings.assembly)
    while before is not None and before.sop_instance_uid not in found:
        found.append(before.sop_instance_uid)
        before = earlier_version(before, masks, desk.settings.assembly)
    return found


def _write_unready(one: _Looked, desk: Desk) -> None:
    if one.assessment.state == "waiting" and _lines(one.mask, desk):
        last = _lines(one.mask, desk)[-1]
        if last.facts.get("seed") is not None:
            return  # it has a report; only another set of inputs would be news
    desk.archive.write_down(one.assessment.decision(one.mask, datetime.now(UTC)))


def _write_superseded(mask: Instance, later: Instance, desk: Desk) -> None:
    uid = later.sop_instance_uid
    journal.write(
        desk.archive, mask.study_instance_uid, mask.sop_instance_uid, "superseded", "superseded",
        [f"The mask {uid} is a later version of this one."], later_mask=uid,
    )  # fmt: skip


def _order(one: _Looked, earlier: list[str], desk: Desk) -> None:
    """Order the report, or find that the same inputs were ordered before."""
    order = _report_order(one, earlier, desk)
    lines = _lines(one.mask, desk)
    known = journal.last_of_seed(lines, order["seed"])
    if known is None:
        decision = one.assessment.decision(one.mask, datetime.now(UTC))
        facts = {**decision.facts, "seed": order["seed"]}
        desk.archive.write_down(replace(decision, facts=facts))
        reach("ready-written")
    elif known is not lines[-1]:
        again = (*known.reasons, "The inputs are again those of this report.")
        desk.archive.write_down(replace(known, reasons=again, decided_at=datetime.now(UTC)))
    if known is None or known.state in ("ready", "running"):
        enqueue_report(order, 1)  # by its id a job that exists already is left alone
        reach("report-enqueued")


def _report_order(one: _Looked, earlier: list[str], desk: Desk) -> ReportOrder:
    ready = one.assessment
    if ready.inputs_sha256 is None or ready.pet is None:
        raise RuntimeError(f"A ready assessment of {one.mask.sop_instance_uid} names its inputs")
    return ReportOrder(
        study=one.mask.study_instance_uid,
        mask=one.mask.sop_instance_uid,
        seed=report_seed(ready.inputs_sha256, desk.describer.identity, desk.settings),
        mask_path=_relative(one.mask, desk.archive.root),
        pet_paths=_paths(ready.pet, desk.archive.root),
        ct_paths=_paths(ready.ct, desk.archive.root),
        lesion_numbers=list(ready.lesion_numbers),
        earlier_masks=earlier,
        destinations=[destination.name for destination in desk.settings.destinations],
    )


def _paths(series: Series | None, root: Path) -> list[str]:
    return [_relative(instance, root) for instance in series.instances] if series else []


def _relative(instance: Instance, root: Path) -> str:
    return str(instance.path.relative_to(root))


def _lines(mask: Instance, desk: Desk) -> tuple[Decision, ...]:
    return desk.archive.decisions(mask.study_instance_uid, mask.sop_instance_uid)
