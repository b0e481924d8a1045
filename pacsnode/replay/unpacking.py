"""Archives unpacked without trusting them: no member chooses its path, size or number."""

import errno
import fcntl
import hashlib
import json
import lzma
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

Kind = Literal["zip", "tar"]

LISTING = "members.json"
LARGEST_MEMBER = 8 << 30  # bytes
LARGEST_TOTAL = 256 << 30
MOST_MEMBERS = 2_000_000
LARGEST_RATIO = 300  # of unpacked to packed bytes, above RATIO_COUNTS_FROM
RATIO_COUNTS_FROM = 1 << 30
FREE_SPACE_LEFT = 1 << 30
PIECE = 1 << 20


class BadArchive(Exception):
    """An archive that cannot, or must not, be unpacked; says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file out of an archive: where it lies now, and what it was called there."""

    path: Path
    name: str


def kind_of_archive(path: Path) -> Kind | None:
    """What the first bytes say; an object with the DICM prefix is DICOM whatever precedes it."""
    with path.open("rb") as file:
        start = file.read(512)
    if start[128:132] == b"DICM":
        return None
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    packed = start.startswith((b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh"))
    stem = path.name.lower()
    tar_like = ".tar." in stem or stem.endswith((".tgz", ".txz", ".tbz2"))
    return "tar" if packed and tar_like else None


def unpack(archive: Path, kind: Kind, under: Path) -> Iterator[Member]:
    """Every regular file of an archive, unpacked once under `under` by running number.

    A second run finds them there, and so does a shard that comes to it at the same time. Raises
    BadArchive; OSError where the disk, not the archive, is at fault.
    """
    folder = under / _key(archive)
    listing = folder / LISTING
    if not listing.is_file():
        under.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not listing.is_file():
                _unpack_whole(archive, kind, folder)
    for number, name in enumerate(json.loads(listing.read_text("utf-8"))):
        yield Member(folder / f"{number:07d}", name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other shard unpacks to this folder: the disk need not hold it twice."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack_whole(archive: Path, kind: Kind, folder: Path) -> None:
    """Unpack into a folder of its own, which takes its name only when nothing is missing."""
    for left in folder.parent.glob(f"{folder.name}.*.part"):  # by a run that was killed
        shutil.rmtree(left)
    part = Path(tempfile.mkdtemp(".part", f"{folder.name}.", folder.parent))
    try:
        names = list(_unpack_all(archive, kind, part))
        (part / LISTING).write_text(json.dumps(names), "utf-8")
        _take_name(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take_name(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError as exc:
        # on a shared disk without locks another machine may have been first
        if not (folder / LISTING).is_file():
            raise BadArchive(f"{folder} is in the way and not whole: remove it") from exc


def _key(archive: Path) -> str:
    """The same for the same file as long as it is not changed."""
    state = archive.stat()
    text = f"{archive.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:24]


def _unpack_all(archive: Path, kind: Kind, folder: Path) -> Iterator[str]:
    total = 0
    packed = archive.stat().st_size
    open_members = _zip_members if kind == "zip" else _tar_members
    try:
        for number, (name, stream) in enumerate(open_members(archive)):
            if number >= MOST_MEMBERS:
                raise BadArchive(f"holds more than {MOST_MEMBERS} files")
            total = _copy(stream, folder / f"{number:07d}", total, packed)
            yield name
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
        NotImplementedError, RuntimeError,  # zipfile: unknown method; a password is needed
        ValueError, struct.error, OverflowError,  # names, fields and offsets that damage made
        OSError,
    ) as exc:  # fmt: skip
        # damage: gzip and bz2 give their OSError no number, zipfile seeks to before the start
        if isinstance(exc, OSError) and exc.errno not in (None, errno.EINVAL):
            raise  # the disk's
        raise BadArchive(f"is a damaged or locked {kind} archive ({type(exc).__name__})") from exc


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            if not entry.is_dir() and not _hidden(entry.filename):
                with opened.open(entry) as stream:
                    yield entry.filename, stream


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, "r|*") as opened:
        for entry in opened:
            # links and devices are not followed: only bytes that lie in the archive itself count
            if entry.isreg() and not _hidden(entry.name):
                stream = opened.extractfile(entry)
                if stream is not None:
                    yield entry.name, stream


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != "." for part in name.split("/"))


def _copy(stream: IO[bytes], path: Path, total: int, packed: int) -> int:
    """Copy what really comes out, not what the archive says would; gives the new total."""
    size = 0
    with path.open("xb") as target:
        while piece := stream.read(PIECE):
            size += len(piece)
            total += len(piece)
            _check(size, total, packed, path)
            target.write(piece)
    return total


def _check(size: int, total: int, packed: int, path: Path) -> None:
    if size > LARGEST_MEMBER or total > LARGEST_TOTAL:
        raise BadArchive("unpacks to more bytes than is allowed")
    if total > RATIO_COUNTS_FROM and total > LARGEST_RATIO * packed:
        raise BadArchive(f"unpacks to over {LARGEST_RATIO} times its size, as a zip bomb does")
    if shutil.disk_usage(path.parent).free < FREE_SPACE_LEFT:
        raise BadArchive("unpacked, it would fill the disk of the output folder")
