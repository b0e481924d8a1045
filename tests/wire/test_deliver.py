"""Delivery to real receivers, and the difference between trying again and asking a person."""

import time
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
    SegmentationStorage,
)

from pacsnode import dimse_peer
from pacsnode.delivery.cstore import probe, send
from pacsnode.errors import PeerFailed, PeerRefused
from pacsnode.settings import Destination
from tests.peers import (
    LOOPBACK,
    Arrived,
    Orthanc,
    Receiver,
    encoded_dataset,
    free_port,
    scripted_peer,
    storescp,
    wait_until,
)
from tests.wire.sender import associate_acceptance, pdu

pytestmark = pytest.mark.wire


def at(port: int, ae_title: str = "RECEIVER", host: str = LOOPBACK) -> Destination:
    return Destination(name="test", ae_title=ae_title, host=host, port=port)


def classes_of(*paths: Path) -> list[str]:
    return [str(dcmread(path).SOPClassUID) for path in paths]


def test_files_arrive_in_order_byte_for_byte(segmentation: Path, report_3d: Path) -> None:
    with Receiver() as receiver:
        send([segmentation, report_3d], at(receiver.port), "PACSNODE")
    assert [one.sop_class_uid for one in receiver.arrived] == classes_of(segmentation, report_3d)
    for one, path in zip(receiver.arrived, (segmentation, report_3d), strict=True):
        assert (one.encoded, one.transfer_syntax_uid) == encoded_dataset(path)
        assert one.calling_ae == "PACSNODE"


def test_orthanc_takes_a_segmentation_and_its_report_once(
    segmentation: Path, report_3d: Path, tmp_path: Path
) -> None:
    with Orthanc(tmp_path / "orthanc") as orthanc:
        destination = at(orthanc.port, orthanc.ae_title)
        for _ in range(2):  # a repeated delivery is harmless
            send([segmentation, report_3d], destination, "PACSNODE")
        wait_until(lambda: len(orthanc.instances()) == 2, what="two instances")
        bodies = {_body(orthanc.file(instance)) for instance in orthanc.instances()}
        found = probe(destination, "PACSNODE")
    assert bodies == {encoded_dataset(path)[0] for path in (segmentation, report_3d)}
    assert found.echo_status == 0
    assert found.takes_reports
    assert found.takes_segmentations
    assert 0 < found.elapsed_s < 5


def _body(part10: bytes) -> bytes:
    # PS3.10 7.1: preamble, DICM, then (0002,0000) with the length of the rest of its group
    return part10[144 + int.from_bytes(part10[140:144], "little") :]


def test_storescp_takes_both(segmentation: Path, report_3d: Path, tmp_path: Path) -> None:
    with storescp(tmp_path / "in") as port:
        send([segmentation, report_3d], at(port, "STORESCP"), "PACSNODE")
        wait_until(lambda: len(list((tmp_path / "in").iterdir())) == 2, what="two files")


def test_a_peer_of_another_uncompressed_syntax_gets_the_same_values(report_3d: Path) -> None:
    with Receiver(transfer_syntax_uids=[ImplicitVRLittleEndian]) as receiver:
        send([report_3d], at(receiver.port), "PACSNODE")
    (one,) = receiver.arrived
    assert one.transfer_syntax_uid == ImplicitVRLittleEndian
    sent = dcmread(report_3d)
    assert one.sop_instance_uid == sent.SOPInstanceUID
    assert one.encoded != encoded_dataset(report_3d)[0]
    assert b"Measurement" in one.encoded


def test_compressed_files_go_as_they_are_or_not_at_all(data: Path) -> None:
    rle = data / "seg_variety" / "liver_rle.dcm"
    with Receiver(transfer_syntax_uids=[RLELossless, JPEGLosslessSV1]) as receiver:
        send([rle], at(receiver.port), "PACSNODE")
    assert receiver.arrived[0].encoded == encoded_dataset(rle)[0]
    with (
        Receiver(transfer_syntax_uids=[ExplicitVRLittleEndian]) as receiver,
        pytest.raises(PeerRefused, match="no presentation context"),
    ):
        send([rle], at(receiver.port), "PACSNODE")


# what needs a person, what another try


def test_a_peer_without_our_report_class_is_named_and_gets_nothing(
    segmentation: Path, report_3d: Path
) -> None:
    with (
        Receiver(sop_class_uids=[SegmentationStorage]) as receiver,
        pytest.raises(PeerRefused, match="Comprehensive 3D SR") as refusal,
    ):
        send([segmentation, report_3d], at(receiver.port), "PACSNODE")
    assert "Enable storage of Comprehensive 3D SR" in refusal.value.fix
    assert receiver.arrived == []


def test_a_peer_that_accepts_nothing_is_a_rejection_too(report_3d: Path) -> None:
    with Receiver(sop_class_uids=[EnhancedSRStorage]) as receiver:
        with pytest.raises(PeerRefused, match="no presentation context"):
            send([report_3d], at(receiver.port), "PACSNODE")
        found = probe(at(receiver.port), "PACSNODE")
    assert (found.echo_status, found.takes_reports, found.takes_segmentations) == (0, False, False)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0x0000, None), (0xB000, None), (0xB006, None), (0xB007, None), (0x0107, None),
        (0x0111, None),
        (0xA700, PeerFailed), (0xA7FF, PeerFailed), (0x0110, PeerFailed),
        (0x0213, PeerFailed), (0xFE00, PeerFailed), (0x9999, PeerFailed),
        (0xA900, PeerRefused), (0xC000, PeerRefused), (0xC1FF, PeerRefused),
        (0x0122, PeerRefused), (0x0124, PeerRefused), (0x0117, PeerRefused),
    ],
)  # fmt: skip
def test_each_status_is_stored_tried_again_or_parked(
    status: int, error: type[Exception] | None, report_3d: Path
) -> None:
    with Receiver(answer=lambda arrived: status) as receiver:
        if error is None:
            send([report_3d], at(receiver.port), "PACSNODE")
        else:
            with pytest.raises(error, match=f"0x{status:04X}") as raised:
                send([report_3d], at(receiver.port), "PACSNODE")
            assert getattr(raised.value, "fix", None) or error is PeerFailed


