"""C-STORE SCU: kept Part 10 files to a destination, as they are kept, over one association.

What a peer answers is either a reason to try again or a reason to ask a person (PS3.4 table B.2-1,
PS3.7 annex C).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import UID, Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from pacsnode.addresses import Destination
from pacsnode.delivery.outgoing import LITTLE_ENDIAN, Outgoing, outgoing
from pacsnode.delivery.statuses import (
    ALREADY_THERE,
    ASK_ITS_LOG,
    ATTRIBUTE_LIST_WARNING,
    needs_a_person,
)
from pacsnode.dimse_peer import not_taken, opened
from pacsnode.errors import DeliveryFailed, DeliveryRejected

VERIFICATION = UID("1.2.840.10008.1.1")
SENT = (Comprehensive3DSRStorage, SegmentationStorage)  # what our documents are


@dataclass(frozen=True, slots=True)
class Probe:
    """What a destination said to a C-ECHO and to the contexts our reports need."""

    echo_status: int | None  # None where verification was not accepted or not answered
    takes_reports: bool  # Comprehensive 3D SR, 1.2.840.10008.5.1.4.1.1.88.34
    takes_segmentations: bool
    elapsed_s: float


def send(paths: Sequence[Path], destination: Destination, calling_ae: str) -> None:
    """Store every file at the destination, in order.

    Raises PeerFailed where another try may work, and PeerRefused, with the fix, where not.
    Nothing is sent unless the destination takes every class. To send again what has arrived is
    harmless.
    """
    files = [outgoing(path) for path in paths]
    contexts = [
        build_context(*pair)
        for pair in dict.fromkeys(
            (one.sop_class_uid, syntax) for one in files for syntax in one.syntaxes
        )
    ]
    with opened(destination, calling_ae, contexts) as association:
        for one in files:
            _chosen_syntax(one, association, destination)
        for one in files:
            _store(one, association, destination)


def probe(destination: Destination, calling_ae: str) -> Probe:
    """Ask a destination whether it answers, and whether it takes our reports.

    Raises PeerFailed or PeerRefused where it opens no association at all.
    """
    began = time.monotonic()
    classes = (VERIFICATION, *SENT)
    contexts = [build_context(sop_class, list(LITTLE_ENDIAN)) for sop_class in classes]
    with opened(destination, calling_ae, contexts) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        answer = association.send_c_echo() if VERIFICATION in accepted else None
        return Probe(
            echo_status=int(answer.Status) if answer else None,
            takes_reports=Comprehensive3DSRStorage in accepted,
            takes_segmentations=SegmentationStorage in accepted,
            elapsed_s=time.monotonic() - began,
        )


def _chosen_syntax(one: Outgoing, association: Association, destination: Destination) -> UID:
    accepted = {
        (context.abstract_syntax, context.transfer_syntax[0])
        for context in association.accepted_contexts
    }
    for syntax in one.syntaxes:
        if (one.sop_class_uid, syntax) in accepted:
            return syntax
    raise not_taken([str(one.sop_class_uid)], destination)


def _store(one: Outgoing, association: Association, destination: Destination) -> None:
    syntax = _chosen_syntax(one, association, destination)
    try:
        unchanged = syntax == one.transfer_syntax_uid
        answer = association.send_c_store(one.path if unchanged else dcmread(one.path))
    except (RuntimeError, OSError) as exc:  # the association ended under our hands
        raise DeliveryFailed(f"{destination.address}: the association ended early") from exc
    if "Status" not in answer:
        raise DeliveryFailed(f"{destination.address} gave no answer for {one.sop_instance_uid}")
    _judge(int(answer.Status), one, destination)


def _judge(status: int, one: Outgoing, destination: Destination) -> None:
    if status in (0x0000, ATTRIBUTE_LIST_WARNING, ALREADY_THERE) or status >> 12 == 0xB:
        return
    said = f"{destination.address} answers 0x{status:04X} for {one.sop_instance_uid}"
    meaning = needs_a_person(status)
    if meaning is None:
        raise DeliveryFailed(said)
    raise DeliveryRejected(f"{said}: {meaning}", fix=ASK_ITS_LOG)
