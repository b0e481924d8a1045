"""One Part 10 file's header, and where in the file its pixel data begins."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from engine.errors import Unreadable

# Validation warnings quote the offending value, which may be a patient's; we check what we use.
config.settings.reading_validation_mode = config.IGNORE

# All that pydicom was seen to raise on malformed files, lazily converted values included.
FOREIGN = (
    InvalidDicomError,
    BytesLengthException,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # NotImplementedError and RecursionError with it
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A file's dataset up to its pixel data, which starts `pixels_at` bytes into the file."""

    path: Path
    header: FileDataset
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    pixels_at: int


def read_instance(path: Path, name: str = "The file") -> Instance:
    """Read everything before the pixel data, or raise Unreadable.

    Errors call the file `name`: its own name may be the patient's.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            _refuse_deflated(path, name)
            header = pydicom.dcmread(file, stop_before_pixels=True)
            pixels_at = file.tell()
            return Instance(
                path=path,
                header=header,
                sop_class_uid=str(header.SOPClassUID),
                sop_instance_uid=str(header.SOPInstanceUID),
                series_instance_uid=str(header.SeriesInstanceUID),
                transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
                pixels_at=pixels_at,
            )
    except FOREIGN as exc:
        raise Unreadable(f"{name} is no readable DICOM image ({type(exc).__name__})") from exc


def _refuse_deflated(path: Path, name: str) -> None:
    """A deflated dataset is inflated whole, 1000 times its size if a sender wants that."""
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise Unreadable(
            f"The dataset of {name} is deflated, which is not accepted",
            code="deflated-dataset",
        )
