"""One try to bring documents to a destination."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydicom.uid import UID

from engine.errors import EngineError
from pacsnode import log
from pacsnode.access.audit import open_audit
from pacsnode.access.audit_message import Partner, Transfer
from pacsnode.addresses import AnyDestination, WebDestination
from pacsnode.delivery import cstore, stow
from pacsnode.errors import DeliveryFailed, DeliveryRejected, PeerFailed, PeerRefused
from pacsnode.jobs import withholding
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.orders import DeliveryOrder, Sent
from pacsnode.jobs.other_forms import others_of, predecessors_of
from pacsnode.jobs.pictures import kept_key_images
from storage.errors import StorageError

Outcome = Literal["delivered", "again", "parked", "held", "shadowed", "stopped", "cancelled"]

REPORT = "Comprehensive 3D SR"
Answered = Mapping[str, str]  # of one document: its UID, what became of it, the peer's reason


def bring(order: DeliveryOrder, desk: Desk, *, rejected_broke_off: bool = False) -> Sent:
    """Send the documents in their order, and have the audit log told; never raises.

    Sending again what was sent before is harmless: the same bytes under the same UID. With
    `rejected_broke_off` the report that the order's note rejects may be there, untold.
    """
    sent = _bring(order, desk, rejected_broke_off)
    _have_told(order, sent, desk)
    return sent


def _have_told(order: DeliveryOrder, sent: Sent, desk: Desk) -> None:
    """A message once it is delivered or refused for good, or where some of it arrived."""
    outcomes = Counter(answer["outcome"] for answer in sent.get("answers", ()))
    fresh = outcomes["stored"] + outcomes["stored with a warning"]
    destination = desk.destination(order["destination"])
    if destination is None or not (sent["outcome"] in ("delivered", "parked") or fresh):
        return
    delivered = sent["outcome"] == "delivered"
    open_audit(desk.settings).transferred(Transfer(
        "sent", Partner.at(destination), {order["study"]: fresh + outcomes["already there"]},
        fresh > 0 or not delivered, "success" if delivered else "failure",
        "" if delivered else " ".join(sent["reasons"][:1]),
    ))  # fmt: skip


def _bring(order: DeliveryOrder, desk: Desk, rejected_broke_off: bool) -> Sent:
    destination = desk.destination(order["destination"])
    if destination is None:
        fix = "Name it again in the settings and restart the node."
        return _sent("parked", "The destination is no longer in the settings.", fix)
    reach("sending")
    answers: Sequence[Answered]
    try:
        paths = []
        for uid in order["documents"]:
            instance = desk.archive.instance(uid)
            if instance is None:
                fix = "Rebuild the index with `pacsnode reindex` and restart the node."
                return _sent("parked", f"The archive does not hold the document {uid}.", fix)
            paths.append(instance.path)
        lines = desk.archive.decisions(order["study"])
        withheld = withholding.reason_not_to_send(
            lines, order, destination.mode, rejected_broke_off=rejected_broke_off
        )
        if withheld is not None:
            return _sent(withheld)
        for earlier in predecessors_of(paths[-1]):
            if withholding.goes_first(lines, earlier, destination.name):
                return _sent("again", f"The report {earlier}, which this one replaces, goes first.")
        answers, remarks = _send(paths, destination, desk)
    except PeerRefused as exc:
        answers = exc.answers if isinstance(exc, DeliveryRejected) else ()
        return _sent("parked", str(exc), f"To fix: {exc.fix}", answers=answers)
    except (PeerFailed, StorageError) as exc:
        answers = exc.answers if isinstance(exc, DeliveryFailed) else ()
        return _sent("again", str(exc), answers=answers)
    except Exception as exc:  # noqa: BLE001 the delivery step: a study is never lost to a defect
        return _sent("again", f"The program failed while sending: {type(exc).__name__}.")
    reach("sent")
    return _sent("delivered", *_remarks(answers), *remarks, answers=answers)


def _send(
    paths: Sequence[Path], destination: AnyDestination, desk: Desk
) -> tuple[Sequence[Answered], list[str]]:
    """What was said of each document, and what to say beside it."""
    others = others_of(paths[-1], destination.fallback, desk)
    extras, remarks = _pictures(paths[-1], destination, desk)
    if isinstance(destination, WebDestination):
        return stow.send(paths, destination, others=others, extras=extras), remarks
    title = desk.settings.listen.ae_title
    return cstore.send(paths, destination, title, others=others, extras=extras), remarks


def _pictures(
    sr: Path, destination: AnyDestination, desk: Desk
) -> tuple[list[Path], list[str]]:  # fmt: skip
    """The key images a destination wants, or why there are none: the report goes without."""
    if not destination.key_images:
        return [], []
    try:
        return kept_key_images(sr, desk.archive, desk.settings), []
    except (EngineError, StorageError) as exc:
        if exc.retryable:
            raise DeliveryFailed(f"The key images cannot be drawn now: {exc}") from exc
        why = str(exc)
    except Exception as exc:  # noqa: BLE001 the delivery step: no picture holds back its report
        why = f"the program failed, {type(exc).__name__} at {log.where(exc)}."
    log.event("key-images-not-drawn", level=logging.WARNING, reason=why)
    return [], [f"It got no key images: {why}"]


def _remarks(answers: Sequence[Answered]) -> Iterator[str]:
    for answer in answers:
        uid, outcome = answer["sop_instance_uid"], answer["outcome"]
        if "instead_of" in answer:
            named = UID(answer["sop_class_uid"]).name.removesuffix(" Storage")
            yield f"It takes no {REPORT} and got the report as {named}, {uid}: {outcome}."
        elif outcome != "stored":
            yield f"{uid}: {outcome}."


def _sent(
    outcome: Outcome,
    *reasons: str,
    answers: Sequence[Answered] = (),
) -> Sent:
    sent = Sent(outcome=outcome, reasons=list(reasons))
    if answers:
        sent["answers"] = [dict(answer) for answer in answers]
    return sent
