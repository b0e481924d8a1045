"""What a stranger on the wire can do: waste a little of our time, and nothing of anyone else's."""

import io
import os
import random
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from pydicom import dcmread

from pacsnode.intake.association import ACSE_TIMEOUT_S
from storage.archive import Archive
from tests.peers import LOOPBACK, echoscu, encoded_dataset, read_pdu, storescu, wait_until
from tests.wire.node import Node, identity, listening
from tests.wire.sender import (
    A_ABORT,
    VERIFICATION,
    Rejected,
    Sender,
    associate_request,
    pdu,
)

pytestmark = pytest.mark.wire

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
MIB = 1 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def pour(connection: socket.socket, total: int) -> int:
    """Send up to `total` zero bytes; gives how many the other side let us."""
    sent = 0
    block = bytes(1 << 16)
    with suppress(OSError):
        while sent < total:
            sent += connection.send(block)
    return sent


@pytest.mark.parametrize("when", ["before", "within"])
def test_a_pdu_of_200_mib_is_cut_at_its_header(node: Node, when: str) -> None:
    if when == "before":
        connection = socket.create_connection((LOOPBACK, node.port), 10)
        kind = 1
    else:
        connection = Sender(node.port).connection
        kind = 4
    before = resident_bytes()
    began = time.monotonic()
    with connection:
        connection.sendall(bytes([kind, 0]) + (200 * MIB).to_bytes(4, "big"))
        poured = pour(connection, 200 * MIB)
    assert poured < 16 * MIB
    assert time.monotonic() - began < 2
    assert resident_bytes() - before < 16 * MIB
    assert echoscu(node.port).returncode == 0


def test_a_request_too_large_to_decode_in_time_is_cut_at_its_header(node: Node) -> None:
    contexts = {1: (VERIFICATION, [IMPLICIT] * 2000)}
    body = associate_request(contexts, "BOMB", "PACSNODE")[6:] * 10
    began = time.monotonic()
    with socket.create_connection((LOOPBACK, node.port), 10) as connection:
        with suppress(OSError):
            connection.sendall(pdu(1, body))
        with suppress(ConnectionError):
            assert connection.recv(1) == b""
    assert time.monotonic() - began < 2


def test_an_object_beyond_the_limit_ends_its_association_alone(
    archive: Archive, data: Path
) -> None:
    path = data / "quadra_headers/quadra_ct/0.dcm"
    sop_class, instance, _ = identity(path)
    with listening(archive, maximum_object_mb=2) as node:
        neighbour = node.sender(path)
        before = resident_bytes()
        big = Sender(node.port, {1: (CT, [IMPLICIT])})
        with closing(big.connection), pytest.raises(OSError, match=r"reset|Broken pipe|closed"):
            big.store(bytes(64 * MIB), CT, "1.2.3")
        assert resident_bytes() - before < 100 * MIB  # 64 of them are the sender's own
        assert neighbour.store(encoded_dataset(path)[0], sop_class, instance) == 0
        neighbour.release()
        # the limit is for one object, not for an association
        with Sender(node.port, {1: (CT, [IMPLICIT])}) as many:
            for _ in range(4):
                assert many.store(bytes(MIB), CT, "1.2.3") == 0xC000


def test_idle_and_dripping_connections_leave_room_for_senders(archive: Archive) -> None:
    with listening(archive, maximum_associations=30, maximum_associations_per_address=15) as node:
        stop = threading.Event()
        idle = [idle_connection(node.port) for _ in range(100)]
        drips = [threading.Thread(target=drip, args=(node.port, stop)) for _ in range(20)]
        for thread in drips:
            thread.start()
        statuses = []
        for _ in range(100):
            with Sender(node.port) as sender:
                statuses.append(sender.echo())
        stop.set()
        for connection in idle:
            connection.close()
        for thread in drips:
            thread.join()
    assert statuses == [0] * 100


def test_port_probes_free_their_slots_at_once(archive: Archive) -> None:
    with listening(archive, maximum_associations_per_address=3) as node:
        for _ in range(30):
            socket.create_connection((LOOPBACK, node.port), 5).close()
            wait_until(lambda: answers(node.port), within_s=ACSE_TIMEOUT_S - 2, what="a free slot")


def answers(port: int) -> bool:
    try:
        with Sender(port) as sender:
            return sender.echo() == 0
    except OSError:
        return False


def idle_connection(port: int) -> socket.socket:
    connection = socket.socket()
    connection.bind(("127.0.0.2", 0))
    connection.settimeout(10)
    connection.connect((LOOPBACK, port))
    return connection


def drip(port: int, stop: threading.Event) -> None:
    """An A-ASSOCIATE-RQ, a byte at a time."""
    request = associate_request({1: (VERIFICATION, [IMPLICIT])}, "DRIP", "PACSNODE")
    with suppress(OSError), idle_connection(port) as connection:
        for byte in request:
            connection.send(bytes([byte]))
            if stop.wait(0.3):
                return


