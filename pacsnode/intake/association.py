"""The storage SCP: associations, C-ECHO, C-STORE; an object is answered once it is durable."""

import gc
import logging
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from socketserver import TCPServer
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE, SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AssociationServer

from pacsnode import log
from pacsnode.access.audit import Audit
from pacsnode.access.audit_message import Partner, Transfer
from pacsnode.errors import cannot_bind
from pacsnode.intake import acceptance
from pacsnode.intake.guard import Bounds, GuardedConnection
from pacsnode.settings import Listen
from pacsnode.tallies import Tallies
from storage.errors import Mismatch, StorageError, Unkeepable
from storage.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from storage.header import is_uid, said
from storage.records import Kept, Reference

ACSE_TIMEOUT_S = 5.0  # for the A-ASSOCIATE-RQ: an idle connection is not worth a slot for longer
CLOSING_TIMEOUT_S = 2.0
COLLECT_EVERY_S = 60.0
VERIFICATION = UID("1.2.840.10008.1.1")
STORAGE_SERVICE_CLASS = UID("1.2.840.10008.4.2")
REJECTED_PERMANENT, BY_USER, CALLING_AE_NOT_RECOGNISED = 1, 1, 3  # PS3.8 table 9-21


class Keeper(Protocol):
    """Where objects are kept; `storage.archive.Archive` in the node."""

    def keep(
        self,
        encoded: bytes,
        *,
        transfer_syntax_uid: str,
        calling_ae: str | None = None,
        expected: Reference | None = None,
    ) -> Kept:
        """Make an object durable. Raises StorageError."""
        ...


@dataclass(slots=True)
class _Brought:
    """What one association brought."""

    answers: Counter[str] = field(default_factory=Counter)  # kept, refused
    studies: Counter[str] = field(default_factory=Counter)  # kept objects by study
    is_news: bool = False


