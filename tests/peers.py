"""Real peers for tests: DCMTK's tools, Orthanc, a receiver that answers as told, scripted bytes.

Everything listens on loopback, on ports the system picks, and is gone when its `with` block ends.
"""

import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Self

from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_partial
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from tests.conftest import DICOM_WEB, find_peer, find_plugin

LOOPBACK = "127.0.0.1"
STARTS_WITHIN_S = 20.0


def free_port() -> int:
    """A port of the loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(true: Callable[[], Any], *, within_s: float = 30.0, what: str = "it") -> None:
    """Poll until `true()` holds; fails the test, naming `what`, when it does not in time.

    The deadline says when to give up, and measures nothing.
    """
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain for {what}"
        time.sleep(0.02)


def encoded_dataset(path: Path) -> tuple[bytes, str]:
    """A Part 10 file's dataset bytes as they are, without preamble and group 0002; its syntax."""
    stored = path.read_bytes()
    stream = DicomBytesIO(stored)
    meta = read_partial(stream, stop_when=lambda tag, vr, length: True).file_meta
    syntax = str(meta.TransferSyntaxUID)
    return stored[stream.tell() :], syntax


# DCMTK


def _dcmtk(
    program: str, *arguments: str, timeout_s: float = 90
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_peer(program), *arguments],
        capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
        env=os.environ | {"TCP_NODELAY": "1"},
    )  # fmt: skip


def echoscu(
    port: int, *, calling: str = "ECHOSCU", called: str = "PACSNODE"
) -> subprocess.CompletedProcess[str]:
    """DCMTK's C-ECHO; return code 0 is success."""
    return _dcmtk("echoscu", "-aet", calling, "-aec", called, LOOPBACK, str(port), timeout_s=30)


def storescu(
    port: int,
    paths: Sequence[Path],
    *,
    calling: str = "STORESCU",
    called: str = "PACSNODE",
    options: Sequence[str] = ("-R",),
) -> subprocess.CompletedProcess[str]:
    """DCMTK's C-STORE of files and folders, verbosely; return code 0 is success for them all."""
    return _dcmtk(
        "storescu", "-v", "-aet", calling, "-aec", called, "+sd", "+r", *options,
        LOOPBACK, str(port), *map(str, paths),
    )  # fmt: skip


@contextmanager
def storescp(folder: Path, *options: str, ae_title: str = "STORESCP") -> Iterator[int]:
    """DCMTK's receiver writing what comes into `folder`; gives its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        find_peer("storescp"), "-aet", ae_title, "-od", str(folder), "+B", *options, str(port),
    ]  # fmt: skip
    with _running(command, port, os.environ | {"TCP_NODELAY": "1"}):
        yield port


@contextmanager
def _running(command: list[str], port: int, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )
    try:
        wait_until(
            lambda: process.poll() is not None or _listens(port),
            within_s=STARTS_WITHIN_S, what=f"{command[0]} to listen",
        )  # fmt: skip
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    return False


# Orthanc


class Orthanc:
    """Orthanc as the receiving PACS: takes every object, from anyone on loopback."""

    ae_title = "ORTHANC"

    def __init__(self, folder: Path, **settings: Any) -> None:
        """`settings` are Orthanc's own keys, laid over the ones a test receiver needs."""
        self.folder = folder
        self.port = free_port()
        self.http_port = free_port()
        self._settings = settings

    def __enter__(self) -> Self:
        program = find_peer("Orthanc")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(self._configuration()))
        env = os.environ | {"TCP_NODELAY": "1"}
        self._process = _running([program, str(config)], self.http_port, env)
        self._process.__enter__()
        wait_until(lambda: _listens(self.port), what="Orthanc's DICOM port")
        return self

    def __exit__(self, *error: Any) -> None:
        self._process.__exit__(*error)

    def _configuration(self) -> dict[str, Any]:
        return {
            "Name": "test", "DicomAet": self.ae_title, "DicomPort": self.port,
            "HttpPort": self.http_port, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"), "Plugins": [],
            "DicomAlwaysAllowStore": True, "DicomAlwaysAllowEcho": True,
            "DicomCheckCalledAet": False, "UnknownSopClassAccepted": True,
            "HttpDescribeErrors": True, "StableAge": 1, "SaveJobs": False,
        } | self._settings  # fmt: skip

    @classmethod
    def with_dicom_web(cls, folder: Path, **settings: Any) -> Self:
        """One that also speaks DICOMweb, by its plugin."""
        return cls(folder, **{"Plugins": [find_plugin(DICOM_WEB)]} | settings)

    @property
    def dicom_web(self) -> str:
        """The root of its DICOMweb service."""
        return f"http://{LOOPBACK}:{self.http_port}/dicom-web"

    def get(self, resource: str) -> bytes:
        """The body of one REST resource, such as `/instances`."""
        url = f"http://{LOOPBACK}:{self.http_port}{resource}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def hold(self, paths: Sequence[Path]) -> None:
        """Put files into it."""
        for path in paths:
            url = f"http://{LOOPBACK}:{self.http_port}/instances"
            with urllib.request.urlopen(url, data=path.read_bytes(), timeout=30) as answer:
                assert answer.status == 200

    def post(self, resource: str, content: bytes) -> bytes:
        """The answer to a POST; an error fails the test with what Orthanc says of it."""
        url = f"http://{LOOPBACK}:{self.http_port}{resource}"
        with urllib.request.urlopen(url, content, timeout=60) as answer:
            body: bytes = answer.read()
        return body

    def post_json(self, resource: str, content: Any) -> Any:
        """POST JSON; gives the answer's."""
        return json.loads(self.post(resource, json.dumps(content).encode()) or b"null")

    def delete(self, resource: str) -> None:
        """DELETE a resource."""
        url = f"http://{LOOPBACK}:{self.http_port}{resource}"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30):
            pass

    def instances(self) -> list[str]:
        """Orthanc's own identifiers of everything it holds."""
        found: list[str] = json.loads(self.get("/instances"))
        return found

    def file(self, instance: str) -> bytes:
        """One instance as a Part 10 file."""
        return self.get(f"/instances/{instance}/file")


