"""The journal of a mask, read and written in the terms of jobs."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pacsnode.jobs.orders import Asked, DeliveryOrder, FetchOrder, Made, ReportOrder, Sent
from storage.archive import Archive
from storage.records import CaseState, Decision, Instance

DELIVERED_TO = "delivered-to"
PARKED = "delivery-parked"
HELD = "delivery-held"
SHADOWED = "delivery-shadowed"
STOPPED = "delivery-stopped"
POSTPONED = "report-postponed"
REJECTS = "rejects"  # fact of every line about a note on a rejected report: the SR it rejects
NOW = "now"  # fact of a line about a report: the code of why the mask could not be reported today


def write(
    archive: Archive,
    study: str,
    mask: str | None,
    state: CaseState,
    code: str,
    reasons: Sequence[str],
    **facts: Any,
) -> None:
    """Write one line, stamped now.

    A line about a report is news of that report; where the mask has since come to stand
    elsewhere (other inputs, a later version), it stays there.
    """
    line = Decision(study, mask, state, code, tuple(reasons), datetime.now(UTC), facts)
    seed = facts.get("seed")
    archive.write_down(line, yields_to=lambda last: seed is not None and not _is_about(last, seed))


def is_wanted(archive: Archive, order: ReportOrder) -> bool:
    """Whether the mask still stands where the order was given, and not everyone has the report.

    What a person said of a report is written down whatever has come for the mask since.
    """
    lines = archive.decisions(order["study"], order["mask"])
    last = lines[-1:]
    if "judges" in order:
        own = last_of_seed(lines, order["seed"])
        open_still = own is not None and own.state in ("ready", "running")
        return open_still and lines[-1].state != "cancelled"
    return any(_is_about(line, order["seed"]) and line.state != "delivered" for line in last)


def _is_about(line: Decision, seed: str) -> bool:
    return bool(line.facts.get("seed") == seed)


def write_reported(archive: Archive, order: ReportOrder, made: Made) -> None:
    """The documents are made and kept, and take the place of the earlier mask's."""
    documents = made["documents"]
    facts: dict[str, Any] = {"seed": order["seed"], "sr": documents[-1], "documents": documents}
    if "lesions" in made and "elapsed_s" in made:
        facts |= {"lesions": made["lesions"], "elapsed_s": made["elapsed_s"]}
    state: CaseState = "reported"
    reason = f"The report {documents[-1]} was made and kept."
    if "judges" in order:
        facts["judges"] = order["judges"]
    if order.get("kind") == "rejected":
        state, facts[REJECTS] = "rejected", order["judges"]
        reason = f"The report {order['judges']} is rejected: the note {documents[-1]} says so."
    write(
        archive, order["study"], order["mask"], state, state, [reason],
        **facts, destinations=order["destinations"],
    )  # fmt: skip


def write_asked(archive: Archive, order: FetchOrder, asked: Asked) -> None:
    """What was asked of sources and what came, beside where the mask stands; news alone."""
    lines = archive.decisions(order["study"], order["mask"])
    told = next((line for line in reversed(lines) if "asked" in line.facts), None)
    if not asked["sentences"] or not lines:
        return
    if told is not None and list(told.facts["asked"]) == asked["sentences"]:
        return
    last = lines[-1]
    archive.write_down(
        Decision(
            last.study_instance_uid, last.mask_instance_uid, last.state, last.code, last.reasons,
            datetime.now(UTC), {**last.facts, "asked": asked["sentences"]},
        ),
        yields_to=lambda now: now != last,
    )  # fmt: skip


def superseded(mask: Instance, later: Instance) -> Decision:
    """The line of a mask that a later version is reported in place of."""
    return Decision(
        mask.study_instance_uid, mask.sop_instance_uid, "superseded", "superseded",
        (superseded_by(later),), datetime.now(UTC), {"later_mask": later.sop_instance_uid},
    )  # fmt: skip


def superseded_by(later: Instance) -> str:
    """Why a mask is not reported that has a later version."""
    return f"The mask {later.sop_instance_uid} is a later version of this one."


