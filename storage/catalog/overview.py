"""What a person who looks after the node is shown: where studies stand, how deliveries went."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    String,
    and_,
    cast,
    func,
    or_,
    select,
)

from storage.catalog.journal import standing_ids
from storage.catalog.rows import decision_of, moment
from storage.records import Decision
from storage.tables import decisions, instances, reading, series, studies

KEPT = instances.c.standing == "kept"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which studies: each of `words` is in the patient's name or id or the accession number.

    `since` and `until` are StudyDates, YYYYMMDD, both counting; one that is None is open.
    """

    words: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class LastLine:
    """Of the last line on a mask; `now` is the code of why not today, where there is one."""

    state: str
    code: str
    now: str | None
    destinations: int | None = None


@dataclass(frozen=True, slots=True)
class StandingStudy:
    """A study and the last line on each of its masks; the greater `newest`, the later it came.

    A line about the study as a whole is among them until one about a mask comes after it.
    """

    study_instance_uid: str
    newest: int
    received_at: datetime  # of the last object; aware, UTC
    lines: tuple[LastLine, ...]


@dataclass(frozen=True, slots=True)
class QueriedStudy:
    """What queries tell of a study: the only record that names a patient."""

    study_instance_uid: str
    patient_name: str | None
    patient_id: str | None
    study_date: str | None
    accession_number: str | None
    study_description: str | None
    modalities: tuple[str, ...]
    series: int
    instances: int


class Overview:
    """Answers from the index alone; what a page asks for again and again costs little."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def version(self) -> tuple[int, int]:
        """Grows with every object and every line of the journal."""
        newest = (
            select(func.coalesce(func.max(column), 0)).scalar_subquery()
            for column in (instances.c.id, decisions.c.id)
        )
        with reading(self._database) as connection:
            of_objects, of_lines = connection.execute(select(*newest)).one()
            return of_objects, of_lines

    def standing(self, wanted: Wanted) -> tuple[StandingStudy, ...]:
        """Every study that is wanted, the one with the latest object first."""
        lines = (
            select(
                decisions.c.study_instance_uid,
                func.json_group_array(
                    func.json_array(
                        decisions.c.state,
                        decisions.c.code,
                        func.json_extract(decisions.c.facts, "$.now"),
                        func.json_array_length(decisions.c.facts, "$.destinations"),
                    )
                ).label("lines"),
            )
            .where(decisions.c.id.in_(standing_ids()))
            .group_by(decisions.c.study_instance_uid)
            .subquery()
        )
        # the highest id of a study is at the end of its run in the index: no row is read
        newest = (
            select(func.max(instances.c.id))
            .where(instances.c.study_instance_uid == studies.c.study_instance_uid)
            .correlate(studies)
            .scalar_subquery()
        )
        found = (
            select(studies.c.study_instance_uid, newest.label("newest"), lines.c.lines)
            .outerjoin(lines, lines.c.study_instance_uid == studies.c.study_instance_uid)
            .where(*_conditions(wanted))
            .subquery()
        )
        statement = (
            select(
                found.c.study_instance_uid, found.c.newest, instances.c.received_at_us,
                found.c.lines,
            )
            .join(instances, instances.c.id == found.c.newest)
            .order_by(found.c.newest.desc())
        )  # fmt: skip
        with reading(self._database) as connection:
            return tuple(
                StandingStudy(uid, last_id, moment(received), _lines(told))
                for uid, last_id, received, told in connection.execute(statement)
            )

    def queried(self, study_instance_uids: Collection[str]) -> Mapping[str, QueriedStudy]:
        """What queries tell of these studies."""
        listed = select(func.json_each(json.dumps(list(study_instance_uids))).table_valued("value"))
        columns = instances.c
        counting = (
            select(columns.study_instance_uid, func.count())
            .where(KEPT, columns.study_instance_uid.in_(listed))
            .group_by(columns.study_instance_uid)
        )
        of_series = (
            select(
                series.c.study_instance_uid, func.count(), func.group_concat(series.c.modality, ",")
            )
            .where(series.c.study_instance_uid.in_(listed))
            .group_by(series.c.study_instance_uid)
        )
        with reading(self._database) as connection:
            counted = {row[0]: row[1] for row in connection.execute(counting)}
            described = {uid: told for uid, *told in connection.execute(of_series)}
            rows = connection.execute(
                select(studies).where(studies.c.study_instance_uid.in_(listed))
            ).all()
        return {
            row.study_instance_uid: QueriedStudy(
                study_instance_uid=row.study_instance_uid,
                patient_name=row.patient_name,
                patient_id=row.patient_id,
                study_date=row.study_date,
                accession_number=row.accession_number,
                study_description=row.study_description,
                modalities=_modalities(described.get(row.study_instance_uid, (0, ""))[1]),
                series=described.get(row.study_instance_uid, (0, ""))[0],
                instances=counted.get(row.study_instance_uid, 0),
            )
            for row in rows
        }

    def series_descriptions(self, study_instance_uid: str) -> Mapping[str, str]:
        """SeriesDescription by SeriesInstanceUID, where there is one."""
        statement = select(series.c.series_instance_uid, series.c.series_description).where(
            series.c.study_instance_uid == study_instance_uid,
            series.c.series_description.is_not(None),
        )
        with reading(self._database) as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def last_about(self, destination: str, codes: Collection[str]) -> Decision | None:
        """The last line of the journal with one of these codes about a destination."""
        statement = (
            select(decisions)
            .where(
                decisions.c.code.in_(codes),
                func.json_extract(decisions.c.facts, "$.destination") == destination,
            )
            .order_by(decisions.c.id.desc())
            .limit(1)
        )
        with reading(self._database) as connection:
            row = connection.execute(statement).first()
        return None if row is None else decision_of(row)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    columns = studies.c
    searched = (columns.patient_name, columns.patient_id, columns.accession_number)
    told = [
        or_(*(column.regexp_match(f"(?i){re.escape(word)}") for column in searched))
        for word in wanted.words
    ]
    date = cast(columns.study_date, String)
    if wanted.since is not None:
        told.append(and_(date.is_not(None), date >= wanted.since))
    if wanted.until is not None:
        told.append(and_(date.is_not(None), date <= wanted.until))
    return told


def _lines(told: str | None) -> tuple[LastLine, ...]:
    if told is None:
        return ()
    parsed: Sequence[Sequence[Any]] = json.loads(told)
    return tuple(LastLine(*one) for one in parsed)


def _modalities(joined: str | None) -> tuple[str, ...]:
    return tuple(sorted({one for one in (joined or "").split(",") if one}))
