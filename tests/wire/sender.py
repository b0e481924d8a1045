"""A C-STORE sender of raw bytes: fast, and free to send what no library would.

PDUs after PS3.8 section 9.3, commands after PS3.7 section 9.3 and E.1.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from tests.peers import LOOPBACK, read_pdu

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA, A_RELEASE_RP, A_ABORT = 2, 3, 4, 6, 7
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
ECHO_CONTEXT = 255


class Rejected(Exception):
    """The association was rejected: (result, source, reason)."""


class Sender:
    """One association; `contexts` are ids with their class and the syntaxes proposed."""

    def __init__(
        self,
        port: int,
        contexts: Mapping[int, tuple[str, Sequence[str]]] | None = None,
        *,
        calling: str = "SENDER",
        called: str = "PACSNODE",
        source: str = LOOPBACK,
        timeout_s: float = 30,
    ) -> None:
        self.accepted: dict[int, str] = {}
        self.results: dict[int, int] = {}
        self._largest = 16384
        self._message = 0
        self.connection = socket.create_connection(
            (LOOPBACK, port), timeout_s, source_address=(source, 0)
        )
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._associate(contexts or {}, calling, called)
        except BaseException:
            self.connection.close()
            raise

    def _associate(
        self, contexts: Mapping[int, tuple[str, Sequence[str]]], calling: str, called: str
    ) -> None:
        proposed = dict(contexts) | {ECHO_CONTEXT: (VERIFICATION, [IMPLICIT_LITTLE])}
        self.connection.sendall(associate_request(proposed, calling, called))
        kind, answer = read_pdu(self.connection)
        if kind == A_ASSOCIATE_RJ:
            raise Rejected(tuple(answer[1:4]))
        assert kind == A_ASSOCIATE_AC, f"PDU type {kind} for an A-ASSOCIATE-RQ"
        self._read_acceptance(answer[68:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *rest: Any) -> None:
        if error is None:
            self.release()
        self.connection.close()

    def _read_acceptance(self, items: bytes) -> None:
        for kind, content in _items(items):
            if kind == 0x21:
                context, result = content[0], content[2]
                self.results[context] = result
                if result == 0:
                    self.accepted[context] = dict(_items(content[4:]))[0x40].decode()
            elif kind == 0x50:
                self._largest = int.from_bytes(dict(_items(content))[0x51], "big") or 131072

    def store(
        self, encoded: bytes, sop_class_uid: str, sop_instance_uid: str, context: int = 1
    ) -> int:
        """C-STORE one dataset as it is; gives the status."""
        self.begin_store(encoded, sop_class_uid, sop_instance_uid, context)
        return self.status()

    def begin_store(
        self,
        encoded: bytes,
        sop_class_uid: str,
        sop_instance_uid: str,
        context: int = 1,
        stop_after: int | None = None,
    ) -> None:
        """Send a C-STORE-RQ without waiting; `stop_after` bytes of the dataset, the rest never."""
        self._message = self._message % 65535 + 1
        self._send(context, command({
            0x0002: sop_class_uid, 0x0100: 0x0001, 0x0110: self._message, 0x0700: 0,
            0x0800: 1, 0x1000: sop_instance_uid,
        }), of_command=True)  # fmt: skip
        self._send(context, encoded, of_command=False, stop_after=stop_after)

    def echo(self) -> int:
        """C-ECHO; gives the status."""
        self._message = self._message % 65535 + 1
        fields = {0x0002: VERIFICATION, 0x0100: 0x0030, 0x0110: self._message, 0x0800: 0x0101}
        self._send(ECHO_CONTEXT, command(fields), of_command=True)
        return self.status()

    def status(self) -> int:
        """The status of the next response."""
        kind, content = read_pdu(self.connection)
        assert kind == P_DATA, f"PDU type {kind} where a response was due"
        elements = content[6:]
        while elements:
            length = int.from_bytes(elements[4:8], "little")
            if elements[:4] == b"\x00\x00\x00\x09":
                return int.from_bytes(elements[8:10], "little")
            elements = elements[8 + length :]
        raise AssertionError("a response without a status")

    def release(self) -> None:
        """A-RELEASE, wait for its answer, close."""
        self.connection.sendall(pdu(5, bytes(4)))
        kind, _ = read_pdu(self.connection)
        self.connection.close()
        assert kind == A_RELEASE_RP

    def abort(self) -> None:
        """A-ABORT by the service user, then close."""
        self.connection.sendall(pdu(A_ABORT, bytes(4)))
        self.connection.close()

    def _send(
        self, context: int, content: bytes, *, of_command: bool, stop_after: int | None = None
    ) -> None:
        room = self._largest - 6
        end = len(content) if stop_after is None else min(stop_after, len(content))
        for start in range(0, max(end, 1), room):
            part = content[start : min(start + room, end)]
            is_last = start + room >= len(content) and end == len(content)
            flags = (1 if of_command else 0) | (2 if is_last else 0)
            value = bytes([context, flags]) + part
            self.connection.sendall(pdu(P_DATA, len(value).to_bytes(4, "big") + value))


def pdu(kind: int, content: bytes) -> bytes:
    """A PDU with its true length."""
    return bytes([kind, 0]) + len(content).to_bytes(4, "big") + content


def associate_request(
    contexts: Mapping[int, tuple[str, Sequence[str]]], calling: str, called: str
) -> bytes:
    """An A-ASSOCIATE-RQ PDU."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for context, (sop_class, syntaxes) in contexts.items():
        proposed = _item(0x30, sop_class.encode())
        proposed += b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        items += _item(0x20, bytes([context, 0, 0, 0]) + proposed)
    largest = _item(0x51, (131072).to_bytes(4, "big"))
    items += _item(0x50, largest + _item(0x52, b"2.25.1"))
    titles = called.encode().ljust(16)[:16] + calling.encode().ljust(16)[:16]
    return pdu(1, b"\x00\x01\x00\x00" + titles + bytes(32) + items)


def associate_acceptance(accepted: Mapping[int, str]) -> bytes:
    """An A-ASSOCIATE-AC PDU: context ids with the syntax chosen for each."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for context, syntax in accepted.items():
        items += _item(0x21, bytes([context, 0, 0, 0]) + _item(0x40, syntax.encode()))
    items += _item(0x50, _item(0x51, (16384).to_bytes(4, "big")) + _item(0x52, b"2.25.1"))
    return pdu(2, b"\x00\x01\x00\x00" + bytes(64) + items)


def command(fields: Mapping[int, int | str]) -> bytes:
    """A command set: element numbers of group 0000 with their UID or unsigned short."""
    encoded = b""
    for element, value in sorted(fields.items()):
        content = value.to_bytes(2, "little") if isinstance(value, int) else value.encode()
        content += b"\x00" * (len(content) % 2)
        encoded += b"\x00\x00" + element.to_bytes(2, "little")
        encoded += len(content).to_bytes(4, "little") + content
    return b"\x00\x00\x00\x00\x04\x00\x00\x00" + len(encoded).to_bytes(4, "little") + encoded


def _item(kind: int, content: bytes) -> bytes:
    return bytes([kind, 0]) + len(content).to_bytes(2, "big") + content


def _items(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    while encoded:
        length = int.from_bytes(encoded[2:4], "big")
        yield encoded[0], encoded[4 : 4 + length]
        encoded = encoded[4 + length :]
