"""Instances in the index: added in shared commits, found by UID, digest and reference."""

import json
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    bindparam,
    distinct,
    func,
    insert,
    or_,
    select,
    update,
)

from storage.catalog.describing import describe
from storage.catalog.rows import Entry, grouped, instance_of, microseconds, moment, row_of
from storage.errors import StorageError
from storage.records import Instance, Reference, Series, Study, StudyRow
from storage.tables import instances, reading, references, writing

KEPT = instances.c.standing == "kept"

# asked once or twice for every object that comes: built once
IN_THE_WAY = or_(
    instances.c.sha256 == bindparam("sha256"),
    and_(instances.c.sop_instance_uid == bindparam("first_of"), KEPT),
)
IS_KNOWN = select(instances.c.id).where(IN_THE_WAY).limit(1)


@dataclass(slots=True)
class _Ticket:
    entry: Entry
    done: bool = False
    in_the_way: Instance | None = None
    error: BaseException | None = None


class Catalog:
    """Instances, what they refer to, and which studies changed.

    One that nobody queries need not name patients: an index in place has `answers_queries` False.
    """

    def __init__(self, database: Engine, root: Path, *, answers_queries: bool = True) -> None:
        self._database = database
        self._root = root
        self._answers_queries = answers_queries
        self._queue: list[_Ticket] = []
        self._queue_lock = threading.Lock()
        self._commit_lock = threading.Lock()

    def add(self, entry: Entry) -> Instance | None:
        """Commit one row, durably. Gives None, or the instance in its way: the same digest, or
        the first of its SOP Instance UID where the entry wants to be the first itself.

        Threads that come while another commits share the next commit: one fsync for all of them.
        """
        ticket = _Ticket(entry)
        with self._queue_lock:
            self._queue.append(ticket)
        with self._commit_lock:
            if not ticket.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        if ticket.error is not None:
            raise ticket.error
        return ticket.in_the_way

    def move(self, sha256: str, path: Path) -> None:
        """Say where an object that is read in place lies now."""
        with writing(self._database) as connection:
            connection.execute(
                update(instances).where(instances.c.sha256 == sha256).values(path=str(path))
            )

    def known(self, sha256: str, sop_instance_uid: str) -> tuple[Instance, ...]:
        """The object of that digest, whatever its standing, and the first of that UID."""
        names = {"sha256": sha256, "first_of": sop_instance_uid}
        with reading(self._database) as connection:
            if connection.scalar(IS_KNOWN, names) is None:
                return ()
            return self._found(connection, IN_THE_WAY, names)

    def first_of(self, sop_instance_uid: str) -> Instance | None:
        """The kept object of that SOP Instance UID."""
        condition = and_(instances.c.sop_instance_uid == sop_instance_uid, KEPT)
        return next(iter(self._all(condition)), None)

    def digests(self) -> set[str]:
        """Of every row."""
        with reading(self._database) as connection:
            return set(connection.scalars(select(instances.c.sha256)))

    def study(self, study_instance_uid: str) -> Study | None:
        """Everything kept of one study."""
        found = self._all(and_(instances.c.study_instance_uid == study_instance_uid, KEPT))
        if not found:
            return None
        latest = max(one.received_at for one in found)
        return Study(study_instance_uid, grouped(found), latest)

    def of_series(self, study_instance_uid: str, series_instance_uid: str) -> tuple[Instance, ...]:
        """The kept objects of one series of a study, whatever their classes."""
        columns = instances.c
        found = self._all(
            and_(
                columns.study_instance_uid == study_instance_uid,
                columns.series_instance_uid == series_instance_uid,
                KEPT,
            )
        )
        return tuple(one for series in grouped(found) for one in series.instances)

    def studies(self) -> tuple[StudyRow, ...]:
        """Every study with a kept object, the latest first."""
        columns = instances.c
        last = func.max(columns.received_at_us)
        statement = (
            select(
                columns.study_instance_uid,
                func.group_concat(distinct(columns.modality)),
                func.count(distinct(columns.series_instance_uid)),
                func.count(),
                last,
            )
            .where(KEPT)
            .group_by(columns.study_instance_uid)
            .order_by(last.desc())
        )
        with reading(self._database) as connection:
            return tuple(
                StudyRow(uid, tuple(sorted(modalities.split(","))), series, count, moment(latest))
                for uid, modalities, series, count, latest in connection.execute(statement)
            )

    def candidates(self, mask: Instance) -> tuple[Series, ...]:
        """Image series of the mask's study, of its frame of reference, and those it refers to."""
        columns = instances.c
        referred = (
            select(references.c.sop_instance_uid)
            .join(instances)
            .where(columns.sha256 == mask.sha256)
        )
        images = and_(columns.is_image, KEPT)
        ways: list[Select[Any]] = [
            select(columns.id).where(images, columns.study_instance_uid == mask.study_instance_uid),
            select(columns.id).where(
                images,
                columns.series_instance_uid.in_(
                    select(columns.series_instance_uid).where(
                        columns.sop_instance_uid.in_(referred), KEPT
                    )
                ),
            ),
            select(columns.id).where(
                images, columns.series_instance_uid.in_(_listed(mask.referenced_series))
            ),
        ]
        if mask.frame_of_reference_uid is not None:
            ways.append(
                select(columns.id).where(
                    images, columns.frame_of_reference_uid == mask.frame_of_reference_uid
                )
            )
        return grouped(self._all(or_(*(columns.id.in_(way) for way in ways))))

    def studies_with_masks_on(
        self, study_instance_uid: str, mask_classes: Collection[str]
    ) -> tuple[str, ...]:
        """Other studies with a mask that has candidates in a study: the inverse of `candidates`."""
        columns = instances.c
        here = and_(columns.is_image, KEPT, columns.study_instance_uid == study_instance_uid)
        series = select(columns.series_instance_uid).where(here)
        of_series = select(columns.sop_instance_uid).where(
            columns.series_instance_uid.in_(series), KEPT
        )
        by_reference = select(references.c.instance_id).where(
            references.c.sop_instance_uid.in_(of_series)
        )
        by_series = select(1).where(_elements(columns.referenced_series).in_(series))
        frames = select(columns.frame_of_reference_uid).where(
            here, columns.frame_of_reference_uid.is_not(None)
        )
        statement = (
            select(columns.study_instance_uid)
            .distinct()
            .where(
                columns.sop_class_uid.in_(mask_classes),
                KEPT,
                columns.study_instance_uid != study_instance_uid,
                or_(
                    columns.frame_of_reference_uid.in_(frames),
                    columns.id.in_(by_reference),
                    by_series.exists(),
                ),
            )
            .order_by(columns.study_instance_uid)
        )
        with reading(self._database) as connection:
            return tuple(connection.scalars(statement))

    def of_classes(
        self, sop_class_uids: Collection[str], study_instance_uid: str | None
    ) -> tuple[Instance, ...]:
        """Kept objects of some SOP classes, in the order they came."""
        wanted = and_(instances.c.sop_class_uid.in_(sop_class_uids), KEPT)
        if study_instance_uid is not None:
            wanted = and_(wanted, instances.c.study_instance_uid == study_instance_uid)
        return self._all(wanted)

    def of_standing(self, standing: str) -> tuple[Instance, ...]:
        """Every object of a standing, in the order they came."""
        return self._all(instances.c.standing == standing)

    def referring_to(self, sop_instance_uid: str) -> tuple[Instance, ...]:
        """Kept objects that refer to an instance."""
        sources = select(references.c.instance_id).where(
            references.c.sop_instance_uid == sop_instance_uid
        )
        return self._all(and_(instances.c.id.in_(sources), KEPT))

    def changed_since(self, cursor: int) -> tuple[int, tuple[str, ...]]:
        """The newest change, and the studies that got an object after `cursor`.

        A cursor of another index (it was rebuilt since) counts as none: every study is named.
        """
        newest = select(func.coalesce(func.max(instances.c.id), 0))
        with reading(self._database) as connection:
            now = connection.scalar(newest) or 0
            after = cursor if cursor <= now else 0
            changed = connection.scalars(
                select(instances.c.study_instance_uid)
                .where(instances.c.id > after, KEPT)
                .group_by(instances.c.study_instance_uid)
                .order_by(func.min(instances.c.id))
            )
            return now, tuple(changed)

    def last_received_at(
        self, study_instance_uid: str, before: datetime | None = None, but_from: str | None = None
    ) -> datetime | None:
        """When the study's last kept object came; by then, from others than that sender."""
        wanted = and_(instances.c.study_instance_uid == study_instance_uid, KEPT)
        if before is not None:
            wanted = and_(wanted, instances.c.received_at_us <= microseconds(before))
        if but_from is not None:
            wanted = and_(wanted, instances.c.calling_ae.is_distinct_from(but_from))
        with reading(self._database) as connection:
            found = connection.scalar(select(func.max(instances.c.received_at_us)).where(wanted))
        return moment(found) if found is not None else None

    def first_received_after(self, cursor: int) -> datetime | None:
        """When the first kept object after a cursor of `changed_since` came."""
        first = (
            select(instances.c.received_at_us)
            .where(instances.c.id > cursor, KEPT)
            .order_by(instances.c.id)
            .limit(1)
        )
        with reading(self._database) as connection:
            found = connection.scalar(first)
        return moment(found) if found is not None else None

    def counts(self) -> dict[str, int]:
        """Objects by standing, and studies."""
        by_standing = select(instances.c.standing, func.count()).group_by(instances.c.standing)
        studies = select(func.count(distinct(instances.c.study_instance_uid))).where(KEPT)
        with reading(self._database) as connection:
            counted = {"kept": 0, "header-differs": 0, "quarantined": 0}
            counted.update((standing, n) for standing, n in connection.execute(by_standing))
            counted["studies"] = connection.scalar(studies) or 0
        return counted

    def _all(self, condition: ColumnElement[bool]) -> tuple[Instance, ...]:
        with reading(self._database) as connection:
            return self._found(connection, condition)

    def _found(
        self,
        connection: Connection,
        condition: ColumnElement[bool],
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[Instance, ...]:
        wanted_rows = select(instances).where(condition).order_by(instances.c.id)
        rows = connection.execute(wanted_rows, names).all()
        if not rows:
            return ()
        wanted = select(instances.c.id).where(condition)
        referred: dict[int, list[Reference]] = {}
        for source, *reference in connection.execute(
            select(references).where(references.c.instance_id.in_(wanted)), names
        ):
            referred.setdefault(source, []).append(Reference(*reference))
        return tuple(instance_of(row, referred.get(row.id, ()), self._root) for row in rows)

    def _commit(self, batch: Sequence[_Ticket]) -> None:
        try:
            with writing(self._database) as connection:
                for ticket in batch:
                    ticket.in_the_way = self._insert(connection, ticket.entry)
        except BaseException as exc:
            for ticket in batch:
                ticket.error = exc
            if not isinstance(exc, Exception):
                raise
            if not isinstance(exc, StorageError) and len(batch) > 1:
                # a defect that one entry meets: those that came beside it must not fail with it
                for ticket in batch:
                    self._commit([ticket])
        else:
            for ticket in batch:
                ticket.error = None
        finally:
            for ticket in batch:
                ticket.done = True

    def _insert(self, connection: Connection, entry: Entry) -> Instance | None:
        instance = entry.instance
        wants_to_be_first = instance.standing == "kept"
        names = {
            "sha256": instance.sha256,
            "first_of": instance.sop_instance_uid if wants_to_be_first else "",
        }
        if connection.scalar(IS_KNOWN, names) is not None:
            return self._found(connection, IN_THE_WAY, names)[0]
        result = connection.execute(insert(instances), row_of(entry, self._root))
        if wants_to_be_first and self._answers_queries:
            describe(connection, entry)
        if instance.references:
            (row_id,) = result.inserted_primary_key or (None,)
            connection.execute(
                insert(references),
                [
                    {
                        "instance_id": row_id,
                        "sop_class_uid": one.sop_class_uid,
                        "sop_instance_uid": one.sop_instance_uid,
                        "series_instance_uid": one.series_instance_uid,
                    }
                    for one in instance.references
                ],
            )
        return None


def _elements(array: Any) -> ColumnElement[str]:
    """The elements of a JSON array, as a column to select from."""
    column: ColumnElement[str] = func.json_each(array).table_valued("value").c.value
    return column


def _listed(uids: Sequence[str]) -> Select[Any]:
    """UIDs as one bound value: an object may name more than a statement takes variables."""
    return select(_elements(json.dumps(uids)))
