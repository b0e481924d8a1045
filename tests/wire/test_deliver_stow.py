"""STOW-RS to a real PACS, and to a server that answers what no real one can be made to."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from pacsnode.addresses import WebDestination
from pacsnode.delivery import stow
from pacsnode.delivery.stow import probe, send
from pacsnode.errors import DeliveryFailed, DeliveryRejected, PeerFailed, PeerRefused
from tests.peers import Orthanc, encoded_dataset
from tests.web_server import Asked, Reply, WebServer, part10, told

pytestmark = pytest.mark.wire

SECRET = "canary-of-the-tests"  # noqa: S105 no secret


def at(url: str, **more: object) -> WebDestination:
    return WebDestination.model_validate({"name": "test", "url": url} | more)


def uid_of(path: Path) -> str:
    return str(dcmread(path).SOPInstanceUID)


def body_of(part10_file: bytes, folder: Path) -> bytes:
    (folder / "one.dcm").write_bytes(part10_file)
    return encoded_dataset(folder / "one.dcm")[0]


# what arrives


def test_orthanc_takes_a_segmentation_and_its_report_once(
    segmentation: Path, report_3d: Path, tmp_path: Path
) -> None:
    with Orthanc.with_dicom_web(tmp_path / "orthanc") as orthanc:
        before = probe(at(orthanc.dicom_web))
        for _ in range(2):  # a repeated delivery is harmless
            answers = send([segmentation, report_3d], at(orthanc.dicom_web))
        after = probe(at(orthanc.dicom_web))
        bodies = {body_of(orthanc.file(one), tmp_path) for one in orthanc.instances()}
    assert [answer["outcome"] for answer in answers] == ["stored", "stored"]
    assert [answer["sop_instance_uid"] for answer in answers] == [
        uid_of(segmentation), uid_of(report_3d),
    ]  # fmt: skip
    assert bodies == {encoded_dataset(path)[0] for path in (segmentation, report_3d)}
    assert (before.search_status, before.studies, after.studies) == (200, 0, 1)
    assert after.allows_storing is None  # Orthanc does not say


def test_files_arrive_byte_for_byte_in_one_request(
    segmentation: Path, report_3d: Path, data: Path, tmp_path: Path
) -> None:
    rle = data / "seg_variety" / "liver_rle.dcm"
    paths = [segmentation, rle, report_3d]
    with WebServer() as server:
        send(paths, at(server.url + "/"))
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/dicom-web/studies")
    assert asked.headers["Host"] == server.url.split("/")[2]
    assert asked.headers["Content-Length"] == str(len(asked.body))
    assert asked.headers["Accept"] == "application/dicom+json"
    assert "Authorization" not in asked.headers
    bodies = [body_of(file, tmp_path) for file in asked.files]
    assert bodies == [encoded_dataset(path)[0] for path in paths]


def test_what_the_archive_notes_in_a_file_stays_here(report_3d: Path, tmp_path: Path) -> None:
    kept = dcmread(report_3d)
    kept.file_meta.SourceApplicationEntityTitle = "SENDER"
    kept.file_meta.PrivateInformationCreatorUID = "2.25.1"
    kept.file_meta.PrivateInformation = b"a note"
    kept.save_as(tmp_path / "kept.dcm", enforce_file_format=True)
    with WebServer() as server:
        send([tmp_path / "kept.dcm"], at(server.url))
    (file,) = server.asked[0].files
    sent = dcmread(BytesIO(file))
    assert {element.keyword for element in sent.file_meta} == {
        "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID",
        "ImplementationVersionName",
    }  # fmt: skip
    assert body_of(file, tmp_path) == encoded_dataset(report_3d)[0]


# one answer, judged instance by instance


def answering(
    post: Callable[[Asked], Reply], held: Callable[[str], Reply] = lambda uid: Reply(404)
) -> Callable[[Asked], Reply]:
    """A server that answers a store by `post`, and shows an instance by `held`."""

    def answer(asked: Asked) -> Reply:
        if asked.method == "POST":
            return post(asked)
        return held(asked.path.rpartition("/")[2])

    return answer


ALREADY = 0x0111
ALREADY_AT_AZURE = 0xB00E


@pytest.mark.parametrize("reason", [0, ALREADY, ALREADY_AT_AZURE, 0x0110])
@pytest.mark.parametrize("status", [409, 202])
def test_what_is_there_with_the_same_bytes_is_delivered(
    report_3d: Path, status: int, reason: int
) -> None:
    def post(asked: Asked) -> Reply:
        return told(status, failed=dict.fromkeys(asked.uids, reason))

    with WebServer(answering(post, lambda uid: part10(report_3d.read_bytes()))) as server:
        if (status, reason) == (202, 0x0110):  # it failed, and nothing says that it was there
            with pytest.raises(DeliveryFailed, match="0x0110"):
                send([report_3d], at(server.url))
            return
        (answer,) = send([report_3d], at(server.url))
    assert answer["outcome"] == "already there"
    assert server.asked[-1].path.endswith(f"/instances/{uid_of(report_3d)}")
    assert "transfer-syntax=*" in server.asked[-1].headers["Accept"]


def test_what_is_there_in_another_syntax_is_the_same(report_3d: Path, tmp_path: Path) -> None:
    other = dcmread(report_3d)
    other.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    other.save_as(tmp_path / "implicit.dcm", implicit_vr=True, little_endian=True)
    held = part10((tmp_path / "implicit.dcm").read_bytes())
    with WebServer(answering(lambda asked: Reply(409), lambda uid: held)) as server:
        (answer,) = send([report_3d], at(server.url))
    assert answer["outcome"] == "already there"


@pytest.mark.parametrize("reason", [0, ALREADY, 0xA900])
def test_another_object_under_our_uid_is_parked_and_named(
    report_3d: Path, tmp_path: Path, reason: int
) -> None:
    other = dcmread(report_3d)
    other.SeriesDescription = "not ours"
    other.save_as(tmp_path / "other.dcm")
    held = part10((tmp_path / "other.dcm").read_bytes())

    def post(asked: Asked) -> Reply:
        return told(409, failed=dict.fromkeys(asked.uids, reason))

    with (
        WebServer(answering(post, lambda uid: held)) as server,
        pytest.raises(DeliveryRejected, match="holds another object under") as refusal,
    ):
        send([report_3d], at(server.url))
    assert "Compare the two" in refusal.value.fix
    assert refusal.value.answers[0]["outcome"] == "refused"


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (409, ALREADY, None), (409, ALREADY_AT_AZURE, None), (202, ALREADY, None),
        (409, 0, DeliveryRejected), (409, 0xA900, DeliveryRejected),
        (409, 0x0122, DeliveryRejected), (409, 0xC122, DeliveryRejected),
        (409, 0xA700, DeliveryFailed), (409, 0x0110, DeliveryFailed),
        (202, 0xA700, DeliveryFailed), (202, 0xC000, DeliveryRejected),
        (200, 0xA900, DeliveryRejected), (200, 0, DeliveryFailed),
        (400, 0xA900, DeliveryRejected), (400, 0, DeliveryRejected),
    ],
)  # fmt: skip
def test_each_failure_reason_is_tried_again_or_parked_where_nothing_can_be_compared(
    report_3d: Path, status: int, reason: int, error: type[Exception] | None
) -> None:
    def post(asked: Asked) -> Reply:
        return told(status, failed=dict.fromkeys(asked.uids, reason))

    with WebServer(answering(post)) as server:
        if error is None:  # as with C-STORE: our UIDs are derived
            (answer,) = send([report_3d], at(server.url))
            assert answer["outcome"] == "already there"
            return
        with pytest.raises(error, match=uid_of(report_3d)) as raised:
            send([report_3d], at(server.url))
    assert isinstance(raised.value, DeliveryFailed | DeliveryRejected)
    assert (raised.value.answers[0]["outcome"] == "refused") is (error is DeliveryRejected)
    assert getattr(raised.value, "fix", None) or error is DeliveryFailed


def test_one_of_two_that_fails_is_named_and_both_answers_are_kept(
    segmentation: Path, report_3d: Path
) -> None:
    refused = {uid_of(report_3d): 0x0122}
    reply = told(202, stored=[uid_of(segmentation)], failed=refused)
    with (
        WebServer(lambda asked: reply) as server,
        pytest.raises(DeliveryRejected, match="a SOP class it does not support") as refusal,
    ):
        send([segmentation, report_3d], at(server.url))
    assert refusal.value.answers == [
        {"sop_instance_uid": uid_of(segmentation), "outcome": "stored"},
        {"sop_instance_uid": uid_of(report_3d), "outcome": "refused", "reason": "0x0122"},
    ]


def test_a_warning_is_kept(report_3d: Path) -> None:
    item = {
        "00081155": {"vr": "UI", "Value": [uid_of(report_3d)]},
        "00081196": {"vr": "US", "Value": [0xB000]},
    }
    body = f'{{"00081199": {{"vr": "SQ", "Value": [{item}]}}}}'.replace("'", '"').encode()
    reply = Reply(202, body, "application/dicom+json; charset=utf-8")
    with WebServer(lambda asked: reply) as server:
        (answer,) = send([report_3d], at(server.url))
    assert (answer["outcome"], answer["reason"]) == ("stored with a warning", "0xB000")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[" * 100_000, b'{"00081199": 3}', b"<NativeDicomModel/>", b"null"]
)
def test_an_answer_that_names_nothing_is_believed_only_when_the_object_is_seen(
    report_3d: Path, body: bytes
) -> None:
    post = Reply(200, body)
    with (
        WebServer(answering(lambda asked: post)) as server,
        pytest.raises(DeliveryFailed, match="does not say that it has"),
    ):
        send([report_3d], at(server.url))
    held = part10(report_3d.read_bytes())
    with WebServer(answering(lambda asked: post, lambda uid: held)) as server:
        (answer,) = send([report_3d], at(server.url))
    assert answer["outcome"] == "already there"


@pytest.mark.parametrize(
    "held",
    [Reply(200, b""), Reply(200, b"x" * 500), part10(b"", b"\0" * 300), Reply(200, b"--", "a/b; c"),
     Reply(403), Reply(301)],
)  # fmt: skip
def test_a_comparison_with_nonsense_proves_nothing(report_3d: Path, held: Reply) -> None:
    with (
        WebServer(answering(lambda asked: Reply(409), lambda uid: held)) as server,
        pytest.raises(DeliveryRejected, match="does not say why"),
    ):
        send([report_3d], at(server.url))


# what needs a person, what another try


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (503, PeerFailed, "503"), (500, PeerFailed, "500"), (502, PeerFailed, "502"),
        (429, PeerFailed, "429"), (408, PeerFailed, "408"),
        (401, PeerRefused, "secret_env"), (403, PeerRefused, "Allow this account"),
        (404, PeerRefused, "Set url"), (405, PeerRefused, "Set url"),
        (413, PeerRefused, "largest request body"), (415, PeerRefused, "Part 10"),
        (406, PeerRefused, "JSON"), (418, PeerRefused, "log"),
        (301, PeerRefused, "Set url"), (307, PeerRefused, "Set url"),
    ],
)  # fmt: skip
def test_each_status_is_tried_again_or_parked(
    report_3d: Path, status: int, error: type[Exception], words: str
) -> None:
    with (
        WebServer(lambda asked: Reply(status)) as server,
        pytest.raises(error, match=f"answers {status}") as raised,
    ):
        send([report_3d], at(server.url))
    assert words in getattr(raised.value, "fix", str(raised.value))
    assert len(server.asked) == 1  # waiting is for the durable job, not for this thread


def test_a_damaged_file_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"not DICOM" * 100)
    with pytest.raises(DeliveryRejected, match=r"x\.dcm is not a Part 10 file"):
        send([tmp_path / "x.dcm"], at("http://127.0.0.1:9"))


# asking


def test_a_probe_tells_what_the_peer_shows_and_allows() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "OPTIONS":
            return Reply(204, headers={"Allow": "GET, post"})
        return Reply(200, b'[{"0020000D": {}}]')

    with WebServer(answer) as server:
        found = probe(at(server.url))
    assert (found.search_status, found.studies, found.allows_storing) == (200, 1, True)
    assert [one.path for one in server.asked] == [
        "/dicom-web/studies?limit=1",
        "/dicom-web/studies",
    ]
    with WebServer(lambda asked: Reply(200, b"<html>")) as server:
        assert probe(at(server.url)).studies is None
    with WebServer(lambda asked: Reply(204)) as server:
        assert probe(at(server.url)).studies == 0
    with (
        WebServer(lambda asked: Reply(401)) as server,
        pytest.raises(PeerRefused, match="credentials"),
    ):
        probe(at(server.url))


def test_the_table_of_refusals_names_a_fix_for_each() -> None:
    assert all(meaning and fix for meaning, fix in stow.REFUSALS.values())
