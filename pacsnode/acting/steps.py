"""Where an action leaves a mask: the state, code and facts of the line to write, or why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pacsnode.errors import CannotAct
from pacsnode.jobs.asked import ACCEPTED, CANCELLED, REJECT, REQUEUE, RETRY, VERIFY
from pacsnode.jobs.journal import POSTPONED, REJECTS, last_made
from pacsnode.jobs.judged import JUDGED_SEED
from pacsnode.jobs.withholding import ACCEPTED_FOR, VOUCHED, held, report_facts, undelivered
from storage.records import CaseState, Decision


@dataclass(frozen=True, slots=True)
class Step:
    """What the line says beside who asked for it."""

    state: CaseState
    code: str
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def retry(lines: Sequence[Decision]) -> Step:
    """Try now what failed, was refused, was put off or was cancelled. Raises CannotAct."""
    last = _last(lines)
    if last.state == "cancelled":
        before = [line for line in lines if line.state != "cancelled"]
        return _again(before) if before else Step("waiting", RETRY)
    if last.state == "ready" and last.code not in (POSTPONED, RETRY):
        raise CannotAct("The report is in the queue already: nothing has to be tried again.")
    if last.state == "running":
        raise CannotAct("The report is being made just now: wait for what comes of it.")
    return _again(lines)


def _again(lines: Sequence[Decision]) -> Step:
    last = lines[-1]
    seed = last.facts.get("seed")
    match last.state:
        case "context":
            raise CannotAct(
                "This mask is kept as context: nothing of it is reported. Change"
                " assembly.role_rules in the settings and requeue the study."
            )
        case "superseded":
            later = last.facts.get("later_mask")
            raise CannotAct(f"A later version of this mask, {later}, is reported instead.")
        case "waiting":
            return Step("waiting", RETRY)
        case "ready" | "running":
            return Step("ready", RETRY, {"seed": seed}) if seed else Step("waiting", RETRY)
    if "documents" in last.facts:
        return _deliver_again(lines)
    return Step("ready", RETRY, {"seed": seed}) if seed else Step("waiting", RETRY)


def _deliver_again(lines: Sequence[Decision]) -> Step:
    last = lines[-1]
    if not undelivered(lines, last.facts["seed"]):
        raise CannotAct(_why_nothing_is_left(lines))
    state: CaseState = "rejected" if REJECTS in last.facts else "reported"
    return Step(state, RETRY, report_facts(last))


def _why_nothing_is_left(lines: Sequence[Decision]) -> str:
    last = lines[-1]
    if not last.facts["destinations"]:
        return "The report is made and kept, and had no destination: there is nothing to try again."
    if waiting := held(lines, last.facts["seed"]):
        return f"The report is held for {', '.join(waiting)} until a person accepts it: accept it."
    return (
        "The report was made, and nothing of it is left to deliver. To have it made anew with"
        " today's settings, requeue the study."
    )


def requeue(lines: Sequence[Decision]) -> Step:
    """Look at a mask as if it had just come, whatever was decided about it before."""
    return Step("context" if _last(lines).state == "context" else "waiting", REQUEUE)


def cancel(lines: Sequence[Decision]) -> Step:
    """Do nothing more about a mask. Raises CannotAct."""
    if lines:
        match lines[-1].state:
            case "cancelled":
                raise CannotAct("It is cancelled already.")
            case "context" | "superseded":
                raise CannotAct("Nothing is under way for this mask: there is nothing to cancel.")
            case "delivered":
                raise CannotAct(
                    "Every destination has the report: to take it back, reject it with a reason."
                )
        last = lines[-1]
        if "documents" in last.facts and not _is_unfinished(lines):
            raise CannotAct("The report was made and nothing is left to send: reject it instead.")
    return Step("cancelled", CANCELLED)


def accept(lines: Sequence[Decision]) -> Step:
    """Release the last report of a mask for the destinations that it is held for."""
    last, made = _last(lines), last_made(lines)
    if made is None:
        raise CannotAct("No report of this mask has been made: there is nothing to accept.")
    if last.state == "cancelled":
        raise CannotAct("The mask was cancelled: retry it first, then accept its report.")
    if last.state == "superseded":
        raise CannotAct(f"A later version of this mask, {last.facts['later_mask']}, is reported.")
    if last.facts.get("seed") != made.facts["seed"]:
        raise CannotAct("Another report of this mask is on its way: wait for it.")
    waiting = held(lines, made.facts["seed"])
    if not waiting:
        raise CannotAct("No report of this mask is held for a person to accept.")
    return Step("reported", ACCEPTED, report_facts(made) | {ACCEPTED_FOR: waiting})


def judge(lines: Sequence[Decision], facts: Mapping[str, Any], *, is_verified: bool) -> Step:
    """Write down what a person says of the report `facts["judges"]`. Raises CannotAct."""
    last, made, sr = _last(lines), last_made(lines), facts["judges"]
    if made is None or last.state == "superseded":
        raise CannotAct(f"The report {sr} is not the one that stands: a later mask has its own.")
    if REJECTS in made.facts:
        raise CannotAct(f"The report {made.facts[REJECTS]} was rejected already.")
    if made.facts["sr"] != sr:
        raise CannotAct(f"The report {made.facts['sr']} has taken the place of {sr}: judge that.")
    if last.state == "cancelled":
        raise CannotAct("The mask was cancelled: retry it first, then judge its report.")
    if last.facts.get("seed") != made.facts["seed"]:
        raise CannotAct("Another report of this mask is on its way: wait for it, and judge that.")
    kind = facts["kind"]
    if kind == "verified" and is_verified:
        raise CannotAct(f"The report {sr} is verified already.")
    code = VERIFY if kind == "verified" else REJECT
    step: dict[str, Any] = {**facts, JUDGED_SEED: made.facts["seed"]}
    if kind != "corrected":
        step[VOUCHED] = True  # a person vouches for it, or warns: that waits for no other person
    if kind == "rejected":
        step["destinations"] = list(made.facts["destinations"])
    return Step("ready", code, step)


def _is_unfinished(lines: Sequence[Decision]) -> bool:
    seed = lines[-1].facts["seed"]
    return bool(undelivered(lines, seed) or held(lines, seed))


def _last(lines: Sequence[Decision]) -> Decision:
    if not lines:
        raise CannotAct("Nothing has been decided about this mask yet: it is looked at soon.")
    return lines[-1]
