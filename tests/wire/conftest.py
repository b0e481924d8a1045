"""A listener with a real archive behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
