"""What the catalog remembers. DICOM's words; no pixels, no patient identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Standing = Literal["kept", "header-differs", "quarantined"]
Outcome = Literal["new", "same", "same-pixels", "header-differs", "quarantined"]
CaseState = Literal[
    "context", "waiting", "ready", "running", "reported", "delivered", "refused", "failed",
    "superseded", "cancelled", "rejected",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that another instance refers to; its series where the reference names it."""

    sop_class_uid: str | None
    sop_instance_uid: str
    series_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One kept object. Identity is `sha256`: of its dataset, without preamble and group 0002.

    `attributes` holds the attributes listed in `storage.header` by DICOM keyword: str, int, float,
    tuples of them for several values, and tuples of mappings for sequences; absent or empty
    attributes have no key. Of a SEG's PerFrameFunctionalGroupsSequence it holds the distinct planes
    alone. `patient_id_digest` compares patients without telling who they are.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    frame_of_reference_uid: str | None
    transfer_syntax_uid: str
    references: tuple[Reference, ...]
    path: Path
    size_bytes: int
    sha256: str
    calling_ae: str | None
    received_at: datetime  # aware, UTC
    standing: Standing = "kept"
    patient_id_digest: str | None = None  # keyed digest of PatientID
    patient_name_digest: str | None = None  # keyed digest of PatientName + PatientBirthDate
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    remark: str | None = None  # why its standing is not "kept"
    referenced_series: tuple[str, ...] = ()  # series it names, with or without their instances
    # of RTSTRUCT contours: least x, y, z, then greatest x, y, z; None for every other object
    extent_lps_mm: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Instances of one series UID and one SOP class: RTSTRUCTs share series UIDs with CTs."""

    series_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    modality: str
    frame_of_reference_uid: str | None
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Everything kept of one study, and when its last object came."""

    study_instance_uid: str
    series: tuple[Series, ...]
    last_received_at: datetime


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One line of a list of studies."""

    study_instance_uid: str
    modalities: tuple[str, ...]
    series: int
    instances: int
    last_received_at: datetime  # aware, UTC


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an object that was handed in; every outcome is durable."""

    outcome: Outcome
    instance: Instance


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the journal: what was decided about a mask object (or a study), and why.

    `reasons` are sentences for a person; `facts` is JSON for a program. No patient identity.
    """

    study_instance_uid: str
    mask_instance_uid: str | None
    state: CaseState
    code: str  # kebab-case: "ready", "no-pet", "ambiguous-pet", "delivered", ...
    reasons: tuple[str, ...]
    decided_at: datetime  # aware, UTC
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
