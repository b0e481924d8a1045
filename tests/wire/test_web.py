"""The web side as a whole: what it says it can do, whom it serves, and how it starts and stops."""

import socket
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from pacsnode.errors import BadSettings, Unavailable
from pacsnode.settings import Settings, read_settings
from pacsnode.web.application import application
from pacsnode.web.server import WebServer
from storage.archive import Archive
from tests.encoded import part10_bytes
from tests.makers import make_ct
from tests.peers import LOOPBACK, Orthanc, wait_until
from tests.story.serve import port_of
from tests.story.serve import serving as a_whole_node
from tests.wire.browser import Site, serving
from tests.wire.visitor import tokens

pytestmark = pytest.mark.wire

ROOT = Path(__file__).resolve().parents[2]
CT = make_ct()
STUDY = str(CT[0].StudyInstanceUID)
WADL = "{http://wadl.dev.java.net/2009/02}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("web")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        yield told


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_capabilities_tell_every_resource(site: Site, method: str) -> None:
    told = site.ask("", "application/json", method=method).json()["resources"]
    assert len(told) == 24
    answer = site.ask("", "application/vnd.sun.wadl+xml", method=method)
    tree = ElementTree.fromstring(answer.body)  # noqa: S314 - our own
    listed = {
        (resource.get("path"), verb.get("name"))
        for resource in tree.iter(f"{WADL}resource")
        for verb in resource.iter(f"{WADL}method")
    }
    assert listed == {(one["path"], one["method"]) for one in told}
    assert site.ask("", "text/html", method=method).status == 406


def test_the_conformance_statement_has_every_resource(archive: Archive, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "conformance.md").read_text("utf-8")
    with serving(archive, tmp_path) as site:
        for one in site.ask("").json()["resources"]:
            path = one["path"].replace("{path:path}", "{path}")
            assert f"`{path}`" in page, path
    assert application


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/studies", "DELETE", 405),
        ("/series", "POST", 405),
        ("/studies/1.2/series/1.3/instances/1.4/frames", "GET", 404),
        ("/../etc/passwd", "GET", 404),
        ("/studies/%2e%2e%2f%2e%2e", "GET", 404),
    ],
)
def test_what_is_no_resource(site: Site, path: str, method: str, status: int) -> None:
    answer = site.ask(path, method=method)
    assert (answer.status, answer.json()["status"]) == (status, status)


def test_garbage_on_the_socket_is_answered_and_forgotten(site: Site) -> None:
    assert site.raw(b"\x00" * 100 + b"\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert site.raw(b"GET /dicom-web HTTP/1.1\r\n" + b"A: " + b"x" * 200_000).startswith(
        b"HTTP/1.1 400"
    )
    assert site.ask("").status == 200


def test_one_connection_too_many_is_told_to_come_again(archive: Archive, tmp_path: Path) -> None:
    with serving(archive, tmp_path, maximum_connections=2) as site:
        held = [socket.create_connection((LOOPBACK, site.port)) for _ in range(3)]
        wait_until(lambda: site.ask("").status == 503)
        for one in held:
            one.close()
        wait_until(lambda: site.ask("").status == 200)


def test_who_brings_no_request_is_cut_off(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.web.server.HEAD_WITHIN_S", 0.3)
    head = b"GET /dicom-web HTTP/1.1\r\nHost: localhost\r\n"
    with serving(archive, tmp_path, maximum_connections=3) as site:
        began = time.monotonic()
        assert site.raw() == b""
        assert site.raw(head) == b""
        kept_alive = site.raw(head + b"\r\n" + head)
        assert kept_alive.count(b"HTTP/1.1 200") == 1
        assert 0.9 < time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("path", "header", "piece"),
    [
        ("/login", "Content-Type: application/x-www-form-urlencoded", b"csrf="),
        ("/api/studies/1.2/requeue", "Authorization: Bearer token-that-stores", b"{"),
    ],
)
def test_who_is_silent_within_a_form_is_cut_off(
    archive: Archive, tmp_path: Path, path: str, header: str, piece: bytes
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nContent-Length: 100\r\n\r\n"
    with serving(archive, tmp_path, network_timeout_s=0.3, tokens=tokens()) as site:
        assert site.raw(head.encode(), piece).startswith(b"HTTP/1.1 408")


def test_a_port_in_use_may_be_free_later(archive: Archive, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        web = {"port": taken.getsockname()[1]}
        with pytest.raises(Unavailable, match=r"set 'web\.port'"):
            WebServer(archive, Settings(home=tmp_path, web=web)).start()


def test_a_host_name_of_another_machine_is_refused_in_the_settings(tmp_path: Path) -> None:
    for address in ("0.0.0.0", "192.0.2.1", "pacs.example.org"):  # noqa: S104
        with pytest.raises(BadSettings, match="is open to others"):
            read_settings(None, {"web": {"address": address}})
    for address in ("127.0.0.2", "::1", "localhost"):
        assert read_settings(None, {"web": {"address": address}}).web.address == address


def test_stopping_ends_what_is_in_progress(archive: Archive, tmp_path: Path) -> None:
    before = threading.active_count()
    with serving(archive, tmp_path) as site:
        held = socket.create_connection((LOOPBACK, site.port))
        held.sendall(b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n")
    assert threading.active_count() == before
    held.close()


@pytest.mark.slow
def test_serve_has_a_web_side_when_told(tmp_path: Path) -> None:
    with a_whole_node(tmp_path / "home", "--port", "0", "--web-port", "0") as node:
        port_of(node)
        assert node.stderr is not None
        said = next(line for line in node.stderr if line.startswith("DICOMweb on "))
        port = int(said.partition("127.0.0.1:")[2].partition("/")[0])
        with Archive.open(tmp_path / "home" / "archive", check=False) as archive:
            site = Site(archive, port)
            assert site.store([part10_bytes(one) for one in CT]).status == 200
            assert len(site.ask(f"/studies/{STUDY}/instances").json()) == len(CT)
            assert archive.counts()["kept"] == len(CT)


@pytest.mark.slow
def test_orthanc_stores_queries_and_retrieves(
    archive: Archive, tmp_path: Path, orthanc_dicomweb: Path
) -> None:
    """Orthanc's DICOMweb plugin as the client."""
    with serving(archive, tmp_path) as site:
        servers = {"node": [site.url]}
        with Orthanc(
            tmp_path / "orthanc", Plugins=[str(orthanc_dicomweb)], DicomWeb={"Servers": servers}
        ) as orthanc:
            for one in CT:
                orthanc.post("/instances", part10_bytes(one))
            sent = {"Resources": orthanc.instances(), "Synchronous": True}
            orthanc.post_json("/dicom-web/servers/node/stow", sent)
            assert archive.counts()["kept"] == len(CT)
            found = orthanc.post_json(
                "/dicom-web/servers/node/qido", {"Uri": "/studies", "Arguments": {"PatientID": "*"}}
            )
            assert [one["0020000D"]["Value"] for one in found] == [STUDY]
            for one in orthanc.instances():
                orthanc.delete(f"/instances/{one}")
            back = {"Resources": [{"Study": STUDY}], "Synchronous": True}
            orthanc.post_json("/dicom-web/servers/node/retrieve", back)
            returned = [dcmread_bytes(orthanc.file(one)) for one in orthanc.instances()]
            assert {one.SOPInstanceUID for one in returned} == {one.SOPInstanceUID for one in CT}
            assert {one.PixelData for one in returned} == {one.PixelData for one in CT}


def dcmread_bytes(file: bytes) -> Dataset:

    return dcmread(BytesIO(file))
