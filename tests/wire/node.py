"""What tests ask of a listener under test: its port, and what its archive truly holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread

from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive
from tests.peers import encoded_dataset
from tests.wire.sender import Sender


@dataclass
class Node:
    archive: Archive
    port: int

    def on_disk(self) -> set[bytes]:
        """The dataset bytes of every file under the archive's objects."""
        files = (self.archive.root / "objects").rglob("*.dcm")
        return {encoded_dataset(path)[0] for path in files}

    def sender(self, path: Path, **options: Any) -> Sender:
        """A raw association that can store the object in `path` as it is, in context 1."""
        sop_class, _, syntax = identity(path)
        return Sender(self.port, {1: (sop_class, [syntax])}, **options)


@contextmanager
def listening(archive: Any, **settings: Any) -> Iterator[Node]:
    """A listener with these settings of its section."""
    listener = Listener(archive, Listen(**({"port": 0} | settings)))
    listener.start()
    try:
        yield Node(archive, listener.address[1])
    finally:
        listener.stop(grace_s=1)


def identity(path: Path) -> tuple[str, str, str]:
    """Class, instance and transfer syntax of a well-formed file."""
    dataset = dcmread(path, stop_before_pixels=True)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    return str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax
