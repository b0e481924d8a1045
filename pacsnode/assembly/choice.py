"""What choosing a series comes to: the series, or the code of why there is none."""

from dataclasses import dataclass

from storage.records import Series


@dataclass(frozen=True, slots=True)
class Choice:
    """A series, or the code of why there is none; `is_named` where the mask itself points to it."""

    series: Series | None
    code: str
    reasons: tuple[str, ...]
    is_named: bool = False
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a series cannot be the one: a stable code, and a clause that says it."""

    code: str
    clause: str
