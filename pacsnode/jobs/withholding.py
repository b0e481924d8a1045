"""Which destinations a report goes to, by what the journal says of it and the modes of today.

A mode that became stricter counts at once for whatever has not been sent. One that became looser
counts for the reports made from then on: what is held waits for a person, and what was made in
the shadow is never sent, so that going live floods nobody.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from pacsnode.jobs import journal
from pacsnode.jobs.asked import is_cancelled
from pacsnode.jobs.journal import DELIVERED_TO, HELD, PARKED, REJECTS, SHADOWED, STOPPED
from pacsnode.jobs.judged import is_rejected
from pacsnode.jobs.orders import DeliveryOrder
from storage.records import Decision

ACCEPTED_FOR: Final = "accepted"  # fact: destinations that a person released a report for

VOUCHED: Final = "vouched"  # fact: a person stands behind the document, so that none reviews it


def reason_not_to_send(
    lines: Sequence[Decision], order: DeliveryOrder, mode: str, *, rejected_broke_off: bool = False
) -> Literal["held", "shadowed", "stopped", "cancelled"] | None:
    """What becomes of a delivery that is due, instead of sending; None where it goes out now.

    `lines` are those of the study, `mode` is that of the destination today. `rejected_broke_off`
    says that a process died while it sent the report that this note rejects.
    """
    of_mask = [line for line in lines if line.mask_instance_uid == order["mask"]]
    name, seed = order["destination"], order["seed"]
    if is_cancelled(of_mask):
        return "cancelled"
    if is_rejected(of_mask, order["documents"][-1]):
        return "stopped"
    may_hold = rejected_broke_off or _may_hold(of_mask, order.get("rejects", ""), name)
    if "rejects" in order and not may_hold:
        return "stopped"
    before = _codes(of_mask, seed, name)
    if mode == "shadow" or SHADOWED in before:
        return "shadowed"
    if (mode == "review" or HELD in before) and not _is_accepted(of_mask, seed, name):
        return "held"
    return None


def undelivered(lines: Sequence[Decision], seed: str) -> list[str]:
    """The destinations that a report was made for, that lack it, and that it may go to now."""
    return [name for name in _made_for(lines, seed) if not _is_over(lines, seed, name)]


def held(lines: Sequence[Decision], seed: str) -> list[str]:
    """The destinations that a report is held for until a person accepts it."""
    return [name for name in _made_for(lines, seed) if _is_held(lines, seed, name)]


def goes_first(lines: Sequence[Decision], sr: str, name: str) -> bool:
    """Whether a destination is still to get this SR before those that take its place."""
    made = next((line for line in reversed(lines) if line.facts.get("sr") == sr), None)
    if made is None or name not in made.facts.get("destinations", ()):
        return False
    of_mask = [line for line in lines if line.mask_instance_uid == made.mask_instance_uid]
    about = journal.last_about(of_mask, made.facts["seed"], name)
    if is_cancelled(of_mask) or (about is not None and about.code == PARKED):
        return False
    return not _is_over(of_mask, made.facts["seed"], name)


def report_facts(line: Decision) -> dict[str, Any]:
    """The facts that every line about a report which was made carries."""
    kept = ("seed", "sr", "documents", "destinations", REJECTS)
    return {name: line.facts[name] for name in kept if name in line.facts}


def _made_for(lines: Sequence[Decision], seed: str) -> Sequence[str]:
    made = journal.made_of_seed(lines, seed)
    return () if made is None else made.facts["destinations"]


def _is_over(lines: Sequence[Decision], seed: str, name: str) -> bool:
    """Whether nothing is left for the worker to do about a report at one destination."""
    about = journal.last_about(lines, seed, name)
    if about is not None and about.code in (DELIVERED_TO, SHADOWED, STOPPED):
        return True
    made = journal.made_of_seed(lines, seed)
    if made is not None and is_rejected(lines, made.facts["sr"]):
        return True
    return _is_held(lines, seed, name)


def _may_hold(lines: Sequence[Decision], sr: str, name: str) -> bool:
    """Whether a destination has an SR, or may have it of a try that ended early."""
    told = {
        line.code
        for line in lines
        if line.facts.get("sr") == sr and line.facts.get("destination") == name
    }
    return bool(told - {HELD, SHADOWED, STOPPED})


def _is_held(lines: Sequence[Decision], seed: str, name: str) -> bool:
    about = journal.last_about(lines, seed, name)
    if about is not None and is_rejected(lines, str(about.facts["sr"])):
        return False
    return about is not None and about.code == HELD and not _is_accepted(lines, seed, name)


def _is_accepted(lines: Sequence[Decision], seed: str, name: str) -> bool:
    about = (line for line in lines if line.facts.get("seed") == seed)
    return any(VOUCHED in line.facts or name in line.facts.get(ACCEPTED_FOR, ()) for line in about)


def _codes(lines: Sequence[Decision], seed: str, name: str) -> set[str]:
    """What was said of a report at one destination, ever."""
    return {
        line.code
        for line in lines
        if line.facts.get("seed") == seed and line.facts.get("destination") == name
    }
