"""C-STORE SCU: kept Part 10 files to a destination, as they are kept, over one association.

What a peer answers is either a reason to try again or a reason to ask a person (PS3.4 table B.2-1,
PS3.7 annex C).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from engine.report.plain_forms import CLASSES, Form
from pacsnode.addresses import Destination
from pacsnode.delivery.outgoing import LITTLE_ENDIAN, Other, Outgoing, outgoing, told
from pacsnode.delivery.statuses import (
    ALREADY_THERE,
    ASK_ITS_LOG,
    ATTRIBUTE_LIST_WARNING,
    needs_a_person,
)
from pacsnode.dimse_peer import not_taken, opened
from pacsnode.errors import DeliveryFailed, DeliveryRejected

VERIFICATION = UID("1.2.840.10008.1.1")
OF_REPORTS = (Comprehensive3DSRStorage, SegmentationStorage)
SENT = (*OF_REPORTS, *CLASSES.values(), KeyObjectSelectionDocumentStorage,
        SecondaryCaptureImageStorage)  # whatever may leave  # fmt: skip


@dataclass(frozen=True, slots=True)
class Probe:
    """What a destination said to a C-ECHO and to the contexts our reports need."""

    echo_status: int | None  # None where verification was not accepted or not answered
    takes_reports: bool  # Comprehensive 3D SR, 1.2.840.10008.5.1.4.1.1.88.34
    takes_segmentations: bool
    takes_forms: tuple[Form, ...]  # of the destination's fallback
    elapsed_s: float


def send(
    paths: Sequence[Path],
    destination: Destination,
    calling_ae: str,
    *,
    others: Sequence[Other] = (),
    extras: Sequence[Path] = (),
) -> list[dict[str, str]]:
    """Store every file at the destination, in order; gives what became of each there.

    Where the last one's class is refused, the first of `others` that is taken goes in its place.
    `extras` follow where they are taken, and are left out where not. Raises PeerFailed where
    another try may work, and PeerRefused, with the fix, where not. Nothing is sent unless the
    destination takes every class. To send again what has arrived is harmless.
    """
    files = [outgoing(path) for path in paths]
    beside = [outgoing(path) for path in extras]
    pairs = [(one.sop_class_uid, syntax) for one in (*files, *beside) for syntax in one.syntaxes]
    pairs += [(other.sop_class_uid, syntax) for other in others for syntax in LITTLE_ENDIAN]
    contexts = [build_context(*pair) for pair in dict.fromkeys(pairs)]
    with opened(destination, calling_ae, contexts) as association:
        chosen = _chosen(files, others, association, destination)
        instead_of = "" if chosen[-1] == files[-1] else str(files[-1].sop_instance_uid)
        answers = [_store(one, association, destination) for one in chosen[:-1]]
        answers.append(_store(chosen[-1], association, destination, instead_of))
        answers += [_store_extra(one, association, destination) for one in beside]
    return answers


def _chosen(
    files: list[Outgoing],
    others: Sequence[Other],
    association: Association,
    destination: Destination,
) -> list[Outgoing]:
    """What goes: the files; or another in the place of the last, whose class is refused."""
    refused = [one for one in files if _syntax(one, association) is None]
    if not refused:
        return files
    if files[-1] in refused:
        taken = {context.abstract_syntax for context in association.accepted_contexts}
        for other in others:
            if other.sop_class_uid in taken and (other.stands_alone or len(refused) == 1):
                companions = [one for one in files[:-1] if one not in refused]
                return [*companions, outgoing(other.make())]
    raise not_taken([str(refused[0].sop_class_uid)], destination)


def probe(destination: Destination, calling_ae: str) -> Probe:
    """Ask a destination whether it answers, and whether it takes our reports.

    Raises PeerFailed or PeerRefused where it opens no association at all.
    """
    began = time.monotonic()
    forms = {form: CLASSES[form] for form in destination.fallback}
    classes = (VERIFICATION, *OF_REPORTS, *forms.values())
    contexts = [build_context(sop_class, list(LITTLE_ENDIAN)) for sop_class in classes]
    with opened(destination, calling_ae, contexts) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        answer = association.send_c_echo() if VERIFICATION in accepted else None
        return Probe(
            echo_status=int(answer.Status) if answer else None,
            takes_reports=Comprehensive3DSRStorage in accepted,
            takes_segmentations=SegmentationStorage in accepted,
            takes_forms=tuple(form for form, taken in forms.items() if taken in accepted),
            elapsed_s=time.monotonic() - began,
        )


def _syntax(one: Outgoing, association: Association) -> UID | None:
    """The transfer syntax it goes in; None where its class is not taken in any."""
    accepted = {
        (context.abstract_syntax, context.transfer_syntax[0])
        for context in association.accepted_contexts
    }
    found = (syntax for syntax in one.syntaxes if (one.sop_class_uid, syntax) in accepted)
    return next(found, None)


def _store_extra(
    one: Outgoing, association: Association, destination: Destination
) -> dict[str, str]:
    if _syntax(one, association) is None:
        return told(one, "not taken")
    try:
        return _store(one, association, destination)
    except DeliveryRejected:  # the report is there: nobody waits for what illustrates it
        return told(one, "refused")


def _store(
    one: Outgoing, association: Association, destination: Destination, instead_of: str = ""
) -> dict[str, str]:
    try:
        unchanged = _syntax(one, association) == one.transfer_syntax_uid
        answer = association.send_c_store(one.path if unchanged else dcmread(one.path))
    except (RuntimeError, OSError) as exc:  # the association ended under our hands
        raise DeliveryFailed(f"{destination.address}: the association ended early") from exc
    if "Status" not in answer:
        raise DeliveryFailed(f"{destination.address} gave no answer for {one.sop_instance_uid}")
    status = int(answer.Status)
    outcome = _judge(status, one, destination)
    return told(one, outcome, reason=status or None, instead_of=instead_of)


def _judge(status: int, one: Outgoing, destination: Destination) -> str:
    if status == 0x0000:
        return "stored"
    if status == ALREADY_THERE:
        return "already there"
    if status == ATTRIBUTE_LIST_WARNING or status >> 12 == 0xB:
        return "stored with a warning"
    said = f"{destination.address} answers 0x{status:04X} for {one.sop_instance_uid}"
    meaning = needs_a_person(status)
    if meaning is None:
        raise DeliveryFailed(said)
    raise DeliveryRejected(f"{said}: {meaning}", fix=ASK_ITS_LOG)
