"""How our documents present themselves, and the UIDs they carry."""

import re
import uuid
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydicom.uid import RE_VALID_UID

MANUFACTURER = "pacsnode"

# a constant of this project: changing it changes every UID we ever derived
_NAMESPACE = uuid.UUID("5f0c9a52-7a54-4c6e-9d1b-2f3f5a1c0e77")


def installed_version() -> str:
    """The version of pacsnode that runs."""
    try:
        return version("pacsnode")
    except PackageNotFoundError:  # run from a source tree
        return "0+source"


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An earlier document that the new one takes the place of (0040,A360)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ReportStyle:
    """What is the same for all documents of one report. All UIDs derive from `seed`."""

    seed: str
    series_description: str = "PET/CT lesion report (AI, unverified)"
    series_number: int = 9901
    tracking_identifier: Literal["plain", "editable"] = "plain"
    device_serial_number: str = "1"
    predecessors: tuple[Predecessor, ...] = ()
    software_version: str = field(default_factory=installed_version)


def derived_uid(seed: str, role: str) -> str:
    """The UID of `role` ("sr", "series", "seg", ...) under `seed`, always the same (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{seed}/{role}').int}"


def is_uid(text: str) -> bool:
    """Whether `text` has the form of a UID (PS3.5 9.1)."""
    return len(text) <= 64 and re.fullmatch(RE_VALID_UID, text) is not None


def has_uid_form(text: str) -> bool:
    """Whether `text` is what archives take for a UID: leading zeros do not count (ADR 0005)."""
    return len(text) <= 64 and re.fullmatch(r"[0-9]+(?:\.[0-9]+)+", text) is not None


def sr_uid(style: ReportStyle) -> str:
    """SOP Instance UID of the SR."""
    return derived_uid(style.seed, "sr")


def seg_uid(style: ReportStyle) -> str:
    """SOP Instance UID of the SEG that stands for an RTSTRUCT."""
    return derived_uid(style.seed, "seg")
