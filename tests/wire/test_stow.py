"""STOW-RS: what is kept, what is told of each instance, and what a hostile body costs."""

import gzip
import io
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from storage import header
from storage.archive import Archive
from storage.header.elements import scan
from tests.encoded import encoded, part10_bytes
from tests.makers import make_ct, make_pet
from tests.peers import encoded_dataset
from tests.wire.browser import BOUNDARY, RELATED, Site, related, serving
from tests.wire.test_hostile import resident_bytes
from tests.wire.test_receive import REAL

pytestmark = pytest.mark.wire

CT = make_ct()
MIB = 1 << 20


@pytest.fixture
def site(archive: Archive, tmp_path: Path) -> Iterator[Site]:
    with serving(archive, tmp_path) as told:
        yield told


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all whose requests store nothing."""
    home = tmp_path_factory.mktemp("empty")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        yield told
        assert told.on_disk() == 0


def items(answer: Any, tag: str) -> list[Any]:
    found: list[Any] = answer.json().get(tag, {}).get("Value", [])
    return found


def reasons(answer: Any) -> list[int]:
    return [item["00081197"]["Value"][0] for item in items(answer, "00081198")]


def test_objects_of_every_kind_are_kept_byte_for_byte(site: Site, data: Path) -> None:
    paths = [data / name for name in REAL.values()]
    answer = site.store([path.read_bytes() for path in paths])
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/dicom+json"
    told = {item["00081155"]["Value"][0] for item in items(answer, "00081199")}
    assert told == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}
    files = (site.archive.root / "objects").rglob("*.dcm")
    assert {encoded_dataset(path)[0] for path in files} == {encoded_dataset(p)[0] for p in paths}
    again = site.store([path.read_bytes() for path in paths])
    assert (again.status, site.archive.counts()["kept"]) == (200, len(paths))


def test_dicomweb_client_stores_a_series(site: Site) -> None:
    client = DICOMwebClient(site.url)
    told = client.store_instances(deepcopy(CT))
    assert len(told.ReferencedSOPSequence) == len(CT)
    study = str(CT[0].StudyInstanceUID)
    assert told.RetrieveURL == f"{site.url}/studies/{study}"
    assert client.store_instances(deepcopy(CT[:1]), study_instance_uid=study)
    assert site.archive.counts()["kept"] == len(CT)


def test_each_instance_gets_its_own_answer(site: Site) -> None:
    other = make_pet(study="another")[0]
    deflated = part10_bytes(CT[1], DeflatedExplicitVRLittleEndian)
    no_storage = deepcopy(CT[2])
    no_storage.SOPClassUID = "1.2.840.10008.5.1.4.1.1.200.1"
    no_storage.file_meta.MediaStorageSOPClassUID = no_storage.SOPClassUID
    cut = part10_bytes(CT[3])[:-10]
    files = [
        part10_bytes(CT[0]), part10_bytes(other), part10_bytes(no_storage), deflated, cut, b"x",
    ]  # fmt: skip
    answer = site.store(files, f"/studies/{CT[0].StudyInstanceUID}")
    assert answer.status == 202
    assert [item["00081155"]["Value"] for item in items(answer, "00081199")] == [
        [CT[0].SOPInstanceUID]
    ]
    assert reasons(answer) == [0xA900, 0x0122]
    assert [item["00081197"]["Value"][0] for item in items(answer, "0008119A")] == [0xC000] * 3
    assert site.on_disk() == 1


def test_a_syntax_that_is_not_taken_for_a_class_is_named(empty: Site) -> None:
    copy = deepcopy(CT[0])
    copy.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    buffer = io.BytesIO()
    copy.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x02\0\0\0xx"
    copy["PixelData"].is_undefined_length = True
    copy["PixelData"].VR = "OB"
    copy.save_as(buffer, enforce_file_format=True)
    answer = empty.store([buffer.getvalue()])
    assert (answer.status, reasons(answer)) == (409, [0xC122])
    assert empty.on_disk() == 0


def test_with_other_objects_rejected_a_class_is_not_supported(
    archive: Archive, tmp_path: Path
) -> None:
    secondary = deepcopy(CT[0])
    secondary.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    with serving(archive, tmp_path, listen={"other_objects": "reject"}) as site:
        answer = site.store([part10_bytes(secondary)])
    assert (answer.status, reasons(answer)) == (409, [0x0122])


def test_a_full_disk_is_said_so_and_nothing_is_stored(tmp_path: Path) -> None:
    with (
        Archive.open(tmp_path / "archive", reserve_bytes=1 << 60) as archive,
        serving(archive, tmp_path) as site,
    ):
        answer = site.store([part10_bytes(CT[0])])
        assert (answer.status, site.on_disk()) == (503, 0)
        assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content-Type": RELATED + "x"}, 400),
        ({"Content-Type": RELATED + "; boundary"}, 400),
        ({"Content-Type": "multipart/related; boundary=" + "x" * 201}, 400),
        ({"Content-Type": RELATED.replace("/dicom", "/dicom+json")}, 415),
        ({"Content-Type": "application/dicom"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Accept": "application/dicom+xml"}, 406),
    ],
)
def test_a_request_that_is_none_is_refused(
    empty: Site, headers: dict[str, str], status: int
) -> None:
    answer = empty.store([part10_bytes(CT[0])], **headers)
    assert (answer.status, empty.on_disk()) == (status, 0), answer.body
    assert answer.json()["reason"]


def test_parts_of_another_type_and_gzip_bodies_are_refused(empty: Site) -> None:
    body = related([part10_bytes(CT[0]), b"{}"], content_type="application/dicom+json")
    stated = {"Content-Type": RELATED}
    assert empty.ask("/studies", method="POST", body=body, headers=stated).status == 415
    packed = gzip.compress(related([part10_bytes(CT[0])]))
    assert empty.ask("/studies", method="POST", body=packed, headers=stated).status == 400
    assert empty.on_disk() == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_body_that_is_cut_off_stores_nothing(empty: Site, share: float) -> None:
    body = related([part10_bytes(one) for one in CT])
    cut = body[: int(len(body) * share)]
    answer = empty.ask("/studies", method="POST", body=cut, headers={"Content-Type": RELATED})
    assert (answer.status, empty.on_disk()) == (400, 0)
    assert empty.raw(head(len(body)), cut, timeout_s=0.2) == b""
    assert empty.on_disk() == 0


def head(length: int | None, path: str = "/dicom-web/studies") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {RELATED}\r\n{framing}\r\n\r\n"
    ).encode()


def test_a_content_length_that_lies(archive: Archive, tmp_path: Path) -> None:
    files = [part10_bytes(CT[number % len(CT)]) for number in range(400)]
    body = related(files)
    with serving(archive, tmp_path, network_timeout_s=1) as site:
        too_small = site.raw(head(len(body) - 1000), body)
        assert too_small.startswith(b"HTTP/1.1 400"), too_small[:100]
        too_large = site.raw(head(len(body) + 1000), body)
        assert too_large.startswith(b"HTTP/1.1 408"), too_large[:100]
        for length in (b"x", b"-1", b"1e3"):
            lied = site.raw(head(0).replace(b"Length: 0", b"Length: " + length), body[:100])
            assert lied.startswith(b"HTTP/1.1 400")
        assert site.on_disk() == 0
        assert site.store(files[: len(CT)]).status == 200


def test_a_body_that_drips_is_given_up(archive: Archive, tmp_path: Path) -> None:
    with serving(archive, tmp_path, network_timeout_s=0.5) as site:
        began = time.monotonic()
        answer = site.raw(head(1000), b"--")
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 5


def test_a_hundred_thousand_parts_are_too_many(site: Site) -> None:
    piece = f"--{BOUNDARY}\r\n\r\nx\r\n".encode() * 1000
    site.store([part10_bytes(CT[0])])
    before = resident_bytes()
    count = iter(range(100))
    answer = site.ask(
        "/studies", method="POST", body=(piece for _ in count), headers={"Content-Type": RELATED}
    )
    assert (answer.status, site.on_disk()) == (413, 1), answer.body
    assert resident_bytes() - before < 32 * MIB


def test_a_big_upload_leaves_memory_flat(site: Site) -> None:
    """The server shares this process, so the body is made as it is sent."""
    one = part10_bytes(make_pet(np.ones((1, 512, 512)))[0])
    opening = f"--{BOUNDARY}\r\n\r\n".encode()

    def body() -> Iterator[bytes]:
        for _ in range(400):
            yield opening + one + b"\r\n"
        yield f"--{BOUNDARY}--".encode()

    site.store([one])
    before = resident_bytes()
    peak = 0

    def watched() -> Iterator[bytes]:
        nonlocal peak
        for piece in body():
            peak = max(peak, resident_bytes())
            yield piece

    answer = site.ask("/studies", method="POST", body=watched(), headers={"Content-Type": RELATED})
    peak = max(peak, resident_bytes())
    assert (answer.status, len(items(answer, "00081199"))) == (200, 400)
    assert 400 * len(one) > 200 * MIB
    assert peak - before < 64 * MIB


def test_one_object_or_body_may_be_only_so_large(archive: Archive, tmp_path: Path) -> None:
    big = part10_bytes(make_pet(np.ones((1, 1024, 1024)))[0])
    with serving(archive, tmp_path, listen={"maximum_object_mb": 1}) as site:
        assert site.store([big]).status == 413
    with serving(archive, tmp_path, maximum_request_mb=1) as site:
        assert site.store([big]).status == 413
        assert site.on_disk() == 0


def test_what_came_by_stow_is_told_without_the_patient(
    site: Site, written_log: io.StringIO
) -> None:
    named = deepcopy(CT[0])
    named.PatientName, named.PatientID = "Canary^Yellow", "CANARY-7"
    whole = part10_bytes(named)
    uid = str(named.SOPInstanceUID).encode()
    head, found, rest = whole.rpartition(uid)
    assert found
    files = [whole, head + b"Canary^Yellow".ljust(len(uid), b" ") + rest]
    answer = site.store(files)
    assert answer.status == 202
    site.ask("/studies/Canary^Yellow", method="POST")
    told = written_log.getvalue()
    assert "instance-kept" in told
    assert "instance-refused" in told
    for text in (told, answer.body.decode(), str(list(site.archive.root.rglob("*")))):
        assert "anary" not in text
        assert "CANARY" not in text


def test_the_page_of_another_site_gets_nothing(empty: Site) -> None:
    answer = empty.ask("/studies", headers={"Host": "rebound.example.org"})
    assert answer.status == 403
    for host in ("localhost", "127.0.0.1:1", "[::1]:80"):
        assert empty.ask("/nothing", headers={"Host": host}).status == 404
    for name in ("cache-control", "x-content-type-options", "content-security-policy"):
        assert name in answer.headers
    assert "server" not in answer.headers


def test_the_bytes_kept_are_those_of_a_c_store(site: Site) -> None:
    site.store([part10_bytes(CT[0])])
    again = site.archive.keep(encoded(CT[0]), transfer_syntax_uid="1.2.840.10008.1.2.1")
    assert again.outcome == "same"


def test_a_header_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[int] = []

    def counting(encoded: bytes, *more: Any) -> Any:
        scanned.append(len(encoded))
        return scan(encoded, *more)

    monkeypatch.setattr(header, "scan", counting)
    assert site.store([part10_bytes(one) for one in CT[:2]]).status == 200
    assert len(scanned) == 2
    assert site.store([part10_bytes(CT[0])], "/studies/1.2.3").status == 409
    assert len(scanned) == 3
