"""kill -9 of the listener while objects stream in: whatever was acknowledged is there."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import dcmread

from storage.archive import Archive
from tests.conftest import ROOT
from tests.peers import encoded_dataset, wait_until
from tests.wire.sender import Sender

pytestmark = pytest.mark.wire

CT = "1.2.840.10008.5.1.4.1.1.2"
KILLS = 10
SENDERS = 4


@contextmanager
def listener(root: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.wire.killed_listener", str(root)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Objects:
    """One CT slice under ever new SOP Instance UIDs of the same length."""

    def __init__(self, path: Path) -> None:
        self._uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        self._encoded, self.syntax = encoded_dataset(path)
        self._lock = threading.Lock()
        self._count = 0

    def next(self) -> tuple[str, bytes]:
        with self._lock:
            self._count += 1
            number = str(self._count)
        instance = self._uid[: -len(number) - 1] + "9" + number
        return instance, self._encoded.replace(self._uid.encode(), instance.encode())


def send_until_dead(port: int, objects: Objects, acknowledged: dict[str, bytes]) -> None:
    with suppress(OSError, AssertionError):
        sender = Sender(port, {1: (CT, [objects.syntax])}, timeout_s=10)
        try:
            while True:
                instance, encoded = objects.next()
                if sender.store(encoded, CT, instance) == 0:
                    acknowledged[instance] = encoded
        finally:
            sender.connection.close()


def test_every_acknowledged_object_survives_ten_kills(data: Path, tmp_path: Path) -> None:
    objects = Objects(data / "quadra_headers/quadra_ct/0.dcm")
    root = tmp_path / "archive"
    acknowledged: dict[str, bytes] = {}
    chosen = random.Random(99)
    for _ in range(KILLS):
        with listener(root) as (process, port):
            threads = [
                threading.Thread(target=send_until_dead, args=(port, objects, acknowledged))
                for _ in range(SENDERS)
            ]
            for thread in threads:
                thread.start()
            wanted = len(acknowledged) + chosen.randrange(25)
            wait_until(lambda: len(acknowledged) >= wanted, within_s=30, what="acknowledgements")  # noqa: B023
            time.sleep(chosen.uniform(0, 0.02))
            process.kill()
            for thread in threads:
                thread.join()
    assert len(acknowledged) > 5 * KILLS
    with Archive.open(root) as archive:
        lost = [uid for uid in acknowledged if archive.instance(uid) is None]
        assert lost == []
        for uid, encoded in acknowledged.items():
            kept = archive.instance(uid)
            assert kept is not None
            assert encoded_dataset(kept.path)[0] == encoded
        # nothing partial is visible: every file holds a whole object of the catalog
        files = list((root / "objects").rglob("*.dcm"))
        assert archive.counts()["kept"] == len(files)
        assert {len(encoded_dataset(path)[0]) for path in files} == {
            len(encoded) for encoded in acknowledged.values()
        }
