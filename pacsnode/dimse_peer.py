"""An association with a peer (PS3.8): opened within bounds, closed whatever happens."""

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_role

from pacsnode.addresses import DimsePeer
from pacsnode.errors import PeerFailed, PeerRefused

CONNECTION_TIMEOUT_S = 10.0
ACSE_TIMEOUT_S = 20.0
DIMSE_TIMEOUT_S = 120.0
STALL_TIMEOUT_S = 30.0  # within one PDU
MAXIMUM_PDU_LENGTH = 131072

STORAGE = "1.2.840.10008.5.1.4.1.1."
LOCAL_CONGESTION = 3  # source: service provider, presentation: congestion or a local limit


@contextmanager
def opened(
    peer: DimsePeer,
    calling_ae: str,
    contexts: list[PresentationContext],
    *,
    stored: Callable[[evt.Event], int] | None = None,
) -> Iterator[Association]:
    """An association, until the block ends; `stored` answers the C-STOREs of a C-GET on it.

    Raises PeerFailed where another try may work, and PeerRefused, with the fix, where not.
    """
    _config.STORE_SEND_CHUNKED_DATASET = True  # files go out as the bytes they are
    entity = AE(ae_title=calling_ae)
    entity.connection_timeout = CONNECTION_TIMEOUT_S
    entity.acse_timeout = ACSE_TIMEOUT_S
    entity.dimse_timeout = DIMSE_TIMEOUT_S
    entity.network_timeout = DIMSE_TIMEOUT_S
    sockets: list[socket.socket] = []
    handlers: list[tuple[Any, ...]] = [(evt.EVT_ACSE_SENT, _on_acse_sent, [sockets])]
    roles: list[Any] = []
    if stored is not None:
        handlers.append((evt.EVT_C_STORE, stored))
        received = (str(context.abstract_syntax) for context in contexts)
        roles = [build_role(uid, scp_role=True) for uid in received if uid.startswith(STORAGE)]
    association: Association | None = None
    try:
        association = entity.associate(
            peer.host, peer.port, contexts, peer.ae_title,
            max_pdu=MAXIMUM_PDU_LENGTH, evt_handlers=handlers, ext_neg=roles,
        )  # fmt: skip
        if not association.is_established:
            raise _why_not(association, peer, calling_ae)
        yield association
    except socket.gaierror as exc:
        raise PeerFailed(f"{peer.address}: the host name does not resolve") from exc
    finally:
        if association is not None and association.is_established:
            association.release()
        for connection in sockets:
            connection.close()


def _on_acse_sent(event: evt.Event, sockets: list[socket.socket]) -> None:
    transport = event.assoc.dul.socket
    if transport is None or transport.socket is None or sockets:
        return
    # pynetdicom waits for the rest of a PDU without a timeout, and forgets to close a socket
    # whose peer refused or left
    timeval = struct.pack("@ll", int(STALL_TIMEOUT_S), int(STALL_TIMEOUT_S % 1 * 1e6))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        transport.socket.setsockopt(socket.SOL_SOCKET, option, timeval)
    sockets.append(transport.socket)


def _why_not(
    association: Association, peer: DimsePeer, calling_ae: str
) -> PeerFailed | PeerRefused:
    named = peer.address
    if association.rejected_contexts and not association.accepted_contexts:
        classes = {str(context.abstract_syntax) for context in association.rejected_contexts}
        return not_taken(sorted(classes), peer)
    if not association.is_rejected:
        return PeerFailed(f"{named}: no connection, or closed before an association was made")
    answer = association.acceptor.primitive
    result, source, reason = _rejection(answer)
    if result == 1 and source != LOCAL_CONGESTION:
        sentence, fix = _PERMANENT_REJECTIONS.get(
            (source, reason), ("rejects our association for good", "Ask its administrator why")
        )
        titles = {"calling": calling_ae, "called": peer.ae_title}
        return PeerRefused(f"{named} {sentence.format(**titles)}", fix=fix.format(**titles))
    return PeerFailed(f"{named} rejects associations for now ({source}/{reason})")


_PERMANENT_REJECTIONS = {
    (1, 3): (
        "does not recognise our AE title {calling}",
        "Register {calling} with this machine's address at the peer",
    ),
    (1, 7): (
        "is not called {called}",
        "Set its ae_title in the settings to the AE title it answers to",
    ),
}


def _rejection(answer: A_ASSOCIATE | None) -> tuple[int, int, int]:
    if answer is None:
        return 2, 0, 0
    return answer.result or 2, answer.result_source or 0, answer.diagnostic or 0


def not_taken(classes: Sequence[str], peer: DimsePeer) -> PeerRefused:
    names = ", ".join(f"{UID(sop_class).name} ({sop_class})" for sop_class in classes)
    return PeerRefused(
        f"{peer.address} accepts no presentation context for {names}",
        fix=f"Enable storage of {names} in Explicit or Implicit VR Little Endian there",
    )
