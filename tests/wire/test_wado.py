"""WADO-RS: what was kept comes back as stored, or as explicit little endian, or is refused."""

import subprocess
import warnings
from collections.abc import Iterator
from copy import deepcopy
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from engine.reading.packed import expand_rle
from storage.archive import Archive
from tests.encoded import part10_bytes
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg
from tests.peers import LOOPBACK, encoded_dataset
from tests.wire.browser import Site, serving
from tests.wire.test_hostile import resident_bytes
from tests.wire.test_receive import REAL

pytestmark = pytest.mark.wire

CT = make_ct()
PET = make_pet()
BLOCK = np.zeros((8, 32, 32), bool)
BLOCK[2:5, 10:20, 10:20] = True
SEG = make_seg({"lesion": BLOCK, "other": ~BLOCK}, PET)
CONTOUR = [[float(x % 40 - 20), float(x // 40), 6.0] for x in range(400)]
RTSTRUCT = make_rtstruct({"GTV": [CONTOUR]}, PET)
SYNTAXES = (
    ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless,
)  # fmt: skip
OCTETS = 'multipart/related; type="application/octet-stream"'
DICOM = 'multipart/related; type="application/dicom"'
CLIENTS = (("application/dicom", "*"),)


def path_of(dataset: Dataset) -> str:
    return (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


def uids(dataset: Dataset) -> tuple[str, str, str]:
    return (
        str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID),
    )  # fmt: skip


def in_syntax(number: int, syntax: str) -> bytes:
    """A CT of its own as a file, in a syntax."""
    one = deepcopy(CT[0])
    one.SOPInstanceUID = f"2.25.77{number}"
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.SeriesInstanceUID = "2.25.770"
    return part10_bytes(one, syntax)


CODED_FILES = [in_syntax(number, syntax) for number, syntax in enumerate(SYNTAXES)]
CODED = {syntax: dcmread(BytesIO(file)) for syntax, file in zip(SYNTAXES, CODED_FILES, strict=True)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("wado")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        files = [part10_bytes(one) for one in (*CT, *PET, SEG, RTSTRUCT)]
        assert told.store(files + CODED_FILES).status == 200
        yield told


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("real")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        assert told.store([(data / name).read_bytes() for name in REAL.values()]).status == 200
        yield told


def dataset_of(part: bytes) -> Dataset:
    return dcmread(BytesIO(part))


def test_a_stored_syntax_comes_back_byte_for_byte(real: Site, data: Path) -> None:
    for name in REAL.values():
        dataset = dcmread(data / name, stop_before_pixels=True)
        answer = real.ask(path_of(dataset), f"{DICOM}; transfer-syntax=*")
        ((kind, part),) = answer.parts()
        syntax = dataset.file_meta.TransferSyntaxUID
        assert kind == f"application/dicom;transfer-syntax={syntax}"
        assert part.endswith(encoded_dataset(data / name)[0])
        meta = dcmread(BytesIO(part)).file_meta
        assert meta.TransferSyntaxUID == syntax
        assert "PrivateInformation" not in meta  # when and from whom it came stays here


def test_every_real_object_comes_as_explicit_little_endian(real: Site, data: Path) -> None:
    for name in REAL.values():
        before = dcmread(data / name)
        answer = real.ask(path_of(before), DICOM)
        assert answer.status == 200, (name, answer.body)
        after = dataset_of(answer.parts()[0][1])
        assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some pixels are padded
            if name == REAL["seg, rle"]:  # single bits, run-length encoded: pydicom reads none
                packed = (expand_rle(frame, 512 * 512 // 8) for frame in _frames_of(before))
                assert after.PixelData == b"".join(packed)
            elif "PixelData" in before:
                np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
        pixels = {"PixelData", "PixelRepresentation"}
        assert {e.keyword for e in before} - pixels == {e.keyword for e in after} - pixels


def _frames_of(dataset: Dataset) -> Iterator[bytes]:
    return generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_syntax_is_converted_when_asked(site: Site, syntax: Any) -> None:
    one = CODED[syntax]
    explicit = f"{DICOM}; transfer-syntax={ExplicitVRLittleEndian}"
    after = dataset_of(site.ask(path_of(one), explicit).parts()[0][1])
    assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_array_equal(after.pixel_array, CT[0].pixel_array)
    assert after.ImagePositionPatient == CT[0].ImagePositionPatient
    (frame,) = site.ask(f"{path_of(one)}/frames/1", OCTETS).parts()
    assert frame[1] == CT[0].PixelData
    stored = site.ask(path_of(one), f"{DICOM}; transfer-syntax={syntax}").parts()[0][1]
    assert dataset_of(stored).file_meta.TransferSyntaxUID == syntax
    other = JPEGLSLossless if syntax != JPEGLSLossless else RLELossless
    assert site.ask(path_of(one), f"{DICOM}; transfer-syntax={other}").status == 406


def test_a_compressed_series_is_decoded_by_one_child(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = []
    begun = subprocess.run

    def counted(*arguments: Any, **options: Any) -> Any:
        children.append(arguments)
        return begun(*arguments, **options)

    monkeypatch.setattr("engine.reading.decoding.subprocess.run", counted)
    series = path_of(CODED[RLELossless]).partition("/instances")[0]
    found = site.ask(series, DICOM).parts()
    assert len(found) == len(CODED)
    for _, part in found:
        np.testing.assert_array_equal(dataset_of(part).pixel_array, CT[0].pixel_array)
    assert len(children) == 1


@pytest.mark.parametrize("accept", ["application/dicom", 'application/dicom; transfer-syntax="*"'])
def test_one_instance_may_come_bare(site: Site, accept: str) -> None:
    answer = site.ask(path_of(CT[0]), accept)
    assert answer.headers["content-type"] == "application/dicom"
    assert dataset_of(answer.body).SOPInstanceUID == CT[0].SOPInstanceUID


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/studies/1.2.3", None, 404),
        ("/studies/Canary", None, 400),
        (f"/studies/{CT[0].StudyInstanceUID}/series/1.2.3", None, 404),
        (path_of(CT[0]).replace(str(CT[0].SeriesInstanceUID), "1.2.3"), None, 404),
        (path_of(CT[0]), "application/dicom+xml", 406),
        (path_of(CT[0]), "image/jls", 406),
        (path_of(CT[0]), "nonsense", 400),
        (path_of(CT[0]), "x" * 5000, 400),
        (f"{path_of(CT[0])}/metadata", "application/dicom+xml", 406),
        (f"{path_of(CT[0])}/frames/2", None, 404),
        (f"{path_of(CT[0])}/frames/0", None, 404),
        (f"{path_of(CT[0])}/frames/x", None, 400),
        (f"{path_of(CT[0])}/frames/1", 'multipart/related; type="image/jls"', 406),
        (f"{path_of(RTSTRUCT)}/frames/1", None, 406),
        (f"{path_of(CT[0])}/bulkdata/00100010", None, 404),
        (f"{path_of(CT[0])}/bulkdata/x/y", None, 400),
        (f"{path_of(CT[0])}/bulkdata/00081115/9/00081199", None, 404),
    ],
)
def test_what_there_is_not_or_cannot_be_had(
    site: Site, path: str, accept: str | None, status: int
) -> None:
    answer = site.ask(path, accept)
    assert answer.status == status
    assert "Canary" not in answer.body.decode()


def test_dicomweb_client_retrieves_a_study_series_and_instance(site: Site) -> None:
    client = DICOMwebClient(site.url)
    study, series, instance = uids(CT[0])
    found = client.retrieve_series(study, series)
    assert [one.SOPInstanceUID for one in found] == [one.SOPInstanceUID for one in CT]
    for before, after in zip(CT, found, strict=True):
        assert after.PixelData == before.PixelData
    assert len(client.retrieve_study(study, CLIENTS)) == len(CT) + len(PET) + 2 + len(CODED)
    one = client.retrieve_instance(study, series, instance)
    assert {element.tag: element for element in one} == {element.tag: element for element in CT[0]}


def test_dicomweb_client_reads_metadata(site: Site) -> None:
    client = DICOMwebClient(site.url)
    study, series, instance = uids(CT[0])
    told = client.retrieve_series_metadata(study, series)
    assert [one["00080018"]["Value"][0] for one in told] == [one.SOPInstanceUID for one in CT]
    assert len(client.retrieve_study_metadata(study)) == len(CT) + len(PET) + 2 + len(CODED)
    one = Dataset.from_json(
        client.retrieve_instance_metadata(study, series, instance), lambda *_: b"bulk"
    )
    for element in CT[0]:
        if element.tag != 0x7FE00010:
            assert one[element.tag].value == element.value, element.keyword
    assert one.AvailableTransferSyntaxUID == ExplicitVRLittleEndian


def test_real_metadata_say_what_pydicom_reads(real: Site, data: Path) -> None:
    for name in REAL.values():
        before = dcmread(data / name, stop_before_pixels=True)
        answer = real.ask(f"{path_of(before)}/metadata", "application/json")
        assert answer.headers["content-type"] == "application/json"
        (told,) = answer.json()
        after = Dataset.from_json(told, lambda *_: b"bulk")
        expected = {e.tag for e in before if e.tag.element}
        assert expected <= {e.tag for e in after}
        assert str(after.get("PatientName")) == str(before.get("PatientName"))
        if "SpecificCharacterSet" in before:
            assert after.SpecificCharacterSet == "ISO_IR 192"


def test_bulk_data_are_where_the_metadata_say(site: Site) -> None:
    client = DICOMwebClient(site.url)
    for dataset in (CT[0], SEG):
        told = client.retrieve_instance_metadata(*uids(dataset))
        url = told["7FE00010"]["BulkDataURI"]
        assert client.retrieve_bulkdata(url) == [dataset.PixelData]
    coded = CODED[JPEGLSLossless]
    path = f"{path_of(coded)}/bulkdata/7FE00010"
    ((kind, frame),) = site.ask(path, 'multipart/related; type="image/jls"').parts()
    assert kind == f"image/jls;transfer-syntax={JPEGLSLossless}"
    assert frame.startswith(b"\xff\xd8")
    assert site.ask(path, OCTETS).parts()[0][1] == CT[0].PixelData


def test_bulk_data_within_sequences(site: Site) -> None:
    one = deepcopy(CT[0])
    one.SOPInstanceUID = "2.25.7700"
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    item = Dataset()
    item.add_new(0x00091010, "OB", b"\1" * 10)
    item.add_new(0x00091011, "OW", bytes(range(250)) * 8)
    one.add_new(0x00091001, "SQ", [Dataset(), item])
    with_private = part10_bytes(one)
    assert site.store([with_private]).status == 200
    (told,) = site.ask(f"{path_of(one)}/metadata").json()
    nested = told["00091001"]["Value"][1]
    assert "InlineBinary" in nested["00091010"]
    path = nested["00091011"]["BulkDataURI"].partition("/dicom-web")[2]
    assert path.endswith("/bulkdata/00091001/2/00091011")
    assert site.ask(path).parts() == [("application/octet-stream", bytes(range(250)) * 8)]
    assert site.ask(path, "application/octet-stream").body == bytes(range(250)) * 8


def test_frames_of_a_bit_packed_segmentation(site: Site) -> None:
    """PS3.5 8.1.1: bits of frames run on; a frame of its own begins with its first bit."""
    frames = SEG.pixel_array
    count = len(frames)
    listed = ",".join(str(number) for number in range(1, count + 1))
    parts = site.ask(f"{path_of(SEG)}/frames/{listed}", f"{OCTETS}; transfer-syntax=*").parts()
    assert len(parts) == count
    for (_, part), frame in zip(parts, frames, strict=True):
        bits = np.unpackbits(np.frombuffer(part, np.uint8), bitorder="little")
        np.testing.assert_array_equal(bits[: frame.size].reshape(frame.shape), frame)


def test_dicomweb_client_retrieves_frames(site: Site) -> None:
    client = DICOMwebClient(site.url)
    assert client.retrieve_instance_frames(*uids(CT[0]), [1]) == [CT[0].PixelData]
    coded = CODED[JPEGLSLossless]
    (frame,) = client.retrieve_instance_frames(
        *uids(coded), [1], media_types=(("image/jls", JPEGLSLossless),)
    )
    assert frame.startswith(b"\xff\xd8")
    (plain,) = client.retrieve_instance_frames(*uids(coded), [1])
    assert plain == CT[0].PixelData


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{OCTETS}; transfer-syntax=*", "image/jls"),  # as OHIF asks
        ('multipart/related; type="image/*"', "image/jls"),
        ('multipart/related; type="image/jls"; q=0.1, ' + OCTETS, "application/octet-stream"),
        ("*/*", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_which_frame_is_liked_best(site: Site, accept: str | None, kind: str) -> None:
    answer = site.ask(f"{path_of(CODED[JPEGLSLossless])}/frames/1", accept)
    assert answer.status == 200
    assert answer.parts()[0][0].startswith(kind)


def test_a_big_series_leaves_memory_flat(archive: Archive, tmp_path: Path) -> None:
    """The server shares this process, so what comes back is thrown away as it comes."""
    with serving(archive, tmp_path) as site:
        big = [part10_bytes(one) for one in make_ct(np.zeros((120, 512, 1024)))]
        assert site.store(big).status == 200
        total = sum(map(len, big))
        del big
        study = archive.studies()[0].study_instance_uid
        before = peak = resident_bytes()
        received = 0
        connection = HTTPConnection(LOOPBACK, site.port, timeout=30)
        accept = {"Accept": f"{DICOM}; transfer-syntax=*"}
        connection.request("GET", f"/dicom-web/studies/{study}", headers=accept)
        answer = connection.getresponse()
        while piece := answer.read(1 << 20):
            received += len(piece)
            peak = max(peak, resident_bytes())
        connection.close()
    assert received > total > 120 << 20
    assert peak - before < 32 << 20


def test_a_damaged_file_is_no_answer(archive: Archive, tmp_path: Path) -> None:
    with serving(archive, tmp_path) as site:
        site.store([part10_bytes(CT[0])])
        kept = archive.instance(str(CT[0].SOPInstanceUID))
        assert kept is not None
        kept.path.write_bytes(kept.path.read_bytes()[:-100])
        answer = site.ask(path_of(CT[0]))
        assert answer.status == 503
        assert "send the object again" in answer.json()["reason"]
