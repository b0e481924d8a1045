"""What tests ask of a web side under test: requests as libraries make them, and raw ones."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from pacsnode.settings import Settings
from pacsnode.web.server import WebServer
from storage.archive import Archive
from tests.peers import LOOPBACK

BOUNDARY = "a-boundary"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def parts(self) -> list[tuple[str, bytes]]:
        """Content type and content of each part of a multipart body."""
        boundary = self.headers["content-type"].rpartition("boundary=")[2].strip('"').encode()
        *pieces, last = (b"\r\n" + self.body).split(b"\r\n--" + boundary)
        assert last == b"--\r\n"
        told = []
        for piece in pieces[1:]:
            head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            told.append((head.decode().partition(": ")[2], content))
        return told


@dataclass
class Site:
    """A web side with its archive."""

    archive: Archive
    port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/dicom-web"

    def ask(
        self,
        path: str,
        accept: str | None = None,
        *,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request below `/dicom-web`."""
        connection = HTTPConnection(LOOPBACK, self.port, timeout=30)
        try:
            stated = dict(headers or {}) | ({"Accept": accept} if accept is not None else {})
            connection.request(method, f"/dicom-web{path}", body=body, headers=stated)
            return _answer(connection.getresponse())
        finally:
            connection.close()

    def store(self, files: Sequence[bytes], path: str = "/studies", **headers: str) -> Answer:
        """Store whole files in one request."""
        stated = {"Content-Type": RELATED} | headers
        return self.ask(path, method="POST", body=related(files), headers=stated)

    def raw(self, *pieces: bytes, timeout_s: float = 20) -> bytes:
        """Bytes as they are; gives what came back before the server closed, or was silent."""
        with socket.create_connection((LOOPBACK, self.port), timeout_s) as connection:
            found = b""
            try:
                for piece in pieces:
                    connection.sendall(piece)
                while chunk := connection.recv(65536):
                    found += chunk
            except (ConnectionError, TimeoutError):
                pass
            return found

    def on_disk(self) -> int:
        """How many objects the archive holds."""
        return len(list((self.archive.root / "objects").rglob("*.dcm")))


def _answer(response: Any) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def related(files: Sequence[bytes], *, content_type: str | None = "application/dicom") -> bytes:
    """A multipart/related body of whole files."""
    head = f"Content-Type: {content_type}\r\n" if content_type else ""
    opening = f"--{BOUNDARY}\r\n{head}\r\n".encode()
    return b"".join(opening + file + b"\r\n" for file in files) + f"--{BOUNDARY}--\r\n".encode()


@contextmanager
def serving(archive: Archive, home: Path, **settings: Any) -> Iterator[Site]:
    """A web side on a port of its own; `settings` are those of its section."""
    listen = settings.pop("listen", {})
    told = Settings(home=home, web={"port": 0, **settings}, listen=listen)
    server = WebServer(archive, told)
    server.start()
    try:
        yield Site(archive, server.address[1])
    finally:
        server.stop(grace_s=2)
