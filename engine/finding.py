"""Words joined to numbers: findings, the report they make, and who may write the words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Protocol

from pydicom.sr.coding import Code

from engine.lesion import Lesion, Role
from engine.volume import Scan


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Who wrote the words. `weights_sha256` is None for a describer without weights."""

    name: str
    version: str
    weights_sha256: str | None = None
    device: str | None = None
    dtype: str | None = None
    is_demonstration: bool = False
    profile: str | None = None  # how the views of a lesion are cut
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What a describer says of one lesion."""

    text: str
    site: Code | None = None
    laterality: Code | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unable:
    """Why a describer has no words for a lesion: a stable kebab-case `code`, and a sentence."""

    code: str
    sentence: str


class Describer(Protocol):
    """Writes the words for lesions of one scan, in their order; numbers come from measurements."""

    @property
    def identity(self) -> ModelIdentity: ...

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A measured lesion with its words."""

    lesion: Lesion
    description: Description
    writer: ModelIdentity | None = None  # who wrote them; None: the report's model
    unable: Unable | None = None  # why the describer that was asked did not


@dataclass(frozen=True, slots=True)
class Unreported:
    """A segment that is in the mask object and not among the findings, and why."""

    number: int
    label: str
    code: str
    sentence: str
    role: Role = "lesion"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """All that one SR says: findings in ascending segment number, context segments included."""

    findings: tuple[Finding, ...]
    unreported: tuple[Unreported, ...]
    model: ModelIdentity
    scan: Scan
    completed_at: datetime  # aware, UTC
    notes: tuple[str, ...] = field(default=())  # sentences: no CT, flags of the study, ...
    measurement_version: str = "1"  # engine.measuring.MEASUREMENT_VERSION


_EXACT = Context(prec=400)  # enough for every float64


def printed(value: float, decimals: int) -> str:
    """A measured value as words show it: rounded half up on the float64's exact decimal value."""
    return _half_up(Decimal(float(value)), decimals)


def printed_cm3(volume_cm3: float) -> str:
    """A measured volume as words show it: with more decimals where it is small."""
    return printed(volume_cm3, 1 if volume_cm3 >= 1 else 2 if volume_cm3 >= 0.1 else 3)


def printed_cm(value_mm: float, decimals: int = 1) -> str:
    """A measured length in mm as words show it in cm, rounded as `printed` does."""
    return _half_up(_EXACT.divide(Decimal(float(value_mm)), 10), decimals)


def _half_up(value: Decimal, decimals: int) -> str:
    if not value.is_finite():
        return str(value)
    step = Decimal(1).scaleb(-decimals)
    rounded = value.quantize(step, rounding=ROUND_HALF_UP, context=_EXACT)
    return str(rounded.copy_abs() if rounded == 0 else rounded)
