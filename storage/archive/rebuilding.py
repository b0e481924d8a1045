"""Reindex: the index made anew from the files alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.archive.adopting import adopt_orphans
from storage.archive.door import INDEX_FILE
from storage.archive.keeping import Keeper
from storage.archive.patients import PatientDigests
from storage.archive.sharing import Share
from storage.catalog import Catalog, Journal
from storage.errors import IndexFault
from storage.files import Objects, disk_errors, sync_folder
from storage.records import Decision
from storage.schema import open_database

NEW_INDEX: Final = "index.rebuilding.sqlite"
OLD_INDEX: Final = "index.before.sqlite"


def reindex(root: Path) -> dict[str, int]:
    """Rebuild the index of an archive; the old one stays beside it. Gives counts.

    The journal of decisions is carried over where the old index can still be read; where not, it
    begins empty, and assembly decides afresh. Raises IndexFault where the archive is in use.
    """
    root = Path(root).absolute()
    share = Share(root)
    share.take_alone()
    try:
        lines = _journal_of(root / INDEX_FILE)
        counted = _build(root, lines)
        _put_in_place(root)
        return counted
    finally:
        share.leave()


def _journal_of(index: Path) -> tuple[Decision, ...]:
    if not index.is_file():
        return ()
    try:
        database = open_database(index)
        try:
            return Journal(database).all()
        finally:
            database.dispose()
    except IndexFault:
        return ()


def _build(root: Path, lines: tuple[Decision, ...]) -> dict[str, int]:
    with disk_errors():
        for piece in _pieces(root, NEW_INDEX):
            piece.unlink(missing_ok=True)
    objects = Objects(root)
    objects.prepare()
    # nobody uses it before it is whole, so its commits need not wait for the disk
    database = open_database(root / NEW_INDEX, synchronous="NORMAL")
    try:
        catalog = Catalog(database, root)
        Journal(database).carry_over(lines)
        patients = PatientDigests.of(root, database)
        adoption = adopt_orphans(objects, catalog, Keeper(root, catalog, objects, patients))
        return catalog.counts() | {"unreadable": adoption.unreadable, "decisions": len(lines)}
    finally:
        database.dispose()


def _put_in_place(root: Path) -> None:
    # closing the last connection folded the log into the file; else rows would be left behind
    if any(piece.exists() for piece in list(_pieces(root, NEW_INDEX))[1:]):
        raise IndexFault("The rebuilt index could not be closed; try again")
    with disk_errors():
        for old, kept in zip(_pieces(root, INDEX_FILE), _pieces(root, OLD_INDEX), strict=True):
            kept.unlink(missing_ok=True)
            if old.exists():
                old.rename(kept)
        (root / NEW_INDEX).rename(root / INDEX_FILE)
        sync_folder(root)


def _pieces(root: Path, name: str) -> Iterator[Path]:
    """The database and what SQLite lays beside it."""
    return (root / f"{name}{suffix}" for suffix in ("", "-wal", "-shm"))
