"""Every public method of dicomweb-client against our web side: none is left out."""

import inspect
from collections.abc import Callable, Iterator
from copy import deepcopy
from http import HTTPStatus
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from requests import HTTPError, Session

from storage.archive import Archive
from tests.encoded import part10_bytes
from tests.makers import make_pet, make_seg
from tests.wire.browser import Site, serving
from tests.wire.test_wado import uids

pytestmark = pytest.mark.wire

PET = make_pet(np.tile(np.arange(512.0), (3, 16, 1))[:, :, :32])  # 3 slices of 16 x 32
BLOCK = np.zeros((3, 16, 32), bool)
BLOCK[:2, 4:8, 4:8] = True
SEG = make_seg({"lesion": BLOCK}, PET)
STUDY, SERIES, FIRST = uids(PET[0])
OF_SEG = uids(SEG)
ALL = sorted(str(one.SOPInstanceUID) for one in (*PET, SEG))
OF_PET = sorted(str(one.SOPInstanceUID) for one in PET)
AS_STORED = (("application/dicom", "*"),)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("client")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        assert told.store([part10_bytes(one) for one in (*PET, SEG)]).status == 200
        yield told


@pytest.fixture
def client(site: Site) -> Iterator[DICOMwebClient]:
    with Session() as session:
        yield DICOMwebClient(site.url, session=session)


def _uid_of(told: Any, tag: str = "00080018") -> str:
    return str(told[tag]["Value"][0])


def _named(datasets: Any) -> list[str]:
    return sorted(str(one.SOPInstanceUID) for one in datasets)


def _pictures(body: bytes) -> list[bytes]:
    """The JPEG pictures of a body whose boundary the library keeps to itself."""
    boundary = body.partition(b"\r\n")[0]
    return [part.partition(b"\r\n\r\n")[2] for part in body.split(boundary)[1:-1]]


def search_for_studies(client: DICOMwebClient) -> None:
    (found,) = client.search_for_studies(
        fuzzymatching=False, limit=5, offset=0, fields=["PatientWeight", "00200010"],
        search_filters={"StudyInstanceUID": STUDY}, get_remaining=True,
    )  # fmt: skip
    assert _uid_of(found, "0020000D") == STUDY
    assert "00200010" in found
    assert client.search_for_studies(offset=1) == []
    assert client.search_for_studies(search_filters={"PatientName": "Nobody"}) == []
    assert len(client.search_for_studies(fuzzymatching=True)) == 1


def search_for_series(client: DICOMwebClient) -> None:
    found = client.search_for_series(STUDY, limit=1, get_remaining=True, fields=["PatientID"])
    assert {_uid_of(one, "0020000E") for one in found} == {SERIES, OF_SEG[1]}
    assert all("00100020" in one for one in found)
    assert len(client.search_for_series(limit=1, offset=1, fuzzymatching=False)) == 1
    (pet,) = client.search_for_series(search_filters={"Modality": "PT"})
    assert _uid_of(pet, "0020000E") == SERIES


def search_for_instances(client: DICOMwebClient) -> None:
    everywhere = client.search_for_instances(limit=3, get_remaining=True)
    assert sorted(map(_uid_of, everywhere)) == ALL
    found = client.search_for_instances(STUDY, SERIES, fields=["SliceThickness"], offset=1)
    assert len(found) == len(PET) - 1
    assert all("00180050" in one for one in found)
    (first,) = client.search_for_instances(
        STUDY, fuzzymatching=False, search_filters={"SOPInstanceUID": FIRST}
    )
    assert _uid_of(first) == FIRST


def retrieve_study(client: DICOMwebClient) -> None:
    assert _named(client.retrieve_study(STUDY)) == ALL
    assert _named(client.retrieve_study(STUDY, media_types=AS_STORED)) == ALL
    assert _status(lambda: client.retrieve_study("1.2.3")) == HTTPStatus.NOT_FOUND


def iter_study(client: DICOMwebClient) -> None:
    assert _named(client.iter_study(STUDY)) == ALL


def retrieve_series(client: DICOMwebClient) -> None:
    assert _named(client.retrieve_series(STUDY, SERIES)) == OF_PET


def iter_series(client: DICOMwebClient) -> None:
    assert _named(client.iter_series(STUDY, SERIES, media_types=AS_STORED)) == OF_PET


