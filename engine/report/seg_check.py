"""seg_problems: whether a SEG of ours holds exactly the voxels that were measured."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from engine.geometry import Grid
from engine.lesion import Segment

NEAREST = 0.5  # of a voxel: a real table creeps, so that a slice lies beside its lattice


def seg_problems(seg: Dataset, segments: Sequence[Segment], pet: Grid) -> Iterator[str]:
    """Every difference in words; segment n of the SEG is to hold the mask of `segments[n - 1]`.

    A frame is taken for the slice that its own position says (PS3.3 C.7.6.16.2.3).
    """
    lacking = [set(np.flatnonzero(each.mask.voxels.any(axis=(1, 2)))) for each in segments]
    for index, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        k = _slice_of(frame, seg, pet)
        if k is None:
            yield f"frame {index + 1} of the SEG does not lie on a slice of the PET"
            continue
        identified = _stated(frame, seg, "SegmentIdentificationSequence")
        number = int(identified.ReferencedSegmentNumber)
        if not 0 < number <= len(segments):
            yield f"frame {index + 1} of the SEG is of segment {number}, which was not measured"
            continue
        if not np.array_equal(_pixels(seg, index), segments[number - 1].mask.voxels[k]):
            yield f"segment {number} marks other voxels of slice k={k} than were measured"
        lacking[number - 1].discard(k)
    for number, slices in enumerate(lacking, start=1):
        if slices:
            yield f"segment {number} lacks slice k={', '.join(map(str, sorted(slices)))}"


def _slice_of(frame: Dataset, seg: Dataset, pet: Grid) -> int | None:
    """The k of the PET whose voxels the frame's pixels are, None where they are no slice's."""
    position = _stated(frame, seg, "PlanePositionSequence").ImagePositionPatient
    orientation = _stated(frame, seg, "PlaneOrientationSequence").ImageOrientationPatient
    between_rows, between_columns = _stated(frame, seg, "PixelMeasuresSequence").PixelSpacing
    along_row, along_column = np.array(orientation, np.float64).reshape(2, 3)
    last = int(seg.Rows) - 1, int(seg.Columns) - 1
    corners = np.array([(0, 0), (0, last[1]), (last[0], 0), last])
    lps_mm = (
        np.array(position, np.float64)
        + corners[:, :1] * float(between_rows) * along_column
        + corners[:, 1:] * float(between_columns) * along_row
    )
    kji = pet.to_kji(lps_mm)
    k = round(float(kji[:, 0].mean()))
    expected = np.column_stack((np.full(4, k), corners))
    is_whole = (last[0] + 1, last[1] + 1) == pet.shape[1:]
    on_slice = 0 <= k < pet.shape[0] and bool((np.abs(kji - expected) < NEAREST).all())
    return k if is_whole and on_slice else None


def _stated(frame: Dataset, seg: Dataset, keyword: str) -> Dataset:
    holder = frame if keyword in frame else seg.SharedFunctionalGroupsSequence[0]
    stated: Dataset = holder[keyword].value[0]
    return stated


def _pixels(seg: Dataset, index: int) -> npt.NDArray[np.bool_]:
    """One frame of Bits Allocated 1: bits follow one another, the lowest first (PS3.5 8.1.1)."""
    size = int(seg.Rows) * int(seg.Columns)
    first = index * size
    octets = np.frombuffer(seg.PixelData, np.uint8)[first // 8 : (first + size + 7) // 8]
    bits = np.unpackbits(octets, bitorder="little")[first % 8 :][:size]
    return bits.reshape(int(seg.Rows), int(seg.Columns)).astype(np.bool_)
