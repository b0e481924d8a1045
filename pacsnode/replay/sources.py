"""The files that the inputs of a replay come down to."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from pacsnode.replay.unpacking import BadArchive, kind_of_archive, unpack


@dataclass(frozen=True, slots=True)
class Source:
    """One file that may be a DICOM object: where it lies, and what a person calls it."""

    path: Path
    origin: str  # the path, or ARCHIVE!MEMBER


# not-dicom: a DICOMDIR whose files are found without it; unreadable: no object that can be kept;
# hidden, linked-folder: not looked into;
# bad-archive, bad-path, disk-fault: there may be objects in it, and none of them was seen
Kind = Literal[
    "not-dicom", "unreadable", "hidden", "linked-folder", "bad-archive", "bad-path", "disk-fault"
]  # fmt: skip
FAULTS: Final[frozenset[Kind]] = frozenset({"bad-archive", "bad-path", "disk-fault"})


@dataclass(frozen=True, slots=True)
class NotRead:
    """Something among the inputs that is no DICOM object or cannot be read, and why."""

    origin: str
    kind: Kind
    reason: str


def files_of(inputs: Sequence[Path], out: Path) -> Iterator[Source | NotRead]:
    """Every file that `inputs` name or hold, in a stable order; archives are unpacked under `out`.

    Nothing in the inputs is changed. What is hidden and links to folders are named, not read; `out`
    itself is passed over.
    """
    seen: set[Path] = set()
    for given in inputs:
        for found in _files_under(given, out.resolve()):
            origin = _in_utf_8(found.origin)
            if isinstance(found, NotRead):
                yield replace(found, origin=origin)
            elif found.path in seen:
                continue
            elif str(found.path) != _in_utf_8(str(found.path)):
                yield NotRead(origin, "bad-path", "has a path that is not UTF-8: rename it")
            else:
                seen.add(found.path)
                yield Source(found.path, origin)


def _in_utf_8(path: str) -> str:
    """A path that index, tables and terminals can hold: bytes that are no text are escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _files_under(given: Path, out: Path) -> Iterator[Source | NotRead]:
    try:
        is_folder = given.is_dir()
    except OSError as exc:
        yield _disk_fault(given, exc)
        return
    if is_folder:
        for path in _walk(given, out):
            if isinstance(path, NotRead):
                yield path
            elif path.name.upper() == "DICOMDIR":
                yield NotRead(
                    str(path), "not-dicom", "a directory of files, which are read themselves"
                )
            else:
                yield from _file(path, out)
    elif given.name.upper() == "DICOMDIR":
        yield from _listed_in(given)
    else:
        yield from _file(given, out)


def _walk(folder: Path, out: Path) -> Iterator[Path | NotRead]:
    not_listed: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=not_listed.append):
        place = Path(here)
        inside = [place / name for name in sorted(folders) if (place / name).resolve() != out]
        apart = [one for each in inside if (one := _not_entered(each)) is not None]
        yield from apart
        left = {one.origin for one in apart}
        folders[:] = [each.name for each in inside if str(each) not in left]
        for path in (place / name for name in sorted(names)):
            yield NotRead(str(path), "hidden", _HIDDEN) if path.name.startswith(".") else path
    for error in not_listed:
        yield _disk_fault(error.filename or folder, error)


_HIDDEN = "has a name that begins with a dot"


def _not_entered(folder: Path) -> NotRead | None:
    if folder.name.startswith("."):
        return NotRead(str(folder), "hidden", _HIDDEN)
    try:
        is_link = folder.is_symlink()
    except OSError as exc:
        return _disk_fault(folder, exc)
    if is_link:  # it may lead anywhere, back to where it lies too
        return NotRead(
            str(folder), "linked-folder", "is a link to a folder: name the folder itself"
        )
    return None


def _file(path: Path, out: Path) -> Iterator[Source | NotRead]:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            yield NotRead(str(path), "unreadable", "is no regular file, or a link to nothing")
            return
        kind = kind_of_archive(path)
        if kind is None:
            yield Source(path.resolve(), str(path))
            return
        for member in unpack(path, kind, out / ".extracted"):
            yield Source(member.path, f"{path}!{member.name}")
    except BadArchive as exc:
        yield NotRead(str(path), "bad-archive", str(exc))
    except OSError as exc:
        yield _disk_fault(path, exc)


def _disk_fault(path: Path | str, error: OSError) -> NotRead:
    return NotRead(str(path), "disk-fault", f"cannot be read: {error.strerror}")


def _listed_in(dicomdir: Path) -> Iterator[Source | NotRead]:
    """The files that a DICOMDIR refers to (PS3.3 F.3.2.2, ReferencedFileID), inside its folder."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            directory = dcmread(dicomdir, specific_tags=["DirectoryRecordSequence"])
        if directory.file_meta.MediaStorageSOPClassUID != MediaStorageDirectoryStorage:
            raise InvalidDicomError
        records = list(directory.get("DirectoryRecordSequence", ()))
    except (InvalidDicomError, AttributeError, OSError, ValueError, NotImplementedError):
        yield NotRead(str(dicomdir), "unreadable", "is called DICOMDIR and is none")
        return
    root = dicomdir.parent.resolve()
    for record in records:
        stated = record.get("ReferencedFileID")
        if not stated:
            continue
        parts = [stated] if isinstance(stated, str) else list(stated)
        path = root.joinpath(*parts).resolve()
        if not path.is_relative_to(root):
            yield NotRead(str(dicomdir), "unreadable", "refers to a file outside its own folder")
            continue
        try:
            is_file = path.is_file()
        except OSError as exc:
            yield _disk_fault(path, exc)
            continue
        if is_file:
            yield Source(path, str(path))
        else:
            yield NotRead(str(path), "unreadable", "is named in the DICOMDIR and is not there")
