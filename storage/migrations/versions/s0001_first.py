"""The first tables: instances, what they refer to, the journal of decisions, the digest key."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INDEXED = {
    "instance": (
        "sop_instance_uid", "series_instance_uid", "study_instance_uid", "frame_of_reference_uid",
        "sop_class_uid",
    ),
    "reference": ("instance_id", "sop_instance_uid"),
    "decision": ("study_instance_uid", "mask_instance_uid"),
}  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("modality", sa.String(16), nullable=False),
        sa.Column("frame_of_reference_uid", sa.String(64)),
        sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("calling_ae", sa.String(16)),
        sa.Column("received_at_us", sa.BigInteger, nullable=False),
        sa.Column("standing", sa.String(16), nullable=False),
        sa.Column("remark", sa.Text),
        sa.Column("patient_id_digest", sa.String(64)),
        sa.Column("patient_name_digest", sa.String(64)),
        sa.Column("is_image", sa.Boolean, nullable=False),
        sa.Column("referenced_series", sa.Text, nullable=False),
        sa.Column("extent_lps_mm", sa.Text),
        sa.Column("attributes", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reference",
        sa.Column(
            "instance_id",
            sa.Integer,
            sa.ForeignKey("instance.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("sop_class_uid", sa.String(64)),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("series_instance_uid", sa.String(64)),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("mask_instance_uid", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("decided_at_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table("digest_key", sa.Column("fingerprint", sa.String(64), primary_key=True))
    for table, columns in INDEXED.items():
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [column])
    op.create_index(
        "ux_instance_kept",
        "instance",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=sa.text("standing = 'kept'"),
    )


def downgrade() -> None:
    for table in ("digest_key", "decision", "reference", "instance"):
        op.drop_table(table)
