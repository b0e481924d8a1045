"""The lesion of a stated SUVmax and slice in a PET, and its contour grown until it settles."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.volume import Scan

NO_SUCH_SLICE, NO_MATCH, AMBIGUOUS = "no-such-slice", "no-match", "ambiguous"
UNSETTLED, TOO_LARGE = "unsettled", "too-large"

FRACTIONS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.86)  # of the stated SUVmax: thresholds
STANDING_OUT = 0.6  # a peak that thresholds up to this part from all hotter
REACH_MM = 150.0  # how far from the stated slice a lesion may extend
SHELL_MM = (6.0, 16.0)  # around a contour: what is taken for background
LEVEL = 0.6  # of the way from background to the mean within: where the contour lies
NEAR_MM = 100.0  # from the peak: no contour goes further
MOST_ROUNDS = 40
SMOOTHING_VOXELS = 0.6  # against noise
FIRST_LEVEL, LEVEL_STEP = 0.9, 0.02  # of the peak: where leaks are looked for
LEAP_MM, LEAP_VOXELS = 9.0, 2.2  # a contour that moves so far at one step leaks
SPECKLE_ABOVE, SPECKLE_CM3 = 0.76, 45.0  # noise that joins within a lesion is no leak
HOTTER = 1.15  # of the peak: another lesion's
ABOVE_LEAK = 0.38  # of the way from a leak to the mean within: no contour lies lower
NO_CONTRAST = 0.86  # of the peak: a leak there leaves no contour

Bool = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]
Index = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """How near a lesion must come to the stated SUVmax, and how large it may be."""

    tolerance_suv: float = 0.1
    largest_cm3: float = 1500.0


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A lesion: voxels [k, j, i] on the PET's grid, the peak, and rounds until it settled."""

    voxels: Bool
    peak_kji: Index
    rounds: int


