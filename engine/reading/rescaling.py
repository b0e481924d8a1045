"""Stored values to the unit that the header states, plane by plane."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import MissingQuantity
from engine.reading.pixels import stored_planes
from engine.reading.slices import Stack
from engine.volume import Volume

_LARGEST_STORED = 2.0**32
_LARGEST_VALUE = 1e30  # float32 ends at 3e38


def rescaled(stack: Stack, scaling: Sequence[tuple[float, float]], unit: str) -> Volume:
    """Each plane by its own slope and intercept, in float64, then kept as float32."""
    for plane, (slope, intercept) in zip(stack.slices, scaling, strict=True):
        if slope <= 0 or slope * _LARGEST_STORED + abs(intercept) > _LARGEST_VALUE:
            raise MissingQuantity(
                f"Instance {plane.instance.sop_instance_uid} states a Rescale Slope of {slope:g}"
                f" and an Intercept of {intercept:g}",
                keyword="RescaleSlope",
                code="bad-rescale-slope",
            )
    return Volume(
        values=_values(stack, scaling),
        grid=stack.grid,
        unit=unit,
        slices=tuple(plane.reference for plane in stack.slices),
        series_instance_uid=stack.series_instance_uid,
    )


def _values(stack: Stack, scaling: Sequence[tuple[float, float]]) -> npt.NDArray[np.float32]:
    values = np.empty(stack.grid.shape, np.float32)
    for k, stored in stored_planes(stack):
        slope, intercept = scaling[k]
        values[k] = stored.astype(np.float64) * slope + intercept
    return values
