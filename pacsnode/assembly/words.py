"""What came of a study and what was decided about it in plain words, for `pacsnode why`."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Final

from pacsnode.assembly.arrivals import Arrival
from storage.records import Decision

_STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "context": "is kept as context: nothing of it is reported as a lesion",
        "waiting": "is waiting",
        "ready": "is ready and will be reported",
        "running": "is being reported",
        "reported": "has been reported",
        "delivered": "has been reported, and every destination has the report",
        "refused": "was refused",
        "failed": "failed",
        "superseded": "was superseded by a later version",
        "cancelled": "was cancelled: nothing more is made or sent until it is retried",
        "rejected": "has a report that a person rejected",
    }
)


def explain(
    study_uid: str, decisions: Sequence[Decision], came: Sequence[Arrival] = ()
) -> tuple[str, ...]:
    """What came of a study, what was decided about its masks, and why; the latest in full."""
    about = [one for one in decisions if one.study_instance_uid == study_uid]
    if not about:
        return (
            f"Study {study_uid}: nothing has been decided.",
            f"  {_undecided(came)}",
            *_listed(came),
        )
    by_mask: dict[str | None, list[Decision]] = {}
    for one in sorted(about, key=lambda decision: decision.decided_at):
        by_mask.setdefault(one.mask_instance_uid, []).append(one)
    masks = sum(mask is not None for mask in by_mask)
    lines = [f"Study {study_uid}: {masks} mask object{'' if masks == 1 else 's'}.", *_listed(came)]
    for mask, history in sorted(by_mask.items(), key=lambda pair: pair[0] or ""):
        lines += _told(mask, history)
    return tuple(lines)


def _undecided(came: Sequence[Arrival]) -> str:
    if not came:
        return "Nothing of it is kept: no image, and no SEG or RTSTRUCT to start a report."
    if any(one.is_mask for one in came):
        return "A mask object has come: the worker, if it runs, looks at it within seconds."
    return "It waits for a mask object, which is what starts a report: no SEG or RTSTRUCT has come."


def _listed(came: Sequence[Arrival]) -> Iterator[str]:
    if came:
        yield ""
        yield "What came:"
    for one in came:
        yield f"  - {one.sentence}"


def _told(mask: str | None, history: Sequence[Decision]) -> Iterator[str]:
    latest = history[-1]
    subject = f"Mask {mask}" if mask else "The study"
    yield ""
    yield f"{subject} {_STATES[latest.state]}{_code(latest)}, since {_stamp(latest)}:"
    for reason in latest.reasons:
        yield f"  - {reason}"
    chosen = _inputs(history)
    if chosen is not None and chosen is not latest:
        yield f"  Its inputs were chosen at {_stamp(chosen)}:"
        for reason in chosen.reasons:
            yield f"  - {reason}"
    yield from _asked(history)
    yield from _before(history[:-1])


def _asked(history: Sequence[Decision]) -> Iterator[str]:
    """What was asked of sources, and what came."""
    asked = [one for one in history if "asked" in one.facts]
    if asked:
        yield "  Sources were asked for what it lacks:"
    for one in asked:
        for sentence in one.facts["asked"]:
            yield f"    {_stamp(one)}  {sentence}"


def _before(history: Sequence[Decision]) -> Iterator[str]:
    """Earlier decisions, the latest first; what was only said again takes one line."""
    if history:
        yield "  Before that:"
    runs = [list(run) for _, run in groupby(history, key=lambda one: (one.state, one.code))]
    for run in reversed(runs):
        times = f", {len(run)} times until {_stamp(run[-1])}" if len(run) > 1 else ""
        yield f"    {_stamp(run[0])}  {run[0].state}{_code(run[0])}{times}"


def _code(decision: Decision) -> str:
    return f" ({decision.code})" if decision.code != decision.state else ""


def _inputs(history: Sequence[Decision]) -> Decision | None:
    return next((one for one in reversed(history) if one.code == "ready"), None)


def _stamp(decision: Decision) -> str:
    return f"{decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"
