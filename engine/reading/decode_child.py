"""The program that decodes: stdin says which files, stdout takes their stored values.

Run as `python -I decode_child.py`; it knows nothing of the rest of pacsnode.
"""

import json
import resource
import sys
import warnings

import numpy as np
import pydicom
from pydicom.pixels import get_decoder


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
        values = stored_values(file["path"], tuple(file["shape"]), file["dtype"])
        sys.stdout.buffer.write(values)
        sys.stdout.buffer.flush()
    return 0


def stored_values(path: str, shape: tuple[int, int, int], dtype: str) -> bytes:
    """All frames of one file as bytes of `dtype`, or ValueError where the shape is another."""
    header = pydicom.dcmread(path)
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    values, _ = decoder.as_array(header, raw=True)
    if values.ndim == 2:
        values = values[None]
    if values.shape != shape:
        raise ValueError("the decoded size is not the stated one")
    return np.ascontiguousarray(values.astype(dtype, casting="unsafe")).tobytes()


if __name__ == "__main__":
    sys.exit(main())
