"""Datasets as a sender encodes them: without preamble and group 0002."""

from copy import deepcopy
from io import BytesIO

import numpy as np
from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from storage.header.part10 import open_part10


def part10_bytes(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """A whole file, its pixels compressed where the syntax asks for it."""
    copy = deepcopy(dataset)
    syntax = UID(transfer_syntax_uid)
    if syntax.is_compressed and copy.file_meta.TransferSyntaxUID != syntax:
        copy.compress(syntax, generate_instance_uid=False)
    copy.file_meta.TransferSyntaxUID = syntax
    if not syntax.is_little_endian and copy.get("BitsAllocated") == 16:
        copy.PixelData = np.frombuffer(copy.PixelData, "<u2").byteswap().tobytes()
    buffer = BytesIO()
    dcmwrite(
        buffer,
        copy,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return buffer.getvalue()


def encoded(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """What a C-STORE carries."""
    whole = part10_bytes(dataset, transfer_syntax_uid)
    return whole[open_part10(whole).dataset_start :]