@dataclass(frozen=True, slots=True, eq=False)
class _Slab:
    """The slices around the stated ones; `first` is the volume's k of the slab's first."""

    values: Values
    first: int
    stated: slice  # in the slab
    spacing_mm: tuple[float, float, float]
    cut: tuple[bool, bool]  # whether the volume goes on below and above

    @property
    def voxel_cm3(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000


@dataclass(frozen=True, slots=True)
class _Candidate:
    peak: Index  # in the slab
    level: float  # the lowest threshold at which nothing hotter is joined to it
    is_on_slice: bool


def lesion_at(
    scan: Scan, suv_max: float, slices: tuple[int, int], limits: Limits | None = None
) -> Found | str:
    """The lesion with this SUVmax on these slices (InstanceNumber), or the code of why not."""
    limits = limits or Limits()
    slab = _slab(scan, slices)
    if slab is None:
        return NO_SUCH_SLICE
    candidates = _candidates(slab, suv_max, limits.tolerance_suv)
    chosen = [one for one in candidates if one.is_on_slice] or candidates
    if len(chosen) != 1:
        return AMBIGUOUS if chosen else NO_MATCH
    grown = _grown(slab, chosen[0], limits.largest_cm3)
    if isinstance(grown, str):
        return grown
    within, rounds = grown
    if not within[slab.stated].any():
        return NO_MATCH
    voxels = np.zeros(scan.pet.values.shape, np.bool_)
    voxels[slab.first : slab.first + len(within)] = within
    k, j, i = chosen[0].peak
    return Found(voxels, (k + slab.first, j, i), rounds)


def _slab(scan: Scan, slices: tuple[int, int]) -> _Slab | None:
    first, last = slices
    stated = [
        k for k, one in enumerate(scan.pet.slices)
        if one.instance_number is not None and first <= one.instance_number <= last
    ]  # fmt: skip
    if not stated:
        return None
    count, spacing_mm = len(scan.pet.values), scan.pet.grid.spacing_mm
    reach = round(REACH_MM / spacing_mm[0])
    low, high = max(min(stated) - reach, 0), min(max(stated) + reach + 1, count)
    return _Slab(
        scan.pet.values[low:high], low, slice(min(stated) - low, max(stated) + 1 - low), spacing_mm,
        (low > 0, high < count),
    )  # fmt: skip


def _candidates(slab: _Slab, suv_max: float, tolerance_suv: float) -> list[_Candidate]:
    """Peaks of that height, each with the lowest threshold that parts it from all hotter.

    A faint rise above its tissue counts on the stated slices alone, and where nothing stands out.
    """
    found: dict[Index, _Candidate] = {}
    covered = np.zeros(slab.values.shape, np.bool_)
    for fraction in FRACTIONS:
        for part, peak in _parts(slab, fraction * suv_max):
            if abs(float(slab.values[peak]) - suv_max) > tolerance_suv + 1e-6 or covered[peak]:
                continue
            covered |= part
            on_slice = slab.stated.start <= peak[0] < slab.stated.stop
            if on_slice or fraction <= STANDING_OUT:
                found[peak] = _Candidate(peak, fraction * suv_max, on_slice)
        if any(one.is_on_slice for one in found.values()) and fraction >= STANDING_OUT:
            break
    return list(found.values())


def _parts(slab: _Slab, level: float) -> Iterator[tuple[Bool, Index]]:
    """Connected parts at or above a level that touch the stated slices and end in the slab."""
    from scipy import ndimage  # heavy: only for those who build pairs

    labels, _ = ndimage.label(slab.values >= level)
    touching = np.unique(labels[slab.stated])
    boxes = ndimage.find_objects(labels)
    for label in touching[touching > 0].tolist():
        box = boxes[label - 1]
        if (slab.cut[0] and box[0].start == 0) or (slab.cut[1] and box[0].stop == len(labels)):
            continue
        part = labels == label
        inside = np.where(part[box], slab.values[box], -np.inf)
        k, j, i = np.unravel_index(int(inside.argmax()), inside.shape)
        yield part, (int(k) + box[0].start, int(j) + box[1].start, int(i) + box[2].start)


def _grown(slab: _Slab, candidate: _Candidate, largest_cm3: float) -> tuple[Bool, int] | str:
    """The part about the peak whose own mean and surroundings give the level it was cut at.

    It never lies near a level at which it would leap into tissue as hot.
    """
    box = _box(slab, candidate.peak)
    near = _near(slab.values[box], _less(candidate.peak, box), slab.spacing_mm)
    leaking = near.leaking_level()
    within = near.part_at(max(leaking, 0.5 * near.height))
    if leaking > NO_CONTRAST * near.height:
        return UNSETTLED
    seen: set[bytes] = set()
    for rounds in range(MOST_ROUNDS):
        if within.sum() * slab.voxel_cm3 > largest_cm3:
            return TOO_LARGE
        mean = float(near.values[within].mean())
        background = _background(near, within)
        least = leaking + ABOVE_LEAK * (mean - leaking) if leaking else 0.0
        grown = near.part_at(max(background + LEVEL * (mean - background), least))
        fingerprint = np.packbits(grown).tobytes()
        is_settled = np.array_equal(grown, within)
        if is_settled or fingerprint in seen:  # or two contours take turns, a voxel apart
            whole = np.zeros(slab.values.shape, np.bool_)
            whole[box] = grown & within
            return whole, rounds
        seen.add(fingerprint)
        within = grown
    return UNSETTLED


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """The surroundings of a peak, a little smoothed; `height` is the peak's there."""

    values: Values
    peak: Index
    height: float
    spacing_mm: tuple[float, float, float]

    def part_at(self, level: float) -> Bool:
        """The connected part at or above a level that holds the peak."""
        from scipy import ndimage  # heavy: only for those who build pairs

        labels, _ = ndimage.label(self.values >= min(level, float(self.values[self.peak])))
        return np.asarray(labels == labels[self.peak])

    def cm3(self, part: Bool) -> float:
        return float(part.sum()) * float(np.prod(self.spacing_mm)) / 1000

    def leaking_level(self) -> float:
        """The highest level at which the part leaps into tissue or something hotter; 0 if none."""
        from scipy import ndimage  # heavy: only for those who build pairs

        leap_mm = max(LEAP_MM, LEAP_VOXELS * max(self.spacing_mm))
        part: Bool | None = None
        for fraction in np.arange(FIRST_LEVEL, FRACTIONS[0] / 2, -LEVEL_STEP):
            level = float(fraction) * self.height
            grown = self.part_at(level)
            if float(self.values[grown].max()) > HOTTER * self.height:
                return level
            if part is not None:
                away_mm = ndimage.distance_transform_edt(~part, sampling=self.spacing_mm)
                is_speckle = fraction > SPECKLE_ABOVE and self.cm3(grown) < SPECKLE_CM3
                if float(away_mm[grown].max()) > leap_mm and not is_speckle:
                    return level
            part = grown
        return 0.0


def _near(values: Values, peak: Index, spacing_mm: tuple[float, float, float]) -> _Near:
    from scipy import ndimage  # heavy: only for those who build pairs

    smooth = ndimage.gaussian_filter(values, SMOOTHING_VOXELS)
    around = tuple(slice(max(at - 1, 0), at + 2) for at in peak)
    offset = np.unravel_index(int(smooth[around].argmax()), smooth[around].shape)
    k, j, i = (side.start + int(step) for side, step in zip(around, offset, strict=True))
    return _Near(smooth, (k, j, i), float(smooth[k, j, i]), spacing_mm)


def _box(slab: _Slab, peak: Index) -> tuple[slice, slice, slice]:
    k, j, i = (
        slice(max(at - round(NEAR_MM / step), 0), at + round(NEAR_MM / step) + 1)
        for at, step in zip(peak, slab.spacing_mm, strict=True)
    )
    return k, j, i


def _less(peak: Index, box: tuple[slice, slice, slice]) -> Index:
    k, j, i = (at - int(side.start) for at, side in zip(peak, box, strict=True))
    return k, j, i


def _background(near: _Near, within: Bool) -> float:
    """The lower quartile in a shell around: a hot neighbour is no background."""
    from scipy import ndimage  # heavy: only for those who build pairs

    margin = [int(np.ceil(SHELL_MM[1] / spacing)) + 1 for spacing in near.spacing_mm]
    marked = np.argwhere(within)
    box = tuple(
        slice(max(int(low) - more, 0), int(high) + more + 1)
        for low, high, more in zip(marked.min(0), marked.max(0), margin, strict=True)
    )
    away_mm = ndimage.distance_transform_edt(~within[box], sampling=near.spacing_mm)
    shell = near.values[box][(away_mm > SHELL_MM[0]) & (away_mm <= SHELL_MM[1])]
    return float(np.percentile(shell, 25)) if shell.size else 0.0
