"""What is to be done about the masks of one study: assessed, written down, ordered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pacsnode.assembly import assess
from pacsnode.assembly.assessment import Assessment
from pacsnode.assembly.label_maps import label_maps_of
from pacsnode.assembly.needs import needs_of
from pacsnode.assembly.seed import report_seed
from pacsnode.assembly.supersession import earlier_version, later_version
from pacsnode.jobs import journal
from pacsnode.jobs.asked import ASKED, REQUEUE, is_cancelled, seeds_since_requeue
from pacsnode.jobs.asking import MAY_BE_ASKED_FOR
from pacsnode.jobs.describers import why_unknown
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.judged import judgement_of_seed, standing_seed
from pacsnode.jobs.orders import ReportOrder
from pacsnode.jobs.workflows import start_fetch, start_report
from storage.records import CaseState, Decision, Instance, Series

_ALIVE: frozenset[CaseState] = frozenset({"ready", "running", "reported", "delivered"})


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A mask, what became of it, the studies that its candidates lie in, and its label maps."""

    mask: Instance
    assessment: Assessment
    studies: frozenset[str]
    quiet: bool
    label_maps: tuple[Instance, ...]


def decide(study: str, desk: Desk, is_quiet: Callable[[str], bool]) -> frozenset[str]:
    """Assess every mask of a study, write down what is new, order the reports that are ready.

    Gives the studies that have to fall quiet before the masks that wait are looked at again.
    """
    here = desk.archive.masks(study)
    looked = [_look(mask, here, desk, is_quiet) for mask in here]
    reach("assessed")
    work = [one for one in looked if one.assessment.state in ("ready", "waiting")]
    masks = [one.mask for one in work]
    usable = [one.mask for one in work if _is_usable(one, desk)]
    for one in looked:
        lines = _lines(one.mask, desk)
        if is_cancelled(lines):
            continue
        if one in work and (later := later_version(one.mask, usable, desk.settings.assembly)):
            _write(journal.superseded(one.mask, later), lines, desk)
        elif one.assessment.state == "ready":
            _order(one, _earlier_versions(one.mask, masks, desk), desk)
        else:
            _write_unready(one, desk)
            _ask_sources(one, desk)
    waiting = [one for one in looked if one.assessment.state == "waiting" and not one.quiet]
    return frozenset().union(*(one.studies for one in waiting))


def _look(
    mask: Instance, masks: Sequence[Instance], desk: Desk, is_quiet: Callable[[str], bool]
) -> _Looked:
    candidates = desk.archive.candidates(mask)
    studies = frozenset(
        {mask.study_instance_uid, *(series.study_instance_uid for series in candidates)}
    )
    quiet = all(map(is_quiet, studies))
    assessment = assess(mask, candidates, quiet=quiet, rules=desk.settings.assembly)
    label_maps = label_maps_of(mask, assessment.pet, masks, desk.settings)
    return _Looked(mask, assessment, studies, quiet, label_maps)


def _is_usable(one: _Looked, desk: Desk) -> bool:
    """Whether there is a report on a mask, or may be: it takes the place of earlier versions."""
    if one.assessment.state != "ready":
        return False
    lines = _lines(one.mask, desk)
    if is_cancelled(lines):
        return journal.last_made(lines) is not None
    seed = _seed(one, lines, desk)
    return seed is None or not journal.is_given_up(journal.last_of_seed(lines, seed))


def _earlier_versions(mask: Instance, masks: Sequence[Instance], desk: Desk) -> list[str]:
    found = []
    before = earlier_version(mask, masks, desk.settings.assembly)
    while before is not None and before.sop_instance_uid not in found:
        found.append(before.sop_instance_uid)
        before = earlier_version(before, masks, desk.settings.assembly)
    return found


def _write_unready(one: _Looked, desk: Desk) -> None:
    """Write why a mask cannot be reported now; where it was reported, its report stands."""
    lines = _lines(one.mask, desk)
    if one.assessment.state == "waiting" and lines:
        asked_anew = lines[-1].code == REQUEUE and journal.last_made(lines) is not None
        if asked_anew or lines[-1].facts.get("seed") is not None:
            return  # it has a report; only another set of inputs would be news
    if lines and _stands_back(lines[-1], desk):
        return
    decision = one.assessment.decision(one.mask, datetime.now(UTC))
    report = journal.last_made(lines)
    _write(decision if report is None else journal.beside(report, decision), lines, desk)


def _stands_back(last: Decision, desk: Desk) -> bool:
    """Whether a later version of the mask has a report in its place."""
    if last.state != "superseded":
        return False
    later = desk.archive.decisions(last.study_instance_uid, last.facts["later_mask"])
    return journal.last_made(later) is not None


