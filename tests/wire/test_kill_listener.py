"""kill -9 of the listener while objects stream in: whatever was acknowledged is there."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
def listeners(root: Path) -> Iterator[Callable[[], tuple[int, int]]]:
    """A function that starts a listener and gives its process id and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.wire.killed_listener", str(root)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        said, says = process.stdin, process.stdout
        started: list[int] = []

        def start() -> tuple[int, int]:
            said.write("start\n")
            pid, port = says.readline().split()
            started.append(int(pid))
            return int(pid), int(port)

        try:
            yield start
        finally:
            for pid in started[-1:]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


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


def wait_for(acknowledged: dict[str, bytes], count: int) -> None:
    wait_until(lambda: len(acknowledged) >= count, within_s=30, what="acknowledgements")


def test_every_acknowledged_object_survives_ten_kills(data: Path, tmp_path: Path) -> None:
    objects = Objects(data / "quadra_headers/quadra_ct/0.dcm")
    root = tmp_path / "archive"
    acknowledged: dict[str, bytes] = {}
    chosen = random.Random(99)
    with listeners(root) as start:
        for _ in range(KILLS):
            pid, port = start()
            threads = [
                threading.Thread(target=send_until_dead, args=(port, objects, acknowledged))
                for _ in range(SENDERS)
            ]
            for thread in threads:
                thread.start()
            wait_for(acknowledged, len(acknowledged) + chosen.randrange(25))
            time.sleep(chosen.uniform(0, 0.02))
            os.kill(pid, signal.SIGKILL)
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
