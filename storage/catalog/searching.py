"""Queries of studies, series and instances, as PS3.18 10.6 has them; only what is kept is found."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    and_,
    cast,
    distinct,
    func,
    select,
)

from storage.catalog.describing import SERIES_COLUMNS, STUDY_COLUMNS
from storage.tables import instances, reading, series, studies

Level: TypeAlias = Literal["study", "series", "instance"]
Found: TypeAlias = Mapping[str, Any]

KEPT: Final = instances.c.standing == "kept"


class OneOf(NamedTuple):
    """The attribute has one of these values."""

    keyword: str
    values: tuple[str, ...]


class Like(NamedTuple):
    """The regular expression is found in the attribute."""

    keyword: str
    pattern: str


class Between(NamedTuple):
    """The attribute lies between two texts, both counting; an end that is None is open."""

    keyword: str
    least: str | None
    greatest: str | None


Condition: TypeAlias = OneOf | Like | Between


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and which part of what is found is wanted."""

    level: Level
    conditions: tuple[Condition, ...]
    limit: int
    offset: int = 0
    everything: bool = False  # of instances, all attributes that the catalog remembers


def _of_json(keyword: str) -> ColumnElement[Any]:
    return func.json_extract(instances.c.attributes, f"$.{keyword}")


INSTANCE_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "SOPClassUID": instances.c.sop_class_uid,
    "SOPInstanceUID": instances.c.sop_instance_uid,
    "AvailableTransferSyntaxUID": instances.c.transfer_syntax_uid,
    **{
        keyword: _of_json(keyword)
        for keyword in ("InstanceNumber", "Rows", "Columns", "BitsAllocated", "NumberOfFrames")
    },
}
OF_STUDY: Final[Mapping[str, ColumnElement[Any]]] = {
    "StudyInstanceUID": studies.c.study_instance_uid,
    **STUDY_COLUMNS,
}
OF_SERIES: Final[Mapping[str, ColumnElement[Any]]] = {
    **OF_STUDY,
    "SeriesInstanceUID": series.c.series_instance_uid,
    **SERIES_COLUMNS,
}
OF_INSTANCE: Final[Mapping[str, ColumnElement[Any]]] = {**OF_SERIES, **INSTANCE_COLUMNS}
COLUMNS: Final[Mapping[Level, Mapping[str, ColumnElement[Any]]]] = {
    "study": OF_STUDY, "series": OF_SERIES, "instance": OF_INSTANCE,
}  # fmt: skip


class Searches:
    """Answers searches; rows by DICOM keyword, in an order that pages can rely on."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def run(self, search: Search) -> tuple[Found, ...]:
        """At most `limit` rows from `offset` on; what a study or series has in it is counted."""
        columns = COLUMNS[search.level]
        wanted = [column.label(keyword) for keyword, column in columns.items()]
        if search.level == "instance" and search.everything:
            wanted.append(instances.c.attributes.label("attributes"))
        statement = (
            _from(search.level, select(*wanted))
            .where(*(_condition(columns, one) for one in search.conditions))
            .order_by(*_order(search.level))
            .limit(search.limit)
            .offset(search.offset)
        )
        with reading(self._database) as connection:
            rows = [dict(row) for row in connection.execute(statement).mappings()]
            if search.level == "study":
                _count_studies(connection, rows)
            elif search.level == "series":
                _count_series(connection, rows)
        for row in rows:
            if "attributes" in row:
                row |= {**json.loads(row.pop("attributes")), **row}
        return tuple(rows)


def _from(level: Level, wanted: Select[Any]) -> Select[Any]:
    if level == "study":
        return wanted.select_from(studies)
    together = series.join(studies, studies.c.study_instance_uid == series.c.study_instance_uid)
    if level == "series":
        return wanted.select_from(together)
    columns = instances.c
    its_series = and_(
        series.c.study_instance_uid == columns.study_instance_uid,
        series.c.series_instance_uid == columns.series_instance_uid,
    )
    its_study = studies.c.study_instance_uid == columns.study_instance_uid
    return wanted.select_from(instances.join(series, its_series).join(studies, its_study)).where(
        KEPT
    )


def _order(level: Level) -> tuple[ColumnElement[Any], ...]:
    if level == "study":
        return (
            studies.c.study_date.desc(), studies.c.study_time.desc(), studies.c.study_instance_uid,
        )  # fmt: skip
    if level == "series":
        return (
            series.c.study_instance_uid, series.c.series_number, series.c.series_instance_uid,
        )  # fmt: skip
    return (
        instances.c.study_instance_uid, instances.c.series_instance_uid,
        _of_json("InstanceNumber"), instances.c.sop_instance_uid,
    )  # fmt: skip


def _condition(
    columns: Mapping[str, ColumnElement[Any]], condition: Condition
) -> ColumnElement[bool]:
    if condition.keyword == "ModalitiesInStudy":
        of_study = series.alias("of_study")
        listed = (
            select(1)
            .select_from(of_study)
            .where(
                of_study.c.study_instance_uid == studies.c.study_instance_uid,
                _matches(of_study.c.modality, condition),
            )
        )
        return listed.exists()
    return _matches(columns[condition.keyword], condition)


def _matches(column: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    compared = column if isinstance(column.type, String) else cast(column, String)
    match condition:
        case OneOf(_, values):
            return compared.in_(values)
        case Like(_, pattern):
            return compared.regexp_match(pattern)
        case Between(_, least, greatest):
            return and_(
                compared.is_not(None),
                *((compared >= least,) if least is not None else ()),
                *((compared <= greatest,) if greatest is not None else ()),
            )


def _count_studies(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    columns = instances.c
    counting = (
        select(
            columns.study_instance_uid,
            func.count(distinct(columns.series_instance_uid)),
            func.count(),
            func.group_concat(distinct(columns.modality)),
        )
        .where(KEPT, columns.study_instance_uid.in_(_listed(rows, "StudyInstanceUID")))
        .group_by(columns.study_instance_uid)
    )
    counted = {uid: told for uid, *told in connection.execute(counting)}
    for row in rows:
        in_series, in_all, modalities = counted[row["StudyInstanceUID"]]
        row["NumberOfStudyRelatedSeries"] = in_series
        row["NumberOfStudyRelatedInstances"] = in_all
        row["ModalitiesInStudy"] = tuple(sorted(modalities.split(",")))


def _count_series(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    columns = instances.c
    counting = (
        select(columns.study_instance_uid, columns.series_instance_uid, func.count())
        .where(KEPT, columns.series_instance_uid.in_(_listed(rows, "SeriesInstanceUID")))
        .group_by(columns.study_instance_uid, columns.series_instance_uid)
    )
    counted = {(study, uid): count for study, uid, count in connection.execute(counting)}
    for row in rows:
        row["NumberOfSeriesRelatedInstances"] = counted[
            row["StudyInstanceUID"], row["SeriesInstanceUID"]
        ]


def _listed(rows: Sequence[Found], keyword: str) -> Select[Any]:
    """UIDs as one bound value: a page may name more than a statement takes variables."""
    return select(func.json_each(json.dumps([row[keyword] for row in rows])).table_valued("value"))
