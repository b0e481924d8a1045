"""Archive: what is kept, what is known of it, and what was decided about it."""

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Engine

from storage.archive.adopting import adopt_orphans
from storage.archive.keeping import Keeper
from storage.archive.patients import PatientDigests
from storage.archive.sharing import Share
from storage.catalog import Catalog, Journal, Overview, Searches
from storage.catalog.searching import Found, Search
from storage.errors import StorageError
from storage.files import Objects, disk_errors, read_part10
from storage.header import MASKS, Header
from storage.records import Decision, Instance, Kept, Reference, Series, Study, StudyRow
from storage.schema import open_database

INDEX_FILE: Final = "index.sqlite"
STRUCTURED_REPORTS: Final = "1.2.840.10008.5.1.4.1.1.88."


class Archive:
    """Open it with `Archive.open` or `Archive.open_in_place`; threads may share one."""

    def __init__(
        self, root: Path, database: Engine, objects: Objects, share: Share, in_place: bool
    ) -> None:
        self.root = root
        self._database = database
        self._share = share
        self._in_place = in_place
        self._objects = objects
        self._catalog = Catalog(database, root, answers_queries=not in_place)
        self._journal = Journal(database)
        self._searches = Searches(database)
        self.overview = Overview(database)
        patients = PatientDigests.of(root, database)
        self._keeper = Keeper(root, self._catalog, objects, patients)

    @classmethod
    def open(cls, root: Path, reserve_bytes: int = 0, *, check: bool = True) -> Self:
        """An archive whose files lie under `root`, made where absent.

        `check` looks for damage, sweeps up after crashes and adopts files that the index lacks;
        commands that only look may leave it out. Raises IndexFault, StorageFull or DiskFault.
        """
        root = Path(root).absolute()
        share = Share(root)
        database: Engine | None = None
        try:
            objects = Objects(root, reserve_bytes)
            objects.prepare()
            if check:
                objects.sweep(alone=share.try_alone())
            share.join()
            database = open_database(root / INDEX_FILE, check=check)
            archive = cls(root, database, objects, share, in_place=False)
            if check:
                adopt_orphans(objects, archive._catalog, archive._keeper)
        except BaseException:
            if database is not None:
                database.dispose()
            share.leave()
            raise
        return archive

    @classmethod
    def open_in_place(cls, index_root: Path) -> Self:
        """An index of files that stay where they are; only the index lies in `index_root`."""
        root = Path(index_root).absolute()
        share = Share(root)
        database: Engine | None = None
        try:
            share.join()
            # a power cut may cost the last rows: they are read from the files again
            database = open_database(root / INDEX_FILE, synchronous="NORMAL")
            return cls(root, database, Objects(root), share, in_place=True)
        except BaseException:
            if database is not None:
                database.dispose()
            share.leave()
            raise

    def close(self) -> None:
        """Let go of files and locks; harmless when repeated."""
        self._database.dispose()
        self._share.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def keep(
        self,
        encoded: bytes,
        *,
        transfer_syntax_uid: str,
        calling_ae: str | None = None,
        expected: Reference | None = None,
        judge: Callable[[Header], None] = lambda _: None,
    ) -> Kept:
        """Make an encoded dataset durable, byte for byte; every outcome that returns is durable.

        `judge` sees the header before anything is kept, and may raise. Raises what it does, and
        Unkeepable, Mismatch, StorageFull, DiskFault or IndexFault; then nothing counts as received.
        """
        if self._in_place:
            raise StorageError("This archive reads files in place and keeps none")
        return self._keeper.keep(encoded, transfer_syntax_uid, calling_ae, expected, judge)

    def check_space(self, size_bytes: int) -> None:
        """Raises StorageFull where so much more would eat into the reserve, or DiskFault."""
        with disk_errors():
            self._objects.check_space(size_bytes)

    def check_writable(self) -> None:
        """Write a small file and take it away. Raises StorageFull or DiskFault."""
        with disk_errors():
            self._objects.probe()

    def keep_file(self, path: Path, calling_ae: str | None = None) -> Kept:
        """Keep a copy of a DICOM file. Raises as `keep` does."""
        encoded, part10 = read_part10(path)
        return self.keep(
            encoded[part10.dataset_start :],
            transfer_syntax_uid=part10.transfer_syntax_uid,
            calling_ae=calling_ae,
        )

    def register(self, path: Path) -> Kept:
        """Know a DICOM file that stays where it is, with or without a preamble.

        Raises Unkeepable, DiskFault or IndexFault.
        """
        if not self._in_place:
            raise StorageError("This archive keeps its own files: use keep_file")
        return self._keeper.register(Path(path).absolute())

    def instance(self, sop_instance_uid: str) -> Instance | None:
        """The kept object of that UID: the first that came."""
        return self._catalog.first_of(sop_instance_uid)

    def study(self, study_instance_uid: str) -> Study | None:
        """Everything kept of a study; conflicting objects are not part of it."""
        return self._catalog.study(study_instance_uid)

    def series(self, study_instance_uid: str, series_instance_uid: str) -> tuple[Instance, ...]:
        """The kept objects of one series of a study, in the order of their InstanceNumber."""
        return self._catalog.of_series(study_instance_uid, series_instance_uid)

    def studies(self) -> tuple[StudyRow, ...]:
        """Every study, the latest first."""
        return self._catalog.studies()

    def search(self, search: Search) -> tuple[Found, ...]:
        """Studies, series or instances that meet conditions, told with their patients' names."""
        return self._searches.run(search)

    def candidates(self, mask: Instance) -> tuple[Series, ...]:
        """Image series a mask may belong to: of its study, of its frame of reference, referred to
        by series, or holding an instance it refers to."""
        return self._catalog.candidates(mask)

    def studies_with_masks_on(self, study_instance_uid: str) -> tuple[str, ...]:
        """Other studies with a mask whose `candidates` include series of this one."""
        return self._catalog.studies_with_masks_on(study_instance_uid, MASKS)

    def masks(self, study_instance_uid: str | None = None) -> tuple[Instance, ...]:
        """SEG, Label Map SEG and RTSTRUCT objects, of one study or of all."""
        return self._catalog.of_classes(MASKS, study_instance_uid)

    def reports_of(self, mask_instance_uid: str) -> tuple[Instance, ...]:
        """Structured reports that refer to a mask, whoever wrote them."""
        return tuple(
            one
            for one in self._catalog.referring_to(mask_instance_uid)
            if one.sop_class_uid.startswith(STRUCTURED_REPORTS)
        )

    def changed_since(self, cursor: int) -> tuple[int, tuple[str, ...]]:
        """A new cursor, and the studies that got an object after the old one; begin with 0."""
        return self._catalog.changed_since(cursor)

    def last_received_at(
        self,
        study_instance_uid: str,
        *,
        before: datetime | None = None,
        but_from: str | None = None,
    ) -> datetime | None:
        """When the last object of a study came, by then and not from that AE title; aware, UTC."""
        return self._catalog.last_received_at(study_instance_uid, before, but_from)

    def first_received_after(self, cursor: int) -> datetime | None:
        """When the first object after a cursor of `changed_since` came; aware, UTC."""
        return self._catalog.first_received_after(cursor)

    def quarantined(self) -> tuple[Instance, ...]:
        """Objects set apart from the first of their UID; `remark` says why."""
        return self._catalog.of_standing("quarantined")

    def counts(self) -> dict[str, int]:
        """Objects by standing (`kept`, `header-differs`, `quarantined`), and `studies`."""
        return self._catalog.counts()

    def write_down(
        self,
        decision: Decision,
        *,
        yields_to: Callable[[Decision], bool] = lambda _: False,
        follows: Callable[[Decision | None], bool] = lambda _: True,
    ) -> bool:
        """Add a line to the journal; False where it only repeats the mask's last line.

        False, too, where it does not follow what is the last line by then, asked in the same
        commit. A last line that it yields to is repeated after it, in the same commit.
        """
        return self._journal.write_down(decision, yields_to=yields_to, follows=follows)

    def decisions(
        self, study_instance_uid: str, mask_instance_uid: str | None = None
    ) -> tuple[Decision, ...]:
        """The journal of a study, or of one of its masks, oldest line first."""
        return self._journal.decisions(study_instance_uid, mask_instance_uid)

    def decisions_since(
        self, cursor: int, codes: Collection[str]
    ) -> tuple[int, tuple[Decision, ...]]:
        """A new cursor, and the lines of these codes written after the old one; begin with 0."""
        return self._journal.since(cursor, codes)

    def latest_decisions(self, states: Collection[str] | None = None) -> tuple[Decision, ...]:
        """The last line of every mask, and one about a whole study until a line about one of its
        masks comes after it; with `states`, those that stand so."""
        return self._journal.latest(states)

    def next_decisions(self, cursor: int, limit: int) -> tuple[int, tuple[Decision, ...]]:
        """At most so many lines of the whole journal after `cursor`, and the cursor behind them;
        begin with 0."""
        return self._journal.next_lines(cursor, limit)
