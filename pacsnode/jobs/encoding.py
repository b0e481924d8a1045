"""A dataset as the archive keeps it."""

import io

from pydicom import Dataset, dcmwrite


def encoded(dataset: Dataset) -> bytes:
    """The dataset alone, without preamble and group 0002, in Explicit VR Little Endian."""
    bare = Dataset({tag: element for tag, element in dataset.items() if tag.group > 2})
    buffer = io.BytesIO()
    dcmwrite(buffer, bare, implicit_vr=False, little_endian=True)
    return buffer.getvalue()