class Listener:
    """Listens for associations from `start` to `stop` and hands every object to the archive."""

    def __init__(
        self,
        archive: Keeper,
        listen: Listen,
        tallies: Tallies | None = None,
        audit: Audit | None = None,
    ) -> None:
        """Raises BadSettings where the settings do not say who may send, Unavailable where a host
        name of theirs does not resolve."""
        self._audit = audit
        self._archive = archive
        self._counted = tallies or Tallies()
        self._listen = listen
        self._callers = acceptance.Callers.from_peers(listen.peers)
        self._bind_to = acceptance.bind_address(listen)
        self._brought: WeakKeyDictionary[Association, _Brought] = WeakKeyDictionary()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The address and port listened on; the port that the system picked where 0 was asked."""
        if self._server is None:
            raise RuntimeError("The listener is not started")
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def open_associations(self) -> int:
        """How many are established now; 0 while nothing is listened for."""
        active = self._server.active_associations if self._server is not None else ()
        return sum(association.is_established for association in active)

    @property
    def is_listening(self) -> bool:
        """Whether the thread that accepts connections lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Bind and listen. Raises BadSettings or Unavailable where the address cannot be bound."""
        _config.LOG_HANDLER_LEVEL = "none"  # pynetdicom would format every PDU for its debug log
        entity = AE(ae_title=self._listen.ae_title)
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        entity.maximum_associations = self._listen.maximum_associations
        entity.maximum_pdu_size = self._listen.maximum_pdu_length
        entity.acse_timeout = ACSE_TIMEOUT_S
        entity.network_timeout = self._listen.network_timeout_s
        try:
            server = _Server(
                entity,
                (self._bind_to, self._listen.port),
                self._listen.ae_title,
                [build_context(VERIFICATION)],
                evt_handlers=[
                    (evt.EVT_FSM_TRANSITION, _on_transition),
                    (evt.EVT_REQUESTED, self._on_requested),
                    (evt.EVT_SOP_COMMON, self._on_class_negotiation),
                    (evt.EVT_ESTABLISHED, self._on_established),
                    (evt.EVT_REJECTED, self._on_rejected),
                    (evt.EVT_C_STORE, self._on_store),
                    (evt.EVT_RELEASED, self._on_end, ["association-released", logging.INFO]),
                    (evt.EVT_ABORTED, self._on_end, ["association-aborted", logging.WARNING]),
                ],
                callers=self._callers,
                listen=self._listen,
                tallies=self._counted,
            )
        except OSError as exc:
            raise cannot_bind(
                exc,
                f"Cannot listen on {self._bind_to} port {self._listen.port}: {exc.strerror}; set "
                "'listen.address' and 'listen.port' to what is free here",
            ) from exc
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()
        host, port = self.address
        log.event("listening", address=host, port=port, called_ae=self._listen.ae_title)

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more associations, give those in progress `grace_s` to end, close the rest."""
        if self._server is None or self._thread is None:
            return
        TCPServer.shutdown(self._server)  # pynetdicom's own shutdown wants a server its AE started
        self._server.server_close()
        self._thread.join()
        deadline = time.monotonic() + grace_s
        while self._server.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)
        for association in self._server.active_associations:
            transport = association.dul.socket
            if transport is not None and transport.socket is not None:
                # an A-ABORT would wait for the PDU in progress, however slowly that comes
                transport.socket.shutdown(socket.SHUT_RDWR)
            association.join(CLOSING_TIMEOUT_S)
        self._server = None

    def _on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        calling, address = _caller(association)
        if not self._callers.may_send(calling, address):
            log.event("caller-refused", level=logging.WARNING, calling_ae=calling, address=address)
            self._counted.association_refused("unknown-caller")
            association.acse.send_reject(REJECTED_PERMANENT, BY_USER, CALLING_AE_NOT_RECOGNISED)
            association.kill()
            return
        association.acceptor.supported_contexts = self._contexts(association)

    def _contexts(self, association: Association) -> list[PresentationContext]:
        proposed: dict[str, list[list[str]]] = {}
        request = cast(A_ASSOCIATE, association.requestor.primitive)
        for context in request.presentation_context_definition_list:
            syntaxes = [str(syntax) for syntax in context.transfer_syntax]
            proposed.setdefault(str(context.abstract_syntax), []).append(syntaxes)
        supported = [build_context(VERIFICATION)]
        for sop_class, syntaxes_by_context in proposed.items():
            taken = acceptance.syntaxes_for(sop_class, self._listen.other_objects)
            ordered = acceptance.in_order(syntaxes_by_context, taken)
            if sop_class != VERIFICATION and ordered:
                supported.append(build_context(sop_class, list(ordered)))
        return supported

    def _on_class_negotiation(self, event: evt.Event) -> dict[UID, Any]:
        # tells pynetdicom that private and new classes, too, belong to the storage service
        answers = {}
        for context in event.assoc.acceptor.supported_contexts:
            sop_class = cast(UID, context.abstract_syntax)
            if sop_class != VERIFICATION:
                item = SOPClassCommonExtendedNegotiation()
                item.sop_class_uid = sop_class
                item.service_class_uid = STORAGE_SERVICE_CLASS
                answers[sop_class] = item
        return answers

    def _on_established(self, event: evt.Event) -> None:
        calling, address = _caller(event.assoc)
        self._brought[event.assoc] = _Brought()
        self._counted.association_accepted(calling)
        log.event("association-established", calling_ae=calling, address=address)

    def _on_rejected(self, _: evt.Event) -> None:
        # pynetdicom's own, for want of a place; what we refuse ourselves does not come by here
        self._counted.association_refused("maximum-associations")

    def _on_end(self, event: evt.Event, name: str, level: int) -> None:
        calling, address = _caller(event.assoc)
        how = name.removeprefix("association-")
        if event.assoc in self._brought:  # others were never established
            self._counted.association_ended(how)
        brought = self._brought.pop(event.assoc, _Brought())
        log.event(name, level=level, calling_ae=calling, address=address, **brought.answers)
        if self._audit is not None and brought.studies:
            # only now: every object was answered, and none waits for this
            wrong = [f"{brought.answers['refused']} refused"] if brought.answers["refused"] else []
            wrong += [how] if how == "aborted" else []
            self._audit.transferred(Transfer(
                "received", Partner(calling, address, calling), brought.studies, brought.is_news,
                "failure" if wrong else "success", ", ".join(wrong),
            ))  # fmt: skip

    def _on_store(self, event: evt.Event) -> int:
        calling = _caller(event.assoc)[0]
        sent = cast(C_STORE, event.request).DataSet  # None where a command comes alone
        size_bytes = sent.getbuffer().nbytes if sent is not None else 0
        try:
            kept = self._keep(event)
        except Exception as exc:  # noqa: BLE001 - the sender is owed a status, whatever went wrong
            self._of(event.assoc).answers["refused"] += 1
            self._counted.received(calling, "refused", size_bytes)
            self._counted.refused("dimse", acceptance.REASONS[acceptance.status_for(exc)])
            return _refusal(event, exc)
        brought = self._of(event.assoc)
        brought.answers["kept"] += 1
        brought.studies[kept.instance.study_instance_uid] += 1
        brought.is_news |= kept.outcome != "same"
        self._counted.received(calling, kept.outcome, size_bytes)
        log.event(
            "instance-kept",
            sop_instance_uid=kept.instance.sop_instance_uid,
            outcome=kept.outcome,
            calling_ae=calling,
        )
        return acceptance.SUCCESS

    def _keep(self, event: evt.Event) -> Kept:
        request = cast(C_STORE, event.request)
        sop_class = str(request.AffectedSOPClassUID)
        expected = Reference(sop_class, str(request.AffectedSOPInstanceUID))
        if not is_uid(expected.sop_instance_uid):
            raise Unkeepable(
                "Affected SOP Instance UID (0000,1000) of the command holds "
                f"{said(expected.sop_instance_uid)}"
            )
        negotiated = str(event.context.abstract_syntax)
        if sop_class != negotiated:
            # a context is agreed on for one class (PS3.8 9.3.2.2), and says nothing of another
            raise Mismatch(
                "Affected SOP Class UID (0000,0002) of the command is "
                f"{said(sop_class)}, its presentation context is for {negotiated}"
            )
        return self._archive.keep(
            cast(BytesIO, request.DataSet).getvalue(),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            calling_ae=_caller(event.assoc)[0],
            expected=expected,
        )

    def _of(self, association: Association) -> _Brought:
        return self._brought.setdefault(association, _Brought())


