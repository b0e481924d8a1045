"""A kept Part 10 file on its way out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacsnode.errors import DeliveryFailed, DeliveryRejected

LITTLE_ENDIAN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass(frozen=True, slots=True)
class Other:
    """The last document in another class, for who takes it in no class before.

    It goes with what the last one refers to, unless it `stands_alone`. `make` makes it, or finds
    it made, and keeps it.
    """

    sop_class_uid: UID
    stands_alone: bool
    make: Callable[[], Path]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What its group 0002 says of a file (PS3.10 7.1)."""

    path: Path
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID

    @property
    def syntaxes(self) -> tuple[UID, ...]:
        """The syntax it is kept in first, then those it can be written in without a codec."""
        kept = self.transfer_syntax_uid
        others = LITTLE_ENDIAN if kept in LITTLE_ENDIAN else ()
        return (kept, *(syntax for syntax in others if syntax != kept))


def outgoing(path: Path) -> Outgoing:
    """Read one. Raises DeliveryFailed, and DeliveryRejected where it is damaged."""
    try:
        meta = read_file_meta_info(path)
        return Outgoing(
            path,
            UID(meta.MediaStorageSOPClassUID),
            UID(meta.MediaStorageSOPInstanceUID),
            UID(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, AttributeError) as exc:
        raise DeliveryRejected(
            f"{path.name} is not a Part 10 file with its class, instance and transfer syntax",
            fix="Restore the file from a backup, or run pacsnode reindex",
        ) from exc
    except OSError as exc:
        raise DeliveryFailed(f"Cannot read {path.name}: {exc.strerror}") from exc


def told(one: Outgoing, outcome: str, *, reason: int | None = None, instead_of: str = "") -> (
    dict[str, str]
):  # fmt: skip
    """What became of a document at a destination, for the journal."""
    answer = {"sop_instance_uid": str(one.sop_instance_uid), "outcome": outcome}
    if reason is not None:
        answer["reason"] = f"0x{reason:04X}"
    if instead_of:
        answer |= {"sop_class_uid": str(one.sop_class_uid), "instead_of": instead_of}
    return answer
