"""The two peers of the tour: a scanner that sends a study, and a PACS that receives the report."""

import os
import queue
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from pacsnode.delivery.cstore import VERIFICATION

LOOPBACK = "127.0.0.1"
ASSOCIATIONS = 4
SENDER, RECEIVER = "DEMO_SCANNER", "DEMO_PACS"


class NotSent(Exception):
    """The node did not take an object of the made study."""


@contextmanager
def receiving(folder: Path) -> "Iterator[tuple[int, queue.SimpleQueue[Path]]]":
    """A storage SCP on a free loopback port; gives the port, and each file as it arrives."""
    folder.mkdir(parents=True, exist_ok=True)
    arrived: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def on_store(event: evt.Event) -> int:
        path = folder / f"{len(list(folder.iterdir())) + 1:03d}.dcm"
        path.write_bytes(event.encoded_dataset())
        arrived.put(path)
        return 0x0000

    entity = AE(ae_title=RECEIVER)
    for sop_class in (VERIFICATION, Comprehensive3DSRStorage, SegmentationStorage):
        entity.add_supported_context(sop_class)
    server = entity.start_server(
        (LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)]
    )
    assert server is not None  # noqa: S101 not blocking: start_server gives it back
    try:
        yield server.server_address[1], arrived
    finally:
        server.shutdown()


def send_study(files: Sequence[Path], address: tuple[str, int], ae_title: str) -> str:
    """Send all files, shuffled, over several associations at a time; gives the sender's name.

    DCMTK's storescu where it is installed, else pynetdicom. Raises NotSent.
    """
    shuffled = list(files)
    random.Random(1).shuffle(shuffled)  # noqa: S311 an order, not a secret
    shares = [shuffled[start::ASSOCIATIONS] for start in range(ASSOCIATIONS)]
    program = dcmtk_storescu()
    with ThreadPoolExecutor(ASSOCIATIONS) as pool:
        if program is not None:
            list(pool.map(lambda share: _dcmtk(program, share, address, ae_title), shares))
        else:
            list(pool.map(lambda share: _pynetdicom(share, address, ae_title), shares))
    return "storescu" if program is not None else "pynetdicom"


def dcmtk_storescu() -> str | None:
    """DCMTK's storescu, not the program of that name that pynetdicom puts into its environment."""
    for folder in os.get_exec_path():
        program = shutil.which("storescu", path=folder)
        if program is None:
            continue
        answer = subprocess.run(  # noqa: S603 found by its name, asked for its version
            [program, "--version"], capture_output=True, text=True, errors="replace", check=False
        )
        if "dcmtk" in answer.stdout:
            return program
    return None


def _dcmtk(program: str, files: Sequence[Path], address: tuple[str, int], ae_title: str) -> None:
    command = [program, "-aet", SENDER, "-aec", ae_title, "-R", address[0], str(address[1])]
    sent = subprocess.run(  # noqa: S603 a fixed program, paths of our own
        [*command, *map(str, files)],
        capture_output=True, text=True, errors="replace", check=False,
        env=os.environ | {"TCP_NODELAY": "1"},
    )  # fmt: skip
    if sent.returncode != 0:
        raise NotSent(f"storescu ended with {sent.returncode}: {sent.stderr.strip()[-300:]}")


def _pynetdicom(files: Sequence[Path], address: tuple[str, int], ae_title: str) -> None:
    datasets = [dcmread(path) for path in files]
    classes = sorted({dataset.SOPClassUID for dataset in datasets})
    contexts = [build_context(sop_class, ExplicitVRLittleEndian) for sop_class in classes]
    association = AE(ae_title=SENDER).associate(*address, contexts, ae_title=ae_title)
    if not association.is_established:
        raise NotSent(f"the node at {address[0]}:{address[1]} opened no association")
    try:
        for dataset in datasets:
            status = association.send_c_store(dataset)
            if not status or status.Status != 0x0000:
                raise NotSent(f"the node answered {status!r} to {dataset.SOPInstanceUID}")
    finally:
        association.release()
