"""One try to bring documents to a destination."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydicom import dcmread

from pacsnode.addresses import AnyDestination, WebDestination
from pacsnode.delivery import cstore, stow
from pacsnode.errors import DeliveryFailed, DeliveryRejected, PeerFailed, PeerRefused
from pacsnode.jobs import withholding
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.orders import DeliveryOrder, Sent
from storage.errors import StorageError

Outcome = Literal["delivered", "again", "parked", "held", "shadowed", "stopped", "cancelled"]
Answered = Mapping[str, str]  # of one document: its UID, what became of it, the peer's reason


def bring(order: DeliveryOrder, desk: Desk) -> Sent:
    """Send the documents in their order; never raises.

    Sending again what was sent before is harmless: the same bytes under the same UID.
    """
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
        withheld = withholding.reason_not_to_send(lines, order, destination.mode)
        if withheld is not None:
            return _sent(withheld)
        for earlier in _predecessors(paths[-1]):
            if withholding.goes_first(lines, earlier, destination.name):
                return _sent("again", f"The report {earlier}, which this one replaces, goes first.")
        answers = _send(paths, destination, desk.settings.listen.ae_title)
    except PeerRefused as exc:
        answers = exc.answers if isinstance(exc, DeliveryRejected) else ()
        return _sent("parked", str(exc), f"To fix: {exc.fix}", answers=answers)
    except (PeerFailed, StorageError) as exc:
        answers = exc.answers if isinstance(exc, DeliveryFailed) else ()
        return _sent("again", str(exc), answers=answers)
    except Exception as exc:  # noqa: BLE001 the delivery step: a study is never lost to a defect
        return _sent("again", f"The program failed while sending: {type(exc).__name__}.")
    reach("sent")
    return _sent("delivered", *_remarks(answers), answers=answers)


def _send(
    paths: Sequence[Path], destination: AnyDestination, calling_ae: str
) -> Sequence[Answered]:
    if isinstance(destination, WebDestination):
        return stow.send(paths, destination)
    cstore.send(paths, destination, calling_ae)
    return []  # it raises unless every status is a success


def _remarks(answers: Sequence[Answered]) -> list[str]:
    return [
        f"{answer['sop_instance_uid']}: {answer['outcome']}."
        for answer in answers
        if answer["outcome"] != "stored"
    ]


def _predecessors(sr: Path) -> list[str]:
    """The documents that an SR takes the place of."""
    document = dcmread(sr, specific_tags=["PredecessorDocumentsSequence"])
    return [
        str(item.ReferencedSOPInstanceUID)
        for study in document.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]


def _sent(
    outcome: Outcome,
    *reasons: str,
    answers: Sequence[Answered] = (),
) -> Sent:
    sent = Sent(outcome=outcome, reasons=list(reasons))
    if answers:
        sent["answers"] = [dict(answer) for answer in answers]
    return sent