# a receiver that answers as told


@dataclass(frozen=True)
class Arrived:
    """One object as a receiver saw it: its bytes undecoded."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    encoded: bytes
    calling_ae: str


@dataclass
class Receiver:
    """A pynetdicom storage SCP; `answer` gives each object's status (a constant by default)."""

    answer: Callable[[Arrived], int] = lambda arrived: 0x0000
    sop_class_uids: Sequence[str] = (Comprehensive3DSRStorage, SegmentationStorage)
    transfer_syntax_uids: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ae_title: str = "RECEIVER"
    callers: Sequence[str] = ()
    require_called: bool = False
    maximum_associations: int = 10
    arrived: list[Arrived] = field(default_factory=list)

    def __enter__(self) -> Self:
        entity = AE(ae_title=self.ae_title)
        entity.require_calling_aet = list(self.callers)
        entity.require_called_aet = self.require_called
        entity.maximum_associations = self.maximum_associations
        entity.add_supported_context(Verification)
        for sop_class in self.sop_class_uids:
            entity.add_supported_context(sop_class, list(self.transfer_syntax_uids))
        self._server = entity.make_server(
            (LOOPBACK, 0), evt_handlers=[(evt.EVT_C_STORE, self._on_store)]
        )
        # pynetdicom collects garbage there at every sixtieth look: a tenth of a second each time
        self._server.service_actions = lambda: None
        self.port: int = self._server.server_address[1]
        # start_server would look for its end every half a second only
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        TCPServer.shutdown(self._server)
        self._server.server_close()
        for association in self._server.active_associations:
            association.abort()

    def _on_store(self, event: evt.Event) -> int:
        request = event.request
        one = Arrived(
            str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax), request.DataSet.getvalue(),
            event.assoc.requestor.ae_title,
        )  # fmt: skip
        self.arrived.append(one)
        return self.answer(one)


# scripted bytes


@contextmanager
def scripted_peer(*script: tuple[str, Any]) -> Iterator[int]:
    """A peer that plays ("recv", None), ("send", bytes), ("wait", s) or ("close", None) in order.

    Gives its port. It serves every connection the same script, then closes it.
    """
    listening = socket.create_server((LOOPBACK, 0))
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(10)
                _play(connection, script, stopped)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        stopped.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(15)


def _play(
    connection: socket.socket, script: Sequence[tuple[str, Any]], stopped: threading.Event
) -> None:
    for act, what in script:
        if act == "recv":
            read_pdu(connection)
        elif act == "send":
            connection.sendall(what)
        elif act == "wait":
            stopped.wait(what)
        else:
            return


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """One whole PDU: its type and its variable field (PS3.8 9.3.1). ConnectionError at the end."""
    header = _exactly(connection, 6)
    return header[0], _exactly(connection, int.from_bytes(header[2:], "big"))


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        part = connection.recv(length - len(found))
        if not part:
            raise ConnectionError("the peer closed the connection")
        found += part
    return bytes(found)
