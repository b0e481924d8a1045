"""A listener with a real archive behind it, and what it logs."""

import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage

from pacsnode import log
from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive
from tests.makers import save
from tests.wire.node import Node


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


@pytest.fixture
def node(archive: Archive) -> Iterator[Node]:
    """A listener with the default settings, on a port of its own."""
    listener = Listener(archive, Listen(port=0))
    listener.start()
    yield Node(archive, listener.address[1])
    listener.stop()


@pytest.fixture
def report_3d(data: Path, tmp_path: Path) -> Path:
    """A real SR under the class our reports have."""
    dataset = dcmread(data / "sr_other_tools" / "highdicom_sr_document.dcm")
    dataset.SOPClassUID = Comprehensive3DSRStorage
    dataset.file_meta.MediaStorageSOPClassUID = Comprehensive3DSRStorage
    (path,) = save(dataset, tmp_path / "report")
    return path


@pytest.fixture
def segmentation(data: Path) -> Path:
    """A real SEG."""
    return data / "seg_variety" / "seg_image_ct_binary.dcm"


@pytest.fixture
def written_log() -> Iterator[io.StringIO]:
    root, own = logging.getLogger(), logging.getLogger("pacsnode")
    before = (list(root.handlers), root.level, own.level, threading.excepthook)
    stream = io.StringIO()
    log.set_up("debug", stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], threading.excepthook = before[0], before[3]
    root.setLevel(before[1])
    own.setLevel(before[2])
