"""How much of the body is imaged, how the patient lies, and how slices, rows and columns run."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engine.geometry import Grid

Position = Literal["HFS", "HFP", "FFS", "FFP"]  # Patient Position (0018,5100)
# whether columns run to the patient's right, rows to the front
_TURNED: dict[Position, tuple[bool, bool]] = {
    "HFS": (False, False), "FFP": (False, True), "FFS": (True, False), "HFP": (True, True),
}  # fmt: skip
# the lowest and highest z of the reference adult, in mm
_FIELDS: dict[str, tuple[float, float]] = {
    "vertex to thighs": (-180, 985), "eyes to thighs": (-180, 850),
    "head and neck": (560, 985), "neck to pelvis": (-60, 800), "whole body": (-790, 985),
}  # fmt: skip
FIELDS = tuple(_FIELDS)
_WIDE_MM = 272.0


@dataclass(frozen=True, slots=True)
class Stance:
    """What is imaged, and how it is stored."""

    field: str  # a row of FIELDS
    position: Position
    rises: bool  # slices from the feet to the head


def draw_stance(rng: np.random.Generator, *, is_shifted: bool = False) -> Stance:
    """A usual acquisition most of the time; a shifted one is often turned over."""
    positions: tuple[Position, ...] = ("HFS", "FFS", "HFP", "FFP")
    lies = (0.25, 0.25, 0.25, 0.25) if is_shifted else (0.85, 0.07, 0.05, 0.03)
    return Stance(
        field=str(rng.choice(FIELDS, p=(0.55, 0.25, 0.06, 0.07, 0.07))),
        position=positions[int(rng.choice(4, p=lies))],
        rises=bool(rng.random() < 0.5),
    )


def extent_mm(field: str, stature: float, width: float) -> list[tuple[float, float]]:
    """The lowest and highest x, y and z of the image."""
    low, high = _FIELDS[field]
    wide = _WIDE_MM * max(1.0, width)
    return [(-wide, wide), (-wide * 0.72, wide * 0.72), (low * stature, high * stature)]


def turn(values: npt.NDArray[Any], stance: Stance) -> npt.NDArray[Any]:
    """An array [k, j, i] that rises along z, y and x, as it is stored."""
    return np.ascontiguousarray(values[_steps(stance)])


def turned_grid(grid: Grid, stance: Stance) -> Grid:
    """The grid of a turned array."""
    affine = grid.affine.copy()
    for axis, step in enumerate(_steps(stance)):
        if step.step == -1:
            affine[:, 3] += affine[:, axis] * (grid.shape[axis] - 1)
            affine[:, axis] *= -1
    return replace(grid, affine=affine)


def _steps(stance: Stance) -> tuple[slice, slice, slice]:
    right, front = _TURNED[stance.position]
    k, j, i = (slice(None, None, -1 if turn else 1) for turn in (not stance.rises, front, right))
    return k, j, i