def test_a_dripped_request_has_a_deadline(node: Node) -> None:
    request = associate_request({1: (VERIFICATION, [IMPLICIT])}, "DRIP", "PACSNODE")
    began = time.monotonic()
    with socket.create_connection((LOOPBACK, node.port), 0.3) as connection:
        for byte in request:
            with suppress(TimeoutError):
                connection.send(bytes([byte]))
                if not connection.recv(1):
                    break
        else:
            pytest.fail("the whole request was waited for")
    assert ACSE_TIMEOUT_S - 1 < time.monotonic() - began < ACSE_TIMEOUT_S + 3


def test_a_silent_association_is_ended(archive: Archive) -> None:
    with listening(archive, network_timeout_s=0.5) as node:
        sender = Sender(node.port, timeout_s=10)
        began = time.monotonic()
        sender.connection.recv(1)
        assert time.monotonic() - began < 5
        sender.connection.close()
        halfway = Sender(node.port, {1: (CT, [IMPLICIT])}, timeout_s=10)
        halfway.connection.sendall(pdu(4, bytes(100))[:40])
        began = time.monotonic()
        with suppress(ConnectionError):
            halfway.connection.recv(1)
        assert time.monotonic() - began < 5
        halfway.connection.close()


def test_hundreds_of_damaged_streams_leave_the_listener_as_it_was(node: Node) -> None:
    chosen = random.Random(20261)
    whole = associate_request({1: (CT, [IMPLICIT])}, "FUZZ", "PACSNODE") + pdu(4, bytes(60))
    threads_before = threading.active_count()
    files_before = open_files()
    for attempt in range(300):
        stream = bytearray(whole)
        for _ in range(chosen.randrange(1, 8)):
            stream[chosen.randrange(len(stream))] = chosen.randrange(256)
        with (
            socket.create_connection((LOOPBACK, node.port), 10) as connection,
            suppress(OSError),
        ):
            connection.sendall(stream[: chosen.randrange(6, len(stream) + 1)])
        if attempt % 100 == 99:
            # connections that are not yet at their end may fill the share of this address
            wait_until(lambda: _echoes(node.port), within_s=15, what="an answer")
    wait_until(lambda: threading.active_count() <= threads_before, within_s=15, what="threads")
    assert open_files() <= files_before + 2


def _echoes(port: int) -> bool:
    try:
        with Sender(port) as sender:
            return sender.echo() == 0
    except ConnectionError:
        return False


# what the log says

CANARIES = ("CANARY^NAME", "CANARYID", "19990909", "CANARYACC", "CANARY STREET", "CANARY COMMENT")


def with_uid(encoded: bytes, before: str, after: str) -> bytes:
    """A dataset in which a UID is another text of the same length, padded with digits."""
    assert encoded.count(before.encode()) >= 1
    return encoded.replace(before.encode(), after.ljust(len(before), "1").encode())


# a command whose UID is a name is a warning to pydicom; in tests, warnings are errors
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_no_patient_reaches_the_log(
    written_log: io.StringIO, node: Node, data: Path, tmp_path: Path
) -> None:
    dataset = dcmread(data / "quadra_headers/quadra_ct/0.dcm")
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = CANARIES[:3]
    dataset.AccessionNumber, dataset.PatientAddress, dataset.PatientComments = CANARIES[3:]
    path = tmp_path / "canary.dcm"
    dataset.save_as(path)
    encoded, syntax = encoded_dataset(path)
    sop_class, instance, _ = identity(path)
    statuses = set()
    with Sender(node.port, {1: (sop_class, [syntax])}, calling="CALLER") as sender:
        statuses.add(sender.store(encoded, sop_class, instance))
        statuses.add(sender.store(encoded, sop_class, "1.2.3"))
        statuses.add(sender.store(encoded, sop_class, CANARIES[0]))
        for cut in range(200, len(encoded), len(encoded) // 20):
            statuses.add(sender.store(encoded[:cut], sop_class, instance))
        statuses.add(
            sender.store(encoded.replace(b"CANARY", b"\xff\xfe\x00\x1b[A"), sop_class, instance)
        )
        broken = encoded.replace(b"LO", b"US").replace(b"PN", b"DS")
        statuses.add(sender.store(broken, sop_class, instance))
        for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            named = with_uid(encoded, str(dataset[keyword].value), "CANARY^NAME.19990909")
            statuses.add(sender.store(named, sop_class, instance))
            statuses.add(sender.store(named, sop_class, "CANARYID.19990909"))
    sender = Sender(node.port, {1: (sop_class, [syntax])})
    with closing(sender.connection):
        sender.begin_store(encoded, "CANARY^NAME", instance)
        with suppress(ConnectionError):  # its answer to what it did not read
            assert read_pdu(sender.connection)[0] == A_ABORT
    assert storescu(node.port, [path]).returncode == 0
    with suppress(Rejected, OSError, AssertionError):
        Sender(node.port, calling="\x1b[31m\nFAKE")
    assert {0, 0xA900, 0xC000} <= statuses
    said = written_log.getvalue()
    assert "instance-kept" in said
    assert "instance-refused" in said
    assert [canary for canary in CANARIES if canary in said] == []
    assert all(line.isprintable() and line.isascii() for line in said.splitlines())
    assert "CANARY" not in str(sorted(node.archive.root.rglob("*")))
