"""What studies and series are said to be, as their objects come: the first word on each counts."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, and_, bindparam, func, or_
from sqlalchemy.dialects.sqlite import Insert, insert

from storage.catalog.rows import Entry
from storage.header.queried import REQUEST, SERIES, STUDY
from storage.tables import series, studies

STUDY_COLUMNS: Final[Mapping[str, Column[Any]]] = {
    "StudyDate": studies.c.study_date,
    "StudyTime": studies.c.study_time,
    "AccessionNumber": studies.c.accession_number,
    "ReferringPhysicianName": studies.c.referring_physician_name,
    "StudyID": studies.c.study_id,
    "StudyDescription": studies.c.study_description,
    "PatientName": studies.c.patient_name,
    "PatientID": studies.c.patient_id,
    "PatientBirthDate": studies.c.patient_birth_date,
    "PatientSex": studies.c.patient_sex,
}
SERIES_COLUMNS: Final[Mapping[str, Column[Any]]] = {
    "Modality": series.c.modality,
    "SeriesNumber": series.c.series_number,
    "SeriesDescription": series.c.series_description,
    "SeriesDate": series.c.series_date,
    "SeriesTime": series.c.series_time,
    "PerformedProcedureStepStartDate": series.c.performed_procedure_step_start_date,
    "PerformedProcedureStepStartTime": series.c.performed_procedure_step_start_time,
    "ScheduledProcedureStepID": series.c.scheduled_procedure_step_id,
    "RequestedProcedureID": series.c.requested_procedure_id,
}
assert STUDY_COLUMNS.keys() == STUDY.keys()  # noqa: S101  read together, kept together
assert SERIES_COLUMNS.keys() | {"RequestAttributesSequence"} == SERIES.keys() | {*REQUEST}  # noqa: S101


def _statement(table: Table) -> Insert:
    """Add a row, or fill what earlier objects left open in it."""
    adding = insert(table).values({column.name: bindparam(column.name) for column in table.c})
    said = [column for column in table.c if not column.primary_key]
    new = adding.excluded
    return adding.on_conflict_do_update(
        index_elements=[column for column in table.c if column.primary_key],
        set_={column.name: func.coalesce(column, new[column.name]) for column in said},
        where=or_(*(and_(column.is_(None), new[column.name].is_not(None)) for column in said)),
    )


_STUDY: Final = _statement(studies)
_SERIES: Final = _statement(series)


def describe(connection: Connection, entry: Entry) -> None:
    """Remember what a kept object states of its study and series."""
    instance, queried = entry.instance, entry.queried
    uids = {
        "study_instance_uid": instance.study_instance_uid,
        "series_instance_uid": instance.series_instance_uid,
    }
    of_study = {
        column.name: queried.study.get(keyword) for keyword, column in STUDY_COLUMNS.items()
    }
    of_series = {
        column.name: queried.series.get(keyword) for keyword, column in SERIES_COLUMNS.items()
    }
    of_series["modality"] = instance.modality
    connection.execute(_STUDY, of_study | {"study_instance_uid": instance.study_instance_uid})
    connection.execute(_SERIES, of_series | uids)
