"""A DICOMweb server of a few lines, for what a real one cannot be made to do."""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from pydicom import dcmread

from tests.conftest import find_peer
from tests.peers import LOOPBACK

JSON = "application/dicom+json"
BOUNDARY = "part-of-it"


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def files(self) -> list[bytes]:
        """The Part 10 files of a STOW-RS request (PS3.18 10.5.1)."""
        boundary = self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
        parts = self.body.split(b"\r\n--" + boundary)[1:-1]
        return [part.partition(b"\r\n\r\n")[2] for part in parts]

    @property
    def uids(self) -> list[str]:
        """The SOP Instance UIDs of those files."""
        read = [dcmread(BytesIO(file), specific_tags=["SOPInstanceUID"]) for file in self.files]
        return [str(one.SOPInstanceUID) for one in read]


@dataclass(frozen=True)
class Reply:
    """An answer; `cut` sends less than its length says, `pause_s` waits before each byte.

    `none`: the connection is closed without a word.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    pause_s: float = 0.0
    none: bool = False


def told(status: int, *, stored: Sequence[str] = (), failed: Mapping[str, int] | None = None,
         **more: Any) -> Reply:  # fmt: skip
    """A store instances response (PS3.18 I.2); a failure of 0 is named without a reason."""
    sequences: dict[str, list[Any]] = {"00081199": [], "00081198": []}
    for uid in stored:
        sequences["00081199"].append({"00081155": {"vr": "UI", "Value": [uid]}})
    for uid, reason in (failed or {}).items():
        why = {"00081197": {"vr": "US", "Value": [reason]}} if reason else {}
        sequences["00081198"].append({"00081155": {"vr": "UI", "Value": [uid]}} | why)
    body = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
    return Reply(status, json.dumps(body).encode(), **more)


def part10(*files: bytes) -> Reply:
    """A WADO-RS answer of these files (PS3.18 10.4.3)."""
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + file for file in files) + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    return Reply(200, body, kind)


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *arguments: Any) -> None:
        """Say nothing of clients that leave."""


@dataclass
class WebServer:
    """Answers every request by `answer`; with a `certificate` (its PEM, with the key) over TLS."""

    answer: Callable[[Asked], Reply] = lambda asked: told(200, stored=asked.uids)
    certificate: Path | None = None
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _QuietServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        self._stopping = threading.Event()
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{LOOPBACK}:{self._server.server_address[1]}/dicom-web"

    def posts(self) -> list[Asked]:
        """The store requests among all."""
        return [one for one in self.asked if one.method == "POST"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def do_any(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
                server.asked.append(asked)
                reply = server.answer(asked)
                if reply.none:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self._write(reply)

            do_GET = do_POST = do_OPTIONS = do_any  # noqa: N815 the names http.server calls

            def _write(self, reply: Reply) -> None:
                if reply.pause_s:
                    for byte in reply.body:
                        if server._stopping.wait(reply.pause_s):
                            break
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                else:
                    self.wfile.write(reply.body[: len(reply.body) - reply.cut])
                if reply.cut or reply.pause_s:
                    self.close_connection = True

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        return Handler


def make_certificate(folder: Path, name: str = "IP:127.0.0.1") -> Path:
    """A self-signed certificate of loopback and its key, in one PEM file, by openssl."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            find_peer("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
            "-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(certificate),
        ],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return both
