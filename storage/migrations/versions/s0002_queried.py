"""Tables for queries: what studies and series state of themselves, patients by name.

Rows of studies that came before hold what the index knew; `pacsnode reindex` reads the rest, the
patient above all, from the files.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

STUDY = (
    "study_date", "study_time", "accession_number", "referring_physician_name", "study_id",
    "study_description", "patient_name", "patient_id", "patient_birth_date", "patient_sex",
)  # fmt: skip
SERIES = (
    "modality", "series_description", "series_date", "series_time",
    "performed_procedure_step_start_date", "performed_procedure_step_start_time",
    "scheduled_procedure_step_id", "requested_procedure_id",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("study_instance_uid", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.Text) for name in STUDY),
    )
    op.create_table(
        "series",
        sa.Column("study_instance_uid", sa.String(64), primary_key=True),
        sa.Column("series_instance_uid", sa.String(64), primary_key=True),
        sa.Column("series_number", sa.Integer),
        *(sa.Column(name, sa.Text) for name in SERIES),
    )
    for table, column in (
        ("study", "study_date"), ("study", "patient_id"), ("series", "series_instance_uid"),
    ):  # fmt: skip
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.execute(
        "INSERT INTO study (study_instance_uid, study_date, study_time) "
        "SELECT study_instance_uid, max(json_extract(attributes, '$.StudyDate')), "
        "max(json_extract(attributes, '$.StudyTime')) "
        "FROM instance WHERE standing = 'kept' GROUP BY study_instance_uid"
    )
    op.execute(
        "INSERT INTO series (study_instance_uid, series_instance_uid, modality, series_number, "
        "series_description) "
        "SELECT study_instance_uid, series_instance_uid, max(modality), "
        "max(json_extract(attributes, '$.SeriesNumber')), "
        "max(json_extract(attributes, '$.SeriesDescription')) "
        "FROM instance WHERE standing = 'kept' GROUP BY study_instance_uid, series_instance_uid"
    )


def downgrade() -> None:
    op.drop_table("series")
    op.drop_table("study")
