"""What is known of one lesion in words and numbers: a line of records.jsonl."""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from engine.errors import Unreadable
from engine.lesion import Measurements

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SPLITS = ("train", "validation", "test")
LATERALITIES = ("left", "right", "bilateral")
UPTAKES = ("mild", "moderate", "intense")
_NUMBERS = (
    "volume_cm3", "suv_max", "suv_peak", "suv_mean", "suv_median", "suv_sd", "suv_refusal",
    "total_lesion_glycolysis_g", "long_axis_mm", "short_axis_mm", "centroid_lps_mm",
    "hottest_voxel_kji",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """A reference finding: where it is, what it is, and the sentences said of it.

    `site` is a row of the table of sites; None where it is not known, as for all that may be None.
    `measured` has the names of Measurements, and `slice`, the InstanceNumber of the hottest voxel.
    """

    study_id: str
    lesion_id: str
    split: str  # train, validation or test
    site: str | None
    organ_group: str | None
    region: str | None  # Head, Neck, Chest, Abdomen, Pelvis or Extremity
    laterality: str | None  # left, right or bilateral
    uptake: Literal["mild", "moderate", "intense"] | None
    interpretation: str | None
    text: str  # numbers and all
    measured: dict[str, Any] = field(default_factory=dict)
    source: str = ""  # phantom, report, petarseg-11k, anatomy, ...

    def __post_init__(self) -> None:
        for kind, name in (("study_id", self.study_id), ("lesion_id", self.lesion_id)):
            if not NAME.fullmatch(name):  # they name folders and files
                raise Unreadable(f"The {kind} of a record may hold letters, digits, '.', '_', '-'")
        for kind, told, allowed in (
            ("split", self.split, SPLITS),
            ("laterality", self.laterality, (*LATERALITIES, None)),
            ("uptake", self.uptake, (*UPTAKES, None)),
        ):
            if told not in allowed:
                listed = ", ".join(str(one) for one in allowed if one)
                raise Unreadable(
                    f"Record {self.study_id}/{self.lesion_id}: {kind} is {told!r}, not of {listed}"
                )


def line_of(record: Record) -> str:
    """The record as one line of JSON."""
    return json.dumps(asdict(record), ensure_ascii=False)


def record_of(line: str, where: str) -> Record:
    """The record of one line; `where` names it in errors. Raises Unreadable."""
    try:
        told = json.loads(line)
    except json.JSONDecodeError as exc:
        raise Unreadable(f"{where} is no JSON") from exc
    if not isinstance(told, dict):
        raise Unreadable(f"{where} is no JSON object")
    known = {one.name for one in fields(Record)}
    optional = {"measured", "source"}
    lacking = sorted(known - optional - set(told))
    if lacking or set(told) - known:
        unknown = ", ".join(sorted(set(told) - known)) or "nothing"
        raise Unreadable(f"{where} lacks {', '.join(lacking) or 'nothing'}; unknown: {unknown}")
    wrong = [name for name in known - optional if not isinstance(told[name], str | None)]
    if wrong or not isinstance(told["text"], str):
        raise Unreadable(f"{where}: text is wanted for {', '.join(sorted(wrong)) or 'text'}")
    return Record(**told)


def numbers_of(measurements: Measurements) -> dict[str, Any]:
    """What was measured, as a record's `measured`; what was refused is left out."""
    told: dict[str, Any] = {}
    for name in _NUMBERS:
        value = getattr(measurements, name)
        if value is not None:
            told[name] = list(value) if isinstance(value, tuple) else value
    hottest = measurements.hottest_slice
    if hottest is not None and hottest.instance_number is not None:
        told["slice"] = hottest.instance_number
    return told