def retrieve_instance(client: DICOMwebClient) -> None:
    told = client.retrieve_instance(STUDY, SERIES, FIRST)
    assert told == PET[0]
    np.testing.assert_array_equal(told.pixel_array, PET[0].pixel_array)


def retrieve_study_metadata(client: DICOMwebClient) -> None:
    assert sorted(map(_uid_of, client.retrieve_study_metadata(STUDY))) == ALL


def retrieve_series_metadata(client: DICOMwebClient) -> None:
    assert sorted(map(_uid_of, client.retrieve_series_metadata(STUDY, SERIES))) == OF_PET


def retrieve_instance_metadata(client: DICOMwebClient) -> None:
    told = client.retrieve_instance_metadata(STUDY, SERIES, FIRST)
    assert told["00280010"] == {"vr": "US", "Value": [16]}
    assert _bulk(client).startswith(client.base_url)


def retrieve_instance_frames(client: DICOMwebClient) -> None:
    frames = client.retrieve_instance_frames(*OF_SEG, [2, 1])
    bits = [np.unpackbits(np.frombuffer(one, np.uint8), bitorder="little") for one in frames]
    for one, number in zip(bits, (1, 0), strict=True):
        np.testing.assert_array_equal(one, SEG.pixel_array[number].ravel())


def iter_instance_frames(client: DICOMwebClient) -> None:
    octets = (("application/octet-stream", "1.2.840.10008.1.2.1"),)
    (frame,) = client.iter_instance_frames(STUDY, SERIES, FIRST, [1], media_types=octets)
    assert frame == PET[0].PixelData
    beyond = lambda: client.iter_instance_frames(STUDY, SERIES, FIRST, [2])  # noqa: E731
    assert _status(beyond) == HTTPStatus.NOT_FOUND


def retrieve_bulkdata(client: DICOMwebClient) -> None:
    assert client.retrieve_bulkdata(_bulk(client)) == [PET[0].PixelData]


def iter_bulkdata(client: DICOMwebClient) -> None:
    octets = ("application/octet-stream",)
    # byte ranges are optional (PS3.18 8.7.8): the whole comes with 200
    pieces = client.iter_bulkdata(_bulk(client), media_types=octets, byte_range=(0, 9))
    assert list(pieces) == [PET[0].PixelData]


def retrieve_instance_rendered(client: DICOMwebClient) -> None:
    png = client.retrieve_instance_rendered(
        STUDY, SERIES, FIRST, media_types=("image/png",), params={"viewport": "64,64"}
    )
    assert (Image.open(BytesIO(png)).format, Image.open(BytesIO(png)).size) == ("PNG", (64, 32))
    assert Image.open(BytesIO(client.retrieve_instance_rendered(STUDY, SERIES, FIRST))).size


def retrieve_instance_frames_rendered(client: DICOMwebClient) -> None:
    jpeg = client.retrieve_instance_frames_rendered(*OF_SEG, [2], media_types=("image/jpeg",))
    assert Image.open(BytesIO(jpeg)).format == "JPEG"


def retrieve_series_rendered(client: DICOMwebClient) -> None:
    png = client.retrieve_series_rendered(STUDY, SERIES, media_types=("image/png",))
    middle = uids(sorted(PET, key=lambda one: one.ImagePositionPatient[2])[1])
    same = client.retrieve_instance_rendered(*middle, media_types=("image/png",))
    assert png == same
    pictures = _pictures(client.retrieve_series_rendered(STUDY, SERIES))
    assert len(pictures) == len(PET)
    assert {Image.open(BytesIO(one)).format for one in pictures} == {"JPEG"}
    video = lambda: client.retrieve_series_rendered(STUDY, SERIES, ("video/mp4",))  # noqa: E731
    assert _status(video) == HTTPStatus.NOT_ACCEPTABLE


def store_instances(client: DICOMwebClient) -> None:
    fresh = deepcopy(SEG)
    fresh.StudyInstanceUID, fresh.SOPInstanceUID = "2.25.991", "2.25.992"
    fresh.file_meta.MediaStorageSOPInstanceUID = fresh.SOPInstanceUID
    told = client.store_instances([fresh], "2.25.991")
    (kept,) = told.ReferencedSOPSequence
    assert kept.ReferencedSOPInstanceUID == "2.25.992"
    assert "FailedSOPSequence" not in told
    assert _status(lambda: client.store_instances([fresh], "2.25.993")) == HTTPStatus.CONFLICT