def _on_transition(event: evt.Event) -> None:
    # A connection that ends before its A-ASSOCIATE-RQ (a port probe, say) would hold its slot
    # until the ACSE timeout: pynetdicom waits on this queue, and takes None for the timeout.
    if event.current_state == "Sta2" and event.next_state != "Sta3":
        event.assoc.dul.to_user_queue.put(cast(Any, None))


def _caller(association: Association) -> tuple[str, str]:
    primitive = association.requestor.primitive
    calling = primitive.calling_ae_title if primitive is not None else None
    return (calling or "").strip(), str(association.requestor.address)


def _refusal(event: evt.Event, error: Exception) -> int:
    status = acceptance.status_for(error)
    claimed = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
    known = isinstance(error, StorageError)
    log.event(
        "instance-refused" if known else "instance-fault",
        level=logging.WARNING if known else logging.ERROR,
        # what claims to be a UID may be any text of the sender's
        sop_instance_uid=said(claimed),
        status=f"0x{status:04X}",
        error=error,
        # only our own errors promise to quote nothing of a patient
        reason=str(error) if known else None,
        where=log.where(error),
        calling_ae=_caller(event.assoc)[0],
    )
    return status


class _Server(AssociationServer):
    """Accepts connections; each is guarded, and no address may hold more than its share."""

    def __init__(
        self,
        *args: Any,
        callers: acceptance.Callers,
        listen: Listen,
        tallies: Tallies,
        **kwargs: Any,
    ) -> None:
        self._callers = callers
        self._listen = listen
        self._counted = tallies
        self._bounds = Bounds(
            first_pdu_s=ACSE_TIMEOUT_S,
            later_pdu_s=listen.network_timeout_s,
            unanswered_bytes=listen.maximum_object_mb << 20,
        )
        self._collected_s = time.monotonic()
        self.request_queue_size = 128
        super().__init__(*args, **kwargs)

    def service_actions(self) -> None:
        """Free ended associations, which are rings of objects, once a minute.

        pynetdicom's own does it at every sixtieth look: all threads stand still for it.
        """
        now_s = time.monotonic()
        if now_s - self._collected_s >= COLLECT_EVERY_S:
            self._collected_s = now_s
            gc.collect()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept one connection and bound it."""
        accepted, address = super().get_request()
        return GuardedConnection(accepted, self._bounds), address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection may ask for an association at all."""
        address = str(client_address[0])
        objection = self._objection(address)
        if objection is not None:
            code, reason = objection
            self._counted.association_refused(code)
            log.event("connection-refused", level=logging.WARNING, address=address, reason=reason)
        return objection is None

    def _objection(self, address: str) -> tuple[str, str] | None:
        """A word for counting, and a sentence."""
        if not self._callers.may_connect(address):
            return "unknown-address", "no configured peer has this address"
        active = self.active_associations
        here = sum(association.requestor.address == address for association in active)
        if here >= self._listen.maximum_associations_per_address:
            return "address-limit", "listen.maximum_associations_per_address is reached"
        if len(active) >= 2 * self._listen.maximum_associations:
            return "connection-limit", "too many connections wait; see listen.maximum_associations"
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line that a connection failed; socketserver would print a traceback."""
        log.event("connection-failed", level=logging.WARNING, address=str(client_address[0]))
