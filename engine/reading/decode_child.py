"""The program that decodes: stdin says which files, stdout takes their stored values.

Run as `python -I decode_child.py`; it knows nothing of the rest of pacsnode.
"""

import json
import resource
import sys
import warnings

import numpy as np
import pydicom
from pydicom.encaps import generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder

_J2K_SIZE = b"\xff\x4f\xff\x51"  # SOC, SIZ: ISO/IEC 15444-1 A.5.1
# SOF0-3 and JPEG-LS' SOF55; the arithmetic and hierarchical ones are no DICOM syntax.
_JPEG_FRAME = (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)


def main() -> int:
    """Decode each file of the errand within its limits; one word on stderr says what failed."""
    sys.excepthook = lambda kind, *_: print(kind.__name__, file=sys.stderr, end="")  # noqa: T201
    errand = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    for limit, most in (
        (resource.RLIMIT_AS, errand["memory_bytes"]),
        (resource.RLIMIT_FSIZE, errand["file_bytes"]),
        (resource.RLIMIT_CPU, errand["cpu_s"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    for file in errand["files"]:
        values = stored_values(file["path"], tuple(file["shape"]), file["dtype"], file["frame"])
        sys.stdout.buffer.write(values.data)
        sys.stdout.buffer.flush()
    return 0


def stored_values(
    path: str, shape: tuple[int, ...], dtype: str, frame: int | None = None
) -> np.ndarray:
    """All frames of one file as `dtype`, or one; ValueError where the shape is another.

    Colours (a shape with samples) come as RGB, whatever they were compressed as.
    """
    header = pydicom.dcmread(path)
    if frame is None:
        coded = generate_frames(header.PixelData, number_of_frames=shape[0])
    else:
        count = int(header.get("NumberOfFrames") or 1)
        coded = iter([get_frame(header.PixelData, frame, number_of_frames=count)])
    for one in coded:
        # Decoders reshape what they got to what the header says, transposed if need be.
        if stated_size(one) not in (None, shape[1:3]):
            raise ValueError("the size within the compressed frame is not the stated one")
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    values, _ = decoder.as_array(header, raw=len(shape) == 3, index=frame)
    if values.ndim == len(shape) - 1:
        values = values[None]
    if values.shape != shape:
        raise ValueError("the decoded size is not the stated one")
    return np.ascontiguousarray(values.astype(dtype, casting="unsafe", copy=False))


def stated_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame states; None for RLE."""
    if (at := frame.find(_J2K_SIZE, 0, 4096)) >= 0:
        across, down, left, top = np.frombuffer(frame[at + 8 : at + 24], ">u4").tolist()
        return down - top, across - left
    at = 2 if frame.startswith(b"\xff\xd8") else len(frame)
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        if frame[at + 1] in _JPEG_FRAME:
            return int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9])
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


if __name__ == "__main__":
    sys.exit(main())