def delete_study(client: DICOMwebClient) -> None:
    assert _status(lambda: client.delete_study(STUDY)) == HTTPStatus.METHOD_NOT_ALLOWED
    assert _named(client.retrieve_study(STUDY)) == ALL


def delete_series(client: DICOMwebClient) -> None:
    assert _status(lambda: client.delete_series(STUDY, SERIES)) == HTTPStatus.METHOD_NOT_ALLOWED
    assert _named(client.retrieve_series(STUDY, SERIES)) == OF_PET


def delete_instance(client: DICOMwebClient) -> None:
    deleting = lambda: client.delete_instance(STUDY, SERIES, FIRST)  # noqa: E731
    assert _status(deleting) == HTTPStatus.METHOD_NOT_ALLOWED
    assert client.retrieve_instance(STUDY, SERIES, FIRST) == PET[0]


def set_chunk_size(client: DICOMwebClient) -> None:
    client.set_chunk_size(512)
    assert _named(client.iter_series(STUDY, SERIES)) == OF_PET
    # so that it is sent in chunks, too: the body has no Content-Length then
    told = client.store_instances(PET)
    assert len(told.ReferencedSOPSequence) == len(PET)


def set_http_retry_params(client: DICOMwebClient) -> None:
    client.set_http_retry_params(retry=True, max_attempts=2, wait_exponential_multiplier=1)
    assert _status(lambda: client.retrieve_study("1.2.3")) == HTTPStatus.NOT_FOUND
    client.set_http_retry_params(retry=False)
    assert len(client.search_for_studies(search_filters={"StudyInstanceUID": STUDY})) == 1


def lookup_keyword(client: DICOMwebClient) -> None:
    told = client.retrieve_instance_metadata(STUDY, SERIES, FIRST)
    keywords = {client.lookup_keyword(tag) for tag in told if int(tag[:4], 16) % 2 == 0}
    assert {"SOPInstanceUID", "Units", "PixelData"} <= keywords


def lookup_tag(client: DICOMwebClient) -> None:
    told = client.retrieve_instance_metadata(STUDY, SERIES, FIRST)
    assert _uid_of(told, client.lookup_tag("SOPInstanceUID")) == FIRST


def _bulk(client: DICOMwebClient) -> str:
    return str(client.retrieve_instance_metadata(STUDY, SERIES, FIRST)["7FE00010"]["BulkDataURI"])


def _status(asking: Callable[[], Any]) -> int:
    with pytest.raises(HTTPError) as refused:
        asking()
    response = refused.value.response
    assert response is not None
    response.close()  # some are streamed
    return int(response.status_code)


METHODS: dict[str, Callable[[DICOMwebClient], None]] = {
    one.__name__: one
    for one in (
        search_for_studies, search_for_series, search_for_instances,
        retrieve_study, iter_study, retrieve_series, iter_series, retrieve_instance,
        retrieve_study_metadata, retrieve_series_metadata, retrieve_instance_metadata,
        retrieve_instance_frames, iter_instance_frames, retrieve_bulkdata, iter_bulkdata,
        retrieve_instance_rendered, retrieve_instance_frames_rendered, retrieve_series_rendered,
        store_instances, delete_study, delete_series, delete_instance,
        set_chunk_size, set_http_retry_params, lookup_keyword, lookup_tag,
    )
}  # fmt: skip


def test_the_table_names_every_method_of_the_library() -> None:
    public = inspect.getmembers(DICOMwebClient, callable)
    assert METHODS.keys() == {name for name, _ in public if not name.startswith("_")}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_against_our_web_side(client: DICOMwebClient, name: str) -> None:
    METHODS[name](client)


@pytest.mark.parametrize("path", ["", f"/series/{SERIES}", f"/series/{SERIES}/instances/{FIRST}"])
def test_what_is_not_allowed_tells_what_is(site: Site, path: str) -> None:
    answer = site.ask(f"/studies/{STUDY}{path}", method="DELETE")
    assert answer.status == HTTPStatus.METHOD_NOT_ALLOWED
    allowed = {one.strip() for one in answer.headers["allow"].split(",")}
    assert allowed == ({"GET", "HEAD", "POST"} if not path else {"GET", "HEAD"})
