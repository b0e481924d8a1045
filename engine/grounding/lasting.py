"""What was computed from arrays, kept for as long as they all live."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

Value = TypeVar("Value")

_kept: dict[tuple[str, tuple[int, ...]], Any] = {}


def kept_with(
    arrays: Sequence[npt.NDArray[Any]], purpose: str, compute: Callable[[], Value]
) -> Value:
    """`compute()`, called once for these arrays and this purpose; forgotten when one is gone."""
    key = (purpose, tuple(map(id, arrays)))
    if key in _kept:
        found: Value = _kept[key]
        return found
    value = compute()
    for array in arrays:
        weakref.finalize(array, _kept.pop, key, None)
    _kept[key] = value
    return value
