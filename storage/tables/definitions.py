"""The tables of the index; migrations build the same, step by step."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata: Final = MetaData()

# ids grow in the order of commits, for one writer commits at a time: they are the change counter
instances: Final = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("sop_instance_uid", String(64), nullable=False, index=True),
    Column("sop_class_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False, index=True),
    Column("study_instance_uid", String(64), nullable=False, index=True),
    Column("modality", String(16), nullable=False),
    Column("frame_of_reference_uid", String(64), index=True),
    Column("transfer_syntax_uid", String(64), nullable=False),
    Column("path", Text, nullable=False),  # relative to the root; absolute where read in place
    Column("size_bytes", BigInteger, nullable=False),
    Column("calling_ae", String(16)),
    Column("received_at_us", BigInteger, nullable=False),  # microseconds since 1970, UTC
    Column("standing", String(16), nullable=False),
    Column("remark", Text),
    Column("patient_id_digest", String(64)),
    Column("patient_name_digest", String(64)),
    Column("is_image", Boolean, nullable=False),
    Column("referenced_series", Text, nullable=False),  # JSON
    Column("extent_lps_mm", Text),  # JSON
    Column("attributes", Text, nullable=False),  # JSON
    # the first of its SOP Instance UID is the only one that work is done on
    Index(
        "ux_instance_kept", "sop_instance_uid", unique=True, sqlite_where=text("standing = 'kept'")
    ),
    Index("ix_instance_sop_class_uid", "sop_class_uid"),
    sqlite_autoincrement=True,
)

references: Final = Table(
    "reference",
    metadata,
    Column(
        "instance_id", ForeignKey("instance.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("sop_class_uid", String(64)),
    Column("sop_instance_uid", String(64), nullable=False, index=True),
    Column("series_instance_uid", String(64)),
)

decisions: Final = Table(
    "decision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", String(64), nullable=False, index=True),
    Column("mask_instance_uid", String(64), index=True),
    Column("state", String(16), nullable=False),
    Column("code", String(64), nullable=False),
    Column("reasons", Text, nullable=False),  # JSON
    Column("facts", Text, nullable=False),  # JSON
    Column("decided_at_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# which key made the patient digests: digests of two keys never compare equal
keys: Final = Table("digest_key", metadata, Column("fingerprint", String(64), primary_key=True))

# what queries ask of studies and series; the only place where patients are told by name
studies: Final = Table(
    "study",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("study_date", Text, index=True),
    Column("study_time", Text),
    Column("accession_number", Text),
    Column("referring_physician_name", Text),
    Column("study_id", Text),
    Column("study_description", Text),
    Column("patient_name", Text),
    Column("patient_id", Text, index=True),
    Column("patient_birth_date", Text),
    Column("patient_sex", Text),
)

series: Final = Table(
    "series",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("series_instance_uid", String(64), primary_key=True, index=True),
    Column("series_number", Integer),
    Column("modality", Text),
    Column("series_description", Text),
    Column("series_date", Text),
    Column("series_time", Text),
    Column("performed_procedure_step_start_date", Text),
    Column("performed_procedure_step_start_time", Text),
    Column("scheduled_procedure_step_id", Text),
    Column("requested_procedure_id", Text),
)
