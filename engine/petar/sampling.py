"""Linear sampling of one regular grid at the points of another."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine.geometry import Float

Shape = tuple[int, int, int]
# an index this near to a voxel's centre counts as on it: rounding of an affine must not decide
# whether a plane exists
ON_CENTRE = 1e-6
ROUNDING = 1e-9  # of an index; too little to change a float32
PLANES_AT_ONCE = 16  # bounds the memory of the oblique case


def sampled(
    values: Tensor, to_kji: Float, shape: Shape, *, outside: float, reach: float = ON_CENTRE
) -> Tensor:
    """float32 of `shape`: `values` [k, j, i] at every index of another grid.

    `to_kji` (4x4) maps the other grid's homogeneous index to a fractional [k, j, i]. Up to `reach`
    voxels beyond the outermost centres the edge's value holds, farther out `outside` does.
    """
    target_of = _matching_axes(to_kji, shape)
    if target_of is None:
        return _oblique(values, to_kji, shape, outside, reach)
    given = values
    # the axis that shrinks most goes first: the others have less to do
    for axis in sorted(range(3), key=lambda a: shape[target_of[a]] / values.shape[a]):
        target = target_of[axis]
        position = to_kji[axis, target] * np.arange(shape[target]) + to_kji[axis, 3]
        values = _along(values, axis, position, outside, reach)
    if values is given:
        values = values.clone()  # what is returned is the caller's own
    return values.permute([target_of.index(target) for target in range(3)]).contiguous()


def _matching_axes(to_kji: Float, shape: Shape) -> list[int] | None:
    """For k, j, i the one axis of the other grid that moves it; None where several do."""
    moves = np.abs(to_kji[:3, :3])
    target_of = [int(target) for target in moves.argmax(axis=1)]
    others = moves.copy()
    others[range(3), target_of] = 0
    strayed = others @ (np.array(shape) - 1)  # voxels, over the whole of the other grid
    return target_of if sorted(target_of) == [0, 1, 2] and strayed.max() < ON_CENTRE else None


def _along(values: Tensor, axis: int, position: Float, outside: float, reach: float) -> Tensor:
    """The values at fractional indices of one axis; `values` itself where these are its own."""
    last = values.shape[axis] - 1
    if len(position) == last + 1 and np.abs(position - np.arange(last + 1)).max() < ROUNDING:
        return values
    on_axis = position.clip(0, last)
    lower = np.floor(on_axis).clip(max=max(last - 1, 0)).astype(np.int64)
    upper = (lower + 1).clip(max=last)
    weight = (on_axis - lower).astype(np.float32).reshape(-1, *(1,) * (2 - axis))
    beyond = np.flatnonzero((position < -reach) | (position > last + reach))

    low, high, share, out = (
        torch.from_numpy(array).to(values.device) for array in (lower, upper, weight, beyond)
    )
    between = values[_at(axis, low)].lerp_(values[_at(axis, high)], share)
    between[_at(axis, out)] = outside
    return between


def _at(axis: int, index: Tensor) -> tuple[slice | Tensor, ...]:
    return (*(slice(None),) * axis, index)


def _oblique(values: Tensor, to_kji: Float, shape: Shape, outside: float, reach: float) -> Tensor:
    """The same where an axis of one grid runs across several of the other."""
    matrix, offset, last = (
        torch.from_numpy(np.array(array, np.float64)).to(values.device)
        for array in (to_kji[:3, :3].T, to_kji[:3, 3], np.array(values.shape) - 1)
    )
    z, y, x = (torch.arange(n, dtype=torch.float64, device=values.device) for n in shape)
    source = values.double()[None, None]
    planes = []
    for some in torch.split(z, PLANES_AT_ONCE):
        kji = torch.stack(torch.meshgrid(some, y, x, indexing="ij"), dim=-1) @ matrix + offset
        is_inside = ((kji >= -reach) & (kji <= last + reach)).all(dim=-1)
        unit = (2 * kji / last.clamp(min=1) - 1).flip(-1)[None]  # i, j, k in -1..1
        taken = F.grid_sample(source, unit, padding_mode="border", align_corners=True)
        planes.append(torch.where(is_inside, taken[0, 0], outside).float())
    return torch.cat(planes)