def write_sent(archive: Archive, order: DeliveryOrder, sent: Sent) -> None:
    """What came of a try to deliver."""
    name = order["destination"]
    state: CaseState = "reported"
    match sent["outcome"]:
        case "delivered":
            code, first = DELIVERED_TO, f"{name} has the report."
        case "parked":
            state, code, first = "failed", PARKED, f"{name} will not take the report."
        case "again":
            code, first = "delivery-postponed", f"{name} did not take the report now."
        case "held":
            code, first = HELD, f"The report is held for {name} until a person accepts it."
        case "shadowed":
            code, first = SHADOWED, f"The report is kept, and not sent to {name}: mode is shadow."
        case "stopped":
            code, first = STOPPED, f"Nothing is sent to {name}."
        case "cancelled":
            return  # the line of the person who cancelled it says so
    about = last_about(archive.decisions(order["study"], order["mask"]), order["seed"], name)
    if code in (HELD, SHADOWED, STOPPED) and about is not None and about.code == code:
        return  # said before
    answers = {"answers": sent["answers"]} if sent.get("answers") else {}
    _write_delivery(
        archive, order, state, code, [first, *sent["reasons"]], destination=name, **answers
    )


def write_conclusion(archive: Archive, order: DeliveryOrder, held: Collection[str]) -> None:
    """Where the report stands when no destination is left to wait for but those in `held`."""
    lines = archive.decisions(order["study"], order["mask"])
    standing = {name: last_about(lines, order["seed"], name) for name in order["destinations"]}
    codes = {line.code if line is not None else None for line in standing.values()}
    never = codes & {SHADOWED, STOPPED}  # it does not go there, and nothing is waited for
    if codes - never == {DELIVERED_TO}:
        said = "Every destination has the report."
        if never:
            said = "Every destination that it is sent to has the report."
        _write_delivery(archive, order, "delivered", "delivered", [said])
        return
    answered = {line.code if line else None for name, line in standing.items() if name not in held}
    if len(codes) == 1 or not answered - never <= {DELIVERED_TO, PARKED}:
        return
    # what a person has to see is said last, whichever destination was the last to answer
    state: CaseState = "failed" if PARKED in codes else "reported"
    code = PARKED if PARKED in codes else HELD
    for name, line in standing.items():
        if line is not None and line.code == code and line != lines[-1]:
            _write_delivery(archive, order, state, code, line.reasons, destination=name)


def last_of_seed(lines: Sequence[Decision], seed: str) -> Decision | None:
    """The last line about the report of this seed, whatever was decided in between."""
    about = (line for line in reversed(lines) if line.facts.get("seed") == seed)
    return next((line for line in about if NOW not in line.facts), None)


def made_of_seed(lines: Sequence[Decision], seed: str) -> Decision | None:
    """The last line about the report of this seed that names its documents."""
    about = (line for line in reversed(lines) if line.facts.get("seed") == seed)
    return next((line for line in about if "documents" in line.facts), None)


def is_given_up(line: Decision | None) -> bool:
    """Whether the last line about a report says that it was not made and will not be."""
    return (
        line is not None and line.state in ("refused", "failed") and "documents" not in line.facts
    )


def last_made(lines: Sequence[Decision]) -> Decision | None:
    """The last line about a report that was made, before anything was said beside it."""
    made = (line for line in reversed(lines) if "documents" in line.facts)
    return next((line for line in made if NOW not in line.facts), None)


def beside(report: Decision, now: Decision) -> Decision:
    """The line of a report that stands, which says what would become of its mask today."""
    become = "refused" if now.state == "refused" else "kept as context"
    told = f"With what is here now it would be {become} ({now.code}); the report stands."
    reasons = (*report.reasons, told, *now.reasons)
    facts = {**report.facts, NOW: now.code}
    return replace(report, reasons=reasons, facts=facts, decided_at=now.decided_at)


def last_report(lines: Sequence[Decision], *, but: str) -> str | None:
    """The SOPInstanceUID of the last SR that was made, other than `but`."""
    made = (line.facts.get("sr") for line in reversed(lines) if line.code == "reported")
    return next((uid for uid in made if isinstance(uid, str) and uid != but), None)


def last_about(lines: Sequence[Decision], seed: str, name: str) -> Decision | None:
    """The last line about the report of this seed at one destination."""
    about = (
        line
        for line in reversed(lines)
        if line.facts.get("seed") == seed and line.facts.get("destination") == name
    )
    return next(about, None)


def _write_delivery(
    archive: Archive,
    order: DeliveryOrder,
    state: CaseState,
    code: str,
    reasons: Sequence[str],
    **facts: Any,
) -> None:
    documents = order["documents"]
    if "rejects" in order:
        facts[REJECTS] = order["rejects"]
        state = state if state == "failed" else "rejected"
    write(
        archive, order["study"], order["mask"], state, code, reasons,
        seed=order["seed"], sr=documents[-1], documents=documents,
        destinations=order["destinations"], **facts,
    )  # fmt: skip
