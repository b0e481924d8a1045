"""Audit messages to a syslog server over TLS (RFC 5425, RFC 5424, PS3.15 A.6).

They are read from the files of the audit log, in order, and a mark says how far. Syslog has no
answer, so each batch ends its TLS session: our close_notify comes behind the last message, and the
server's comes when it has read that far, without a reset. Only then the mark moves. Whatever breaks
before, the batch is sent again: a message may come twice, and is lost never.
"""

import logging
import re
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Final

from pacsnode import log
from pacsnode.access.trail import Trail
from pacsnode.access_section import AuditSection
from pacsnode.errors import BadSettings

TIMEOUT_S = 10.0
LOOK_S = 1.0
LONGEST_WAIT_S = 60.0
NOTICE, WARNING = 10 * 8 + 5, 10 * 8 + 4  # facility 10: security and authorization
BOM: Final = "\ufeff"


class Syslog:
    """A thread that sends what the audit log holds, from `start` to `stop`."""

    def __init__(self, trail: Trail, section: AuditSection) -> None:
        assert section.syslog_host is not None  # noqa: S101  asked by who makes one
        self._trail = trail
        self._host, self._port = section.syslog_host, section.syslog_port
        self._context = _context(section)
        self._name = re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)
        self._is_away = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is there now, if the server is; the rest waits for the next start."""
        self._stopping.set()
        self._thread.join(3 * TIMEOUT_S)

    def _run(self) -> None:
        wait_s = LOOK_S
        while not self._stopping.wait(wait_s):
            wait_s = LOOK_S if self._send_all() else min(2 * wait_s, LONGEST_WAIT_S)
        self._send_all()

    def _send_all(self) -> bool:
        """Whether everything was taken."""
        try:
            while (found := self._trail.unsent()) is not None:
                lines, place = found
                self._send(lines)
                self._trail.sent(place)
        except OSError as exc:  # of the network, of TLS, of the disk
            if not self._is_away:
                log.event(
                    "syslog-away", level=logging.WARNING, address=self._host, port=self._port,
                    error=exc, reason=exc.strerror,
                )  # fmt: skip
            self._is_away = True
            return False
        if self._is_away:
            log.event("syslog-back", address=self._host, port=self._port)
        self._is_away = False
        return True

    def _send(self, lines: Sequence[str]) -> None:
        address = (self._host, self._port)
        with (
            socket.create_connection(address, TIMEOUT_S) as plain,
            self._context.wrap_socket(plain, server_hostname=self._host) as secure,
        ):
            for line in lines:
                secure.sendall(framed(line, self._name))
            _close(secure)


def _close(secure: ssl.SSLSocket) -> None:
    """End the session and see the server end it. Raises OSError where it left data unread."""
    try:
        plain = secure.unwrap()
    except OSError as exc:
        if isinstance(exc, ssl.SSLEOFError) or exc.errno == 0:
            return  # it closed without a word of its own, and without a reset: it had read all
        raise
    plain.shutdown(socket.SHUT_WR)
    try:
        while plain.recv(4096):
            pass  # a reset comes here where it had closed on its own before it read our end
    except TimeoutError:
        return  # it ended the session and keeps the connection


def framed(line: str, host: str) -> bytes:
    """MSG-LEN SP SYSLOG-MSG (RFC 5425 4.3) of one audit message."""
    stamp = re.search(r'EventDateTime="([^"]{1,40})"', line)
    priority = NOTICE if 'EventOutcomeIndicator="0"' in line else WARNING
    told = stamp[1] if stamp is not None else "-"
    head = f"<{priority}>1 {told} {host} pacsnode - DICOM+RFC3881 - "
    text = f"{head}{BOM}{line}".encode("utf-8", "replace")
    return str(len(text)).encode() + b" " + text


def _context(section: AuditSection) -> ssl.SSLContext:
    """TLS 1.2 and newer, the server's certificate verified. Raises BadSettings."""
    try:
        context = ssl.create_default_context(cafile=section.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if section.certificate is not None:
            context.load_cert_chain(section.certificate, section.key, password="")
    except (OSError, ValueError) as exc:
        raise BadSettings(
            "Cannot use 'audit.ca_file', 'audit.certificate' or 'audit.key': PEM files without a "
            f"password ({exc})"
        ) from exc
    return context
