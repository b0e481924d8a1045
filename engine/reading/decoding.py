"""Decode compressed pixel data in a process of its own, with its memory and time limited.

Decoders are native code fed with bytes from a peer: they may crash, hang or fill the memory. The
child (decode_child.py) may write no more than what the headers state, into a file without a name.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from engine.errors import Unreadable

COMPRESSED = frozenset(
    map(
        str,
        (
            RLELossless,
            JPEGLossless,
            JPEGLosslessSV1,
            JPEGLSLossless,
            JPEGLSNearLossless,
            JPEG2000Lossless,
            JPEG2000,
            HTJ2KLossless,
            HTJ2KLosslessRPCL,
            HTJ2K,
        ),
    )
)
LOSSY = frozenset(map(str, (JPEGLSNearLossless, JPEG2000, HTJ2K)))

Request = tuple[Path, tuple[int, ...], str]  # path, (frames, rows, columns[, samples]), dtype

_CHILD = Path(__file__).with_name("decode_child.py")
_BATCH_BYTES = 128 * 2**20
_BASE_MEMORY_BYTES = 2**30  # what Python, NumPy and the decoders take before they decode
_SECONDS = 30.0
_BYTES_A_SECOND = 4e6  # an eighth of the slowest decoder measured


class Undecodable(Unreadable):
    """The decoder gave no pixels for the request at `index`."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(
            f"The decoder gave no pixels for compressed file {index + 1}: {why}",
            code="undecodable",
        )
        self.index = index
        self.why = why


def decode(requests: Sequence[Request]) -> Iterator[npt.NDArray[np.integer]]:
    """Stored values [frame, row, column] of each file, in the order of the requests.

    Unreadable says which one failed by its number among them, never by its name.
    """
    batch: list[Request] = []
    done = 0
    for request in requests:
        if batch and sum(map(_size_bytes, (*batch, request))) > _BATCH_BYTES:
            yield from _decode_batch(batch, done)
            done += len(batch)
            batch = []
        batch.append(request)
    if batch:
        yield from _decode_batch(batch, done)


def decode_frame(request: Request, frame: int) -> npt.NDArray[np.integer]:
    """One frame [row, column] or [row, column, sample] of a file; the request's shape holds one
    frame, and `frame` counts from 0. Raises Undecodable."""
    (frames,) = _decode_batch([request], 0, frame)
    return frames.reshape(request[1][1:])


def _decode_batch(
    batch: list[Request], before: int, frame: int | None = None
) -> Iterator[npt.NDArray[np.integer]]:
    sizes = [_size_bytes(request) for request in batch]
    with tempfile.TemporaryFile() as decoded:
        failure = _run_child(batch, sizes, decoded, frame)
        written = decoded.seek(0, 2)
        if failure is not None or written != sum(sizes):
            raise _failed(before, sizes, written, failure or "it stopped early")
        decoded.seek(0)
        for (_, shape, dtype), size in zip(batch, sizes, strict=True):
            yield np.frombuffer(decoded.read(size), dtype).reshape(shape)


def _run_child(
    batch: list[Request], sizes: list[int], decoded: IO[bytes], frame: int | None
) -> str | None:
    """None when the child says it decoded all; otherwise why not."""
    errand = {
        "files": [
            {"path": str(path.resolve()), "shape": shape, "dtype": dtype, "frame": frame}
            for path, shape, dtype in batch
        ],
        "memory_bytes": _BASE_MEMORY_BYTES + 4 * max(sizes),
        "file_bytes": sum(sizes),
        "cpu_s": int(_SECONDS + sum(sizes) / _BYTES_A_SECOND) + 1,
    }
    try:
        child = subprocess.run(  # noqa: S603 - our own program, no shell, no peer's words
            [sys.executable, "-I", str(_CHILD)],
            input=json.dumps(errand).encode(),
            stdout=decoded,
            stderr=subprocess.PIPE,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            timeout=_SECONDS + sum(sizes) / _BYTES_A_SECOND,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it took too long"
    if child.returncode == 0:
        return None
    if child.returncode < 0:
        return f"it died of signal {-child.returncode}"
    return child.stderr.decode("ascii", "replace")[-200:].strip() or "it failed"


def _failed(before: int, sizes: list[int], written: int, why: str) -> Undecodable:
    """The child writes one file after another: the first that is not whole has failed."""
    whole = int(np.searchsorted(np.cumsum(sizes), written, side="right"))
    return Undecodable(before + min(whole, len(sizes) - 1), why)


def _size_bytes(request: Request) -> int:
    _, shape, dtype = request
    return prod(shape) * np.dtype(dtype).itemsize