def test_after_a_failure_the_next_try_sends_everything(segmentation: Path, report_3d: Path) -> None:
    answers = iter([0x0000, 0xA700, 0x0000, 0x0000])
    with Receiver(answer=lambda arrived: next(answers)) as receiver:
        with pytest.raises(PeerFailed, match="0xA700"):
            send([segmentation, report_3d], at(receiver.port), "PACSNODE")
        send([segmentation, report_3d], at(receiver.port), "PACSNODE")
    assert len(receiver.arrived) == 4


def test_an_unknown_calling_title_names_the_title_to_register(report_3d: Path) -> None:
    with (
        Receiver(callers=["SOMEONE"]) as receiver,
        pytest.raises(PeerRefused, match="does not recognise our AE title PACSNODE") as refusal,
    ):
        send([report_3d], at(receiver.port), "PACSNODE")
    assert "Register PACSNODE" in refusal.value.fix


def test_a_wrong_called_title_names_the_setting(report_3d: Path) -> None:
    with (
        Receiver(require_called=True) as receiver,
        pytest.raises(PeerRefused, match=r"is not called WRONG\{") as refusal,
    ):
        send([report_3d], at(receiver.port, "WRONG{"), "PACSNODE")
    assert "ae_title" in refusal.value.fix


def rejecting(result: int, source: int, reason: int) -> bytes:
    return pdu(3, bytes([0, result, source, reason]))


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([("close", None)], PeerFailed),
        ([("recv", None), ("close", None)], PeerFailed),
        ([("recv", None), ("send", pdu(7, bytes(4)))], PeerFailed),
        ([("recv", None), ("send", b"HTTP/1.1 400 Bad Request\r\n\r\n")], PeerFailed),
        ([("recv", None), ("wait", 60)], PeerFailed),
        ([("recv", None), ("send", rejecting(2, 3, 2))], PeerFailed),
        ([("recv", None), ("send", rejecting(1, 3, 1))], PeerFailed),
        ([("recv", None), ("send", rejecting(2, 1, 1))], PeerFailed),
        ([("recv", None), ("send", rejecting(1, 1, 1))], PeerRefused),
        ([("recv", None), ("send", rejecting(1, 1, 3))], PeerRefused),
        ([("recv", None), ("send", rejecting(1, 1, 7))], PeerRefused),
        ([("recv", None), ("send", rejecting(1, 2, 2))], PeerRefused),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)  # fmt: skip
def test_associations_that_fail_are_tried_again_unless_rejected_for_good(
    script: list[tuple[str, object]],
    error: type[Exception],
    report_3d: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dimse_peer, "ACSE_TIMEOUT_S", 1.0)
    with scripted_peer(*script) as port, pytest.raises(error):
        send([report_3d], at(port), "PACSNODE")


ACCEPTED = ("send", associate_acceptance({1: ExplicitVRLittleEndian}))


@pytest.mark.parametrize(
    "script",
    [
        [("recv", None), ("send", b"\x02\x00\x00"), ("wait", 30)],
        [("recv", None), ACCEPTED, ("send", b"\x04\x00\x00"), ("wait", 30)],
        [("recv", None), ACCEPTED, ("recv", None), ("close", None)],
        [("recv", None), ACCEPTED, ("wait", 30)],
    ],
    ids=["half an acceptance", "half a response", "gone in mid-object", "silence"],
)
def test_a_peer_that_stops_in_mid_word_never_holds_a_delivery_for_ever(
    script: list[tuple[str, object]], report_3d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for timeout in ("ACSE_TIMEOUT_S", "DIMSE_TIMEOUT_S", "STALL_TIMEOUT_S"):
        monkeypatch.setattr(dimse_peer, timeout, 1.0)
    began = time.monotonic()
    with scripted_peer(*script) as port, pytest.raises(PeerFailed):
        send([report_3d], at(port), "PACSNODE")
    assert time.monotonic() - began < 10


def test_nobody_there_is_tried_again(report_3d: Path) -> None:
    with pytest.raises(PeerFailed):
        send([report_3d], at(free_port()), "PACSNODE")
    with pytest.raises(PeerFailed, match="does not resolve"):
        send([report_3d], at(104, host="no-such-host.invalid"), "PACSNODE")


def test_a_peer_that_dies_or_hangs_in_mid_object_is_tried_again(
    report_3d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimse_peer, "DIMSE_TIMEOUT_S", 1.0)

    def hang(arrived: Arrived) -> int:
        time.sleep(2.5)
        return 0

    with Receiver(answer=hang) as receiver, pytest.raises(PeerFailed, match="no answer"):
        send([report_3d], at(receiver.port), "PACSNODE")


def test_a_damaged_file_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"not DICOM" * 100)
    with pytest.raises(PeerRefused, match=r"x\.dcm is not a Part 10 file"):
        send([tmp_path / "x.dcm"], at(free_port()), "PACSNODE")
    with pytest.raises(PeerFailed, match=r"Cannot read absent\.dcm"):
        send([tmp_path / "absent.dcm"], at(free_port()), "PACSNODE")