def _ask_sources(one: _Looked, desk: Desk) -> None:
    if desk.settings.sources and one.assessment.state in MAY_BE_ASKED_FOR:
        candidates = desk.archive.candidates(one.mask)
        if needs_of(one.mask, candidates, desk.settings.assembly) is not None:
            start_fetch(one.mask.study_instance_uid, one.mask.sop_instance_uid)


def _order(one: _Looked, earlier: list[str], desk: Desk) -> None:
    """Order the report, or find that the same inputs were ordered before."""
    lines = _lines(one.mask, desk)
    seed = _seed(one, lines, desk)
    if seed is None:
        _postpone(one, lines, desk)
        return
    known = journal.last_of_seed(lines, seed)
    if known is None:
        decision = one.assessment.decision(one.mask, datetime.now(UTC))
        _write(replace(decision, facts={**decision.facts, "seed": seed}), lines, desk)
        reach("ready-written")
    elif known is not lines[-1]:
        again = (*known.reasons, _why_again(lines[-1]))
        _write(replace(known, reasons=again, decided_at=datetime.now(UTC)), lines, desk)
    if judgement_of_seed(lines, seed) is not None:
        return  # taken up by itself: it needs no image
    if known is None or known.state in ("ready", "running"):
        start_report(_report_order(one, seed, earlier, desk))
        reach("report-enqueued")


def _postpone(one: _Looked, lines: Sequence[Decision], desk: Desk) -> None:
    decision = one.assessment.decision(one.mask, datetime.now(UTC))
    why = why_unknown(desk.describer)  # None where it was loaded a moment ago
    reasons = () if why is None else (why,)
    _write(replace(decision, code=journal.POSTPONED, reasons=reasons), lines, desk)


def _write(decision: Decision, read: Sequence[Decision], desk: Desk) -> None:
    """Write what was decided of the lines that were read.

    Not behind what a person asked for meanwhile: the study is looked at again for that.
    """
    seen = read[-1] if read else None
    desk.archive.write_down(
        decision, follows=lambda last: last is None or last == seen or last.code not in ASKED
    )


def _why_again(last: Decision) -> str:
    if last.state == "superseded":
        return "No later version of this mask can be reported: this report stands."
    return "The inputs are again those of this report."


def _seed(one: _Looked, lines: Sequence[Decision], desk: Desk) -> str | None:
    """The seed of the report that was made of these inputs, or of the one to make now.

    None while nobody knows which model that will be: the seed derives from it.

    New settings or a new version of the program are no reason to report a study once more, unless
    a person had it looked at anew; they are one to try again what was refused or failed.
    """
    inputs = one.assessment.inputs_sha256
    if inputs is None:
        raise RuntimeError("A ready assessment states the digest of its inputs")
    counting = seeds_since_requeue(lines)
    for line in reversed(lines):
        seed = line.facts.get("seed")
        if counting is not None and counting.isdisjoint(_with_its_judgements(lines, seed)):
            continue
        if seed and line.state == "ready" and line.facts.get("inputs_sha256") == inputs:
            last = journal.last_of_seed(lines, seed)
            if last is not None and (last.state in _ALIVE or "documents" in last.facts):
                return standing_seed(lines, str(seed))
    if why_unknown(desk.describer) is not None:
        return None
    made_today = report_seed(inputs, desk.describer.identity, desk.settings, one.label_maps)
    return standing_seed(lines, made_today)


def _with_its_judgements(lines: Sequence[Decision], seed: object) -> set[str]:
    return {str(seed), standing_seed(lines, str(seed))}


def _report_order(one: _Looked, seed: str, earlier: list[str], desk: Desk) -> ReportOrder:
    root = desk.archive.root
    return ReportOrder(
        study=one.mask.study_instance_uid,
        mask=one.mask.sop_instance_uid,
        seed=seed,
        mask_path=_relative(one.mask, root),
        pet_paths=_paths(one.assessment.pet, root),
        ct_paths=_paths(one.assessment.ct, root),
        label_map_paths=[_relative(label_map, root) for label_map in one.label_maps],
        lesion_numbers=list(one.assessment.lesion_numbers),
        earlier_masks=earlier,
        destinations=[destination.name for destination in desk.settings.destinations],
    )


def _paths(series: Series | None, root: Path) -> list[str]:
    return [_relative(instance, root) for instance in series.instances] if series else []


def _relative(instance: Instance, root: Path) -> str:
    return str(instance.path.relative_to(root))


def _lines(mask: Instance, desk: Desk) -> tuple[Decision, ...]:
    return desk.archive.decisions(mask.study_instance_uid, mask.sop_instance_uid)
