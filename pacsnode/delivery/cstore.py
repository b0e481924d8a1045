"""C-STORE SCU: kept Part 10 files to a destination, as they are kept, over one association.

What a peer answers is either a reason to try again or a reason to ask a person (PS3.4 table B.2-1,
PS3.7 annex C, PS3.8 table 9-21).
"""

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import UID, Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context

from pacsnode.addresses import Destination
from pacsnode.delivery.outgoing import LITTLE_ENDIAN, Outgoing, outgoing
from pacsnode.delivery.statuses import (
    ALREADY_THERE,
    ASK_ITS_LOG,
    ATTRIBUTE_LIST_WARNING,
    needs_a_person,
)
from pacsnode.errors import DeliveryFailed, DeliveryRejected

CONNECTION_TIMEOUT_S = 10.0
ACSE_TIMEOUT_S = 20.0
DIMSE_TIMEOUT_S = 120.0
STALL_TIMEOUT_S = 30.0  # within one PDU
MAXIMUM_PDU_LENGTH = 131072

VERIFICATION = UID("1.2.840.10008.1.1")
LOCAL_CONGESTION = 3  # source: service provider, presentation: congestion or a local limit


@dataclass(frozen=True, slots=True)
class Probe:
    """What a destination said to a C-ECHO and to the contexts our reports need."""

    echo_status: int | None  # None where verification was not accepted or not answered
    takes_reports: bool  # Comprehensive 3D SR, 1.2.840.10008.5.1.4.1.1.88.34
    takes_segmentations: bool
    elapsed_s: float


def send(paths: Sequence[Path], destination: Destination, calling_ae: str) -> None:
    """Store every file at the destination, in order.

    Raises DeliveryFailed where another try may work, and DeliveryRejected, with the fix, where not.
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
    with _association(destination, calling_ae, contexts) as association:
        for one in files:
            _chosen_syntax(one, association, destination)
        for one in files:
            _store(one, association, destination)


def probe(destination: Destination, calling_ae: str) -> Probe:
    """Ask a destination whether it answers, and whether it takes our reports.

    Raises DeliveryFailed or DeliveryRejected where it opens no association at all.
    """
    began = time.monotonic()
    classes = (VERIFICATION, Comprehensive3DSRStorage, SegmentationStorage)
    contexts = [build_context(sop_class, list(LITTLE_ENDIAN)) for sop_class in classes]
    with _association(destination, calling_ae, contexts) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        answer = association.send_c_echo() if VERIFICATION in accepted else None
        return Probe(
            echo_status=int(answer.Status) if answer else None,
            takes_reports=Comprehensive3DSRStorage in accepted,
            takes_segmentations=SegmentationStorage in accepted,
            elapsed_s=time.monotonic() - began,
        )


@contextmanager
def _association(
    destination: Destination, calling_ae: str, contexts: list[PresentationContext]
) -> Iterator[Association]:
    _config.STORE_SEND_CHUNKED_DATASET = True  # files go out as the bytes they are
    entity = AE(ae_title=calling_ae)
    entity.connection_timeout = CONNECTION_TIMEOUT_S
    entity.acse_timeout = ACSE_TIMEOUT_S
    entity.dimse_timeout = DIMSE_TIMEOUT_S
    entity.network_timeout = DIMSE_TIMEOUT_S
    opened: list[socket.socket] = []
    association: Association | None = None
    try:
        association = entity.associate(
            destination.host, destination.port, contexts, destination.ae_title,
            max_pdu=MAXIMUM_PDU_LENGTH, evt_handlers=[(evt.EVT_ACSE_SENT, _on_acse_sent, [opened])],
        )  # fmt: skip
        if not association.is_established:
            raise _why_not(association, destination, calling_ae)
        yield association
    except socket.gaierror as exc:
        raise DeliveryFailed(f"{destination.address}: the host name does not resolve") from exc
    finally:
        if association is not None and association.is_established:
            association.release()
        for connection in opened:
            connection.close()


def _on_acse_sent(event: evt.Event, opened: list[socket.socket]) -> None:
    transport = event.assoc.dul.socket
    if transport is None or transport.socket is None or opened:
        return
    # pynetdicom waits for the rest of a PDU without a timeout, and forgets to close a socket
    # whose peer refused or left
    timeval = struct.pack("@ll", int(STALL_TIMEOUT_S), int(STALL_TIMEOUT_S % 1 * 1e6))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        transport.socket.setsockopt(socket.SOL_SOCKET, option, timeval)
    opened.append(transport.socket)


def _why_not(
    association: Association, destination: Destination, calling_ae: str
) -> DeliveryFailed | DeliveryRejected:
    named = destination.address
    if association.rejected_contexts and not association.accepted_contexts:
        classes = {str(context.abstract_syntax) for context in association.rejected_contexts}
        return _not_taken(sorted(classes), destination)
    if not association.is_rejected:
        return DeliveryFailed(f"{named}: no connection, or closed before an association was made")
    answer = association.acceptor.primitive
    result, source, reason = _rejection(answer)
    if result == 1 and source != LOCAL_CONGESTION:
        sentence, fix = _PERMANENT_REJECTIONS.get(
            (source, reason), ("rejects our association for good", "Ask its administrator why")
        )
        titles = {"calling": calling_ae, "called": destination.ae_title}
        return DeliveryRejected(f"{named} {sentence.format(**titles)}", fix=fix.format(**titles))
    return DeliveryFailed(f"{named} rejects associations for now ({source}/{reason})")


_PERMANENT_REJECTIONS = {
    (1, 3): (
        "does not recognise our AE title {calling}",
        "Register {calling} with this machine's address at the destination",
    ),
    (1, 7): (
        "is not called {called}",
        "Set the destination's ae_title to the AE title it answers to",
    ),
}


def _rejection(answer: A_ASSOCIATE | None) -> tuple[int, int, int]:
    if answer is None:
        return 2, 0, 0
    return answer.result or 2, answer.result_source or 0, answer.diagnostic or 0


def _chosen_syntax(one: Outgoing, association: Association, destination: Destination) -> UID:
    accepted = {
        (context.abstract_syntax, context.transfer_syntax[0])
        for context in association.accepted_contexts
    }
    for syntax in one.syntaxes:
        if (one.sop_class_uid, syntax) in accepted:
            return syntax
    raise _not_taken([str(one.sop_class_uid)], destination)


def _not_taken(classes: Sequence[str], destination: Destination) -> DeliveryRejected:
    names = ", ".join(f"{UID(sop_class).name} ({sop_class})" for sop_class in classes)
    return DeliveryRejected(
        f"{destination.address} accepts no presentation context for {names}",
        fix=f"Enable storage of {names} in Explicit or Implicit VR Little Endian there",
    )


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
