"""A listener with a real archive behind it, and what it logs."""

import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode import log
from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive
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
