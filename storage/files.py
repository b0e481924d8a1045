"""Objects as files: Part 10 bytes named by digest, durable before anyone is told."""

import contextlib
import errno
import itertools
import json
import os
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from storage.errors import DiskFault, StorageFull, Unkeepable
from storage.header.part10 import Part10, open_part10
from storage.records import Standing

IMPLEMENTATION_CLASS_UID: Final = "2.25.49996445528040155505695054028447307252"
IMPLEMENTATION_VERSION_NAME: Final = "PACSNODE"
# PS3.10 7.1: who wrote (0002,0102), so that nobody else reads meaning into it
PRIVATE_INFORMATION_CREATOR_UID: Final = "2.25.21155599302556820948396008961149114268"
PRIVATE_INFORMATION: Final = 0x00020102

FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
STALE_S: Final = 3600.0
NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Receipt:
    """What only the receiver knows of an object; written into the file, for a rebuilt index."""

    received_at: datetime  # aware, UTC
    calling_ae: str | None
    standing: Standing
    remark: str | None


class Objects:
    """`objects/ab/<sha256>.dcm` under a root; everything here is 0600 and never overwritten by
    other bytes, for the name is the digest of the dataset."""

    def __init__(self, root: Path, reserve_bytes: int = 0) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        self._incoming = root / "incoming"
        self._numbers = itertools.count()

    def prepare(self) -> None:
        """Make the folders; an archive that only reads in place has none."""
        objects = self.root / "objects"
        with disk_errors():
            # all 256 at once, durable: no object has to wait for a new folder
            missing = [one for one in self._folders() if not one.is_dir()]
            for folder in (objects, self._incoming, *missing):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if missing:
                for folder in (objects, self.root, self.root.parent):
                    sync_folder(folder)

    def path_of(self, sha256: str) -> Path:
        """Where the object of that digest lies, relative to the root."""
        return Path("objects", sha256[:2], f"{sha256}.dcm")

    def write(self, sha256: str, meta: bytes, dataset: bytes) -> Path:
        """Make the object durable: file, name and folder. Gives its path relative to the root.

        Raises StorageFull (disk, quota or reserve), or DiskFault; nothing partial is ever visible.
        """
        relative = self.path_of(sha256)
        with disk_errors():
            self.check_space(len(dataset))
            temporary = self._incoming / f"{os.getpid()}-{next(self._numbers)}.part"
            try:
                _write_new(temporary, (meta, dataset))
                temporary.rename(self.root / relative)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            sync_folder(self.root / relative.parent)
        return relative

    def check_space(self, size_bytes: int) -> None:
        """Raises StorageFull where the object would eat into the reserve."""
        disk = os.statvfs(self.root)
        if disk.f_bavail * disk.f_frsize < self.reserve_bytes + size_bytes:
            raise StorageFull(f"Less than the reserve of {self.reserve_bytes} bytes would be free")

    def probe(self) -> None:
        """Write a byte where objects are made, durably, and take it away."""
        self.check_space(1)
        piece = self._incoming / f"{os.getpid()}-{next(self._numbers)}.part"
        try:
            _write_new(piece, (b"\0",))
        finally:
            piece.unlink(missing_ok=True)

    def remove(self, relative: Path) -> None:
        """Take away a file that no row names."""
        with disk_errors():
            (self.root / relative).unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """The digest of every object that lies here."""
        with disk_errors():
            for folder in self._folders():
                for path in folder.iterdir():
                    if path.suffix == ".dcm" and len(path.stem) == 64:
                        yield path.stem

    def _folders(self) -> Iterator[Path]:
        return (self.root / "objects" / f"{number:02x}" for number in range(256))

    def sweep(self, *, alone: bool) -> int:
        """Remove what interrupted writes left; only old pieces while others may be writing."""
        removed = 0
        now = time.time()
        for piece in self._incoming.glob("*.part"):
            with disk_errors(), contextlib.suppress(FileNotFoundError):
                if alone or now - piece.stat().st_mtime > STALE_S:
                    piece.unlink()
                    removed += 1
        return removed


def part10_header(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    receipt: Receipt | None = None,
) -> bytes:
    """Preamble of zeros, DICM, and group 0002 of ours (PS3.10 section 7.1).

    Without a receipt it is for others: when and from whom the object came stays here.
    """
    elements = [
        _element(0x0001, b"OB", b"\x00\x01"),
        _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
        _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "),
    ]
    if receipt is not None:
        elements += _of_receipt(receipt)
    group = b"".join(elements)
    length = _element(0x0000, b"UL", struct.pack("<L", len(group)))
    return bytes(128) + b"DICM" + length + group


def _of_receipt(receipt: Receipt) -> list[bytes]:
    private = json.dumps(
        {
            "received_at": receipt.received_at.isoformat(),
            "standing": receipt.standing,
            "remark": receipt.remark,
        }
    ).encode("ascii")
    elements = []
    if receipt.calling_ae:
        sender = receipt.calling_ae.encode("ascii", "replace")[:16]
        elements.append(_element(0x0016, b"AE", sender, b" "))
    elements.append(_element(0x0100, b"UI", PRIVATE_INFORMATION_CREATOR_UID.encode("ascii")))
    elements.append(_element(0x0102, b"OB", private))
    return elements


def read_receipt(encoded: bytes) -> Receipt | None:
    """What `part10_header` wrote down; None for a file that is not ours."""
    meta = open_part10(encoded).meta
    creator = meta.get(0x00020100, b"").rstrip(b"\0").decode("ascii", "replace")
    if creator != PRIVATE_INFORMATION_CREATOR_UID:
        return None
    sender = meta.get(0x00020016, b"").decode("ascii", "replace").strip()
    try:
        told = json.loads(meta.get(PRIVATE_INFORMATION, b"").rstrip(b"\0"))
        return Receipt(
            received_at=datetime.fromisoformat(told["received_at"]),
            calling_ae=sender or None,
            standing=told["standing"],
            remark=told["remark"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def read_part10(path: Path) -> tuple[bytes, Part10]:
    """A whole file, and where its dataset begins. Raises Unkeepable, or DiskFault."""
    with disk_errors():
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting for ever
            raise Unkeepable("Not a regular file")
        encoded = path.read_bytes()
    return encoded, open_part10(encoded)


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """OSError in our words; the path is left out, for it may be anyone's."""
    try:
        yield
    except OSError as exc:
        if exc.errno in FULL:
            raise StorageFull(f"No space for the object: {exc.strerror}") from exc
        raise DiskFault(f"The disk failed: {exc.strerror}") from exc


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, parts: Sequence[bytes]) -> None:
    descriptor = os.open(path, NEW_FILE, 0o600)
    try:
        _write_all(descriptor, parts)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, parts: Sequence[bytes]) -> None:
    left = [memoryview(part) for part in parts]
    while left:
        written = os.writev(descriptor, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def _element(number: int, vr: bytes, value: bytes, padding: bytes = b"\0") -> bytes:
    if len(value) % 2:
        value += padding
    if vr == b"OB":
        return struct.pack("<HH2sHL", 0x0002, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value
