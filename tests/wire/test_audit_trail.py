"""What the audit log hears over HTTP, and how it reaches a syslog server over TLS."""

import base64
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pacsnode.access import LOCAL
from pacsnode.access import syslog as syslog_module
from pacsnode.access.audit import FOLDER, open_audit
from pacsnode.access.audit_life import AuditLife
from pacsnode.access.syslog import Syslog
from pacsnode.access.trail import Trail
from pacsnode.access_section import AuditSection
from pacsnode.errors import BadSettings
from pacsnode.settings import Settings
from tests.audit_schema import complaints
from tests.encoded import part10_bytes
from tests.makers import make_ct
from tests.peers import LOOPBACK, free_port, wait_until
from tests.web_server import make_certificate
from tests.wire.browser import RELATED, related
from tests.wire.visitor import csrf_of, house, log_in, tokens, users

pytestmark = pytest.mark.wire

CT = make_ct()
STUDY = str(CT[0].StudyInstanceUID)
LOGIN = ("110114", "110122")


def lines_of(home: Path) -> list[str]:
    return [line for file in sorted((home / FOLDER).glob("*.log")) for line in
            file.read_text("utf-8").splitlines()]  # fmt: skip


def told(line: str) -> tuple[str, ...]:
    """Event, type, outcome and person of a message."""
    root = ElementTree.fromstring(line)  # noqa: S314  our own
    event = root.find("EventIdentification")
    person = root.find("ActiveParticipant")
    assert event is not None
    assert person is not None
    codes = [str(one.get("csd-code")) for one in event if one.get("csd-code")]
    return (*codes, str(event.get("EventOutcomeIndicator")), str(person.get("UserID")))


def queries(lines: list[str]) -> list[str]:
    """What was searched by, which is in the messages as base64."""
    found = (ElementTree.fromstring(one).iter("ParticipantObjectQuery") for one in lines)  # noqa: S314
    return [base64.b64decode(one.text or "").decode() for each in found for one in each]


def test_every_deed_is_told_and_no_patient(tmp_path: Path) -> None:
    for one in CT:
        one.PatientName, one.PatientID = "Canary^Patient", "CANARY-ID"
    web: dict[str, Any] = {"users": users(), "tokens": tokens(), "login_tries": 2}
    with house(tmp_path, **web) as site:
        with site.visitor() as visitor:
            log_in(visitor, "Canary^Patient", "wrong")
            log_in(visitor, "reader", "wrong")
            log_in(visitor, "reader")
            csrf = visitor.get("/api/who").json()["csrf"]
            visitor.post("/api/verify", headers={"X-CSRF-Token": csrf})
            for path in ("/api/studies/1.2/masks/1.3/cancel", "/studies/1.2/masks/1.3/cancel"):
                assert visitor.post(path, data={"csrf": csrf}).status_code == 403
            visitor.post("/logout", data={"csrf": csrf_of(visitor)})
            for _ in range(3):
                log_in(visitor, "doctor", "wrong")
        body = related([part10_bytes(one) for one in CT])
        with site.machine("storing") as machine:
            machine.post("/dicom-web/studies", content=body, headers={"Content-Type": RELATED})
            assert machine.get("/dicom-web/studies?PatientName=Canary*&limit=3").json()
            machine.get("/dicom-web/studies?PatientName=O&Canary^Patient&00100020=7&limit=3")
            for path in ("", "/metadata", "/metadata", "/thumbnail"):
                assert machine.get(f"/dicom-web/studies/{STUDY}{path}").status_code == 200
            machine.get("/dicom-web/studies/1.2.3/metadata")
            machine.headers["Authorization"] = "Bearer guessed"
            machine.get("/dicom-web/studies")
    lines = lines_of(tmp_path)
    assert [complaints(line) for line in lines] == [[]] * len(lines)
    assert [told(line) for line in lines] == [
        (*LOGIN, "4", "unknown"),
        (*LOGIN, "4", "reader"),
        (*LOGIN, "0", "reader"),
        *[("110113", "110132", "8", "reader")] * 3,
        ("110114", "110123", "0", "reader"),
        (*LOGIN, "4", "doctor"),
        (*LOGIN, "4", "doctor"),
        ("110113", "login-barred", "8", "doctor"),
        ("110104", "0", "storing"),
        ("110112", "0", "storing"),
        ("110112", "0", "storing"),
        ("110104", "0", "storing"),
        ("110103", "0", "storing"),
        (*LOGIN, "4", "unknown"),
    ]
    assert "canary" not in "".join([*lines, *queries(lines)]).lower()
    assert queries(lines)[-1] == "/dicom-web/studies?PatientName=&?=&PatientID=&limit="
    assert all(str(one.SOPInstanceUID) in lines[10] for one in CT)
    assert f'ParticipantObjectID="{STUDY}"' in lines[10]
    assert 'NetworkAccessPointID="127.0.0.1"' in lines[10]


# syslog


class Listener:
    """A syslog server over TLS: counts the bytes that each message says it has."""

    def __init__(
        self, certificate: Path, port: int = 0, after: int = 1 << 30, *, is_polite: bool = True
    ) -> None:
        self._is_polite = is_polite
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._server = socket.create_server((LOOPBACK, port))
        self.port = self._server.getsockname()[1]
        self.heard: list[bytes] = []
        self.versions: set[str | None] = set()
        self._after = after  # messages after which it breaks off, once
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._server.accept()
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    secure.settimeout(10)
                    self.versions.add(secure.version())
                    self._read(secure)
            except ssl.SSLError:
                continue
            except OSError:
                if self._server.fileno() == -1:
                    return

    def _read(self, secure: ssl.SSLSocket) -> None:
        held = b""
        while piece := secure.recv(65536):
            held += piece
            while (size := held.partition(b" ")[0]).isdigit() and len(held) > len(size):
                length = int(size)
                rest = held[len(size) + 1 :]
                if len(rest) < length:
                    break
                self.heard.append(rest[:length])
                held = rest[length:]
                if len(self.heard) == self._after:
                    return  # and says nothing of what is left unread
        assert held == b""
        if self._is_polite:
            secure.unwrap()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog_module, "LOOK_S", 0.05)
    monkeypatch.setattr(syslog_module, "LONGEST_WAIT_S", 0.2)


@contextmanager
def sending(settings: Settings) -> Iterator[Syslog]:
    sender = Syslog(Trail(settings.home / FOLDER), settings.audit)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def to_a_server(home: Path, port: int, ca_file: Path) -> Settings:
    section = AuditSection(syslog_host=LOOPBACK, syslog_port=port, ca_file=ca_file)
    return Settings(home=home, audit=section)


def messages(heard: list[bytes]) -> list[str]:
    return [one.decode().partition("\ufeff")[2] for one in heard]


@pytest.mark.usefixtures("quick")
def test_a_node_that_runs_and_ends_has_told_its_server(tmp_path: Path, certificate: Path) -> None:
    server = Listener(certificate)
    settings = to_a_server(tmp_path, server.port, certificate)
    life = AuditLife(settings)
    life.start()
    open_audit(settings).write("verify", LOCAL, study="1.2.3", reason="schön")
    life.stop()
    server.stop()
    lines = lines_of(tmp_path)
    assert messages(server.heard) == lines
    assert len(lines) == 3
    assert server.versions <= {"TLSv1.2", "TLSv1.3"}
    for heard, line in zip(server.heard, lines, strict=True):
        head = heard.decode().partition("\ufeff")[0].split(" ")
        assert head[0] == "<85>1"
        assert f'EventDateTime="{head[1]}"' in line
        assert head[3:] == ["pacsnode", "-", "DICOM+RFC3881", "-", ""]


@pytest.mark.usefixtures("quick")
def test_a_server_that_is_away_loses_nothing(
    tmp_path: Path, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pacsnode")
    settings = to_a_server(tmp_path, free_port(), certificate)
    audit = open_audit(settings)
    with sending(settings):
        for number in range(5):
            audit.write("verify", LOCAL, study=f"1.2.{number}")
        wait_until(lambda: "syslog-away" in caplog.messages)
    audit.write("stop", LOCAL)
    with sending(settings):  # the node was started again, and its server is back
        server = Listener(certificate, settings.audit.syslog_port)
        wait_until(lambda: len(server.heard) == 6)
    server.stop()
    assert messages(server.heard) == lines_of(tmp_path)
    assert caplog.messages.count("syslog-away") <= 2


@pytest.mark.usefixtures("quick")
def test_a_session_that_breaks_off_is_sent_again_whole(tmp_path: Path, certificate: Path) -> None:
    server = Listener(certificate, after=2)
    settings = to_a_server(tmp_path, server.port, certificate)
    audit = open_audit(settings)
    for number in range(200):
        audit.write("verify", LOCAL, study=f"1.2.{number}", reason="x" * 400)
    with sending(settings):
        wait_until(lambda: Trail(tmp_path / FOLDER).unsent() is None)
    server.stop()
    lines = lines_of(tmp_path)
    heard = messages(server.heard)
    assert heard[:2] == lines[:2]
    assert heard[2:] == lines  # at least once, and in order


@pytest.mark.usefixtures("quick")
def test_a_server_that_closes_without_a_word_has_heard(tmp_path: Path, certificate: Path) -> None:
    server = Listener(certificate, is_polite=False)
    settings = to_a_server(tmp_path, server.port, certificate)
    for _ in range(3):
        open_audit(settings).write("verify", LOCAL)
    with sending(settings):
        wait_until(lambda: Trail(tmp_path / FOLDER).unsent() is None)
    server.stop()
    assert messages(server.heard) == lines_of(tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_server_that_nobody_vouches_for_hears_nothing(
    tmp_path: Path, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Listener(make_certificate(tmp_path / "other"))
    settings = to_a_server(tmp_path, stranger.port, certificate)
    open_audit(settings).write("verify", LOCAL)
    with sending(settings):
        wait_until(lambda: "syslog-away" in caplog.messages)
    stranger.stop()
    assert stranger.heard == []


def test_a_certificate_that_cannot_be_used_is_bad_settings(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"'audit\.ca_file'"):
        AuditLife(to_a_server(tmp_path, 6514, tmp_path / "absent.pem"))
