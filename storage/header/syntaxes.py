"""How a transfer syntax encodes the dataset around the pixels (PS3.5 annex A)."""

from typing import Final, NamedTuple

from storage.errors import Unkeepable
from storage.header.uids import is_uid, said

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
STANDARD: Final = "1.2.840.10008.1.2."  # all others below it are explicit VR, little endian
DEFLATED: Final = frozenset(
    (
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    )
)


class Encoding(NamedTuple):
    """What a reader must know before the first element."""

    implicit_vr: bool
    little_endian: bool


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """How the dataset is encoded. Raises Unkeepable for deflated and for private syntaxes."""
    if transfer_syntax_uid in DEFLATED:
        raise Unkeepable(
            "Deflated transfer syntaxes are not taken: 1 KB can inflate to 1 MB; "
            "send Explicit VR Little Endian"
        )
    if transfer_syntax_uid != IMPLICIT_LITTLE and not (
        is_uid(transfer_syntax_uid) and transfer_syntax_uid.startswith(STANDARD)
    ):
        raise Unkeepable(
            f"The transfer syntax, {said(transfer_syntax_uid)}, is none of the standard"
        )
    return Encoding(
        implicit_vr=transfer_syntax_uid == IMPLICIT_LITTLE,
        little_endian=transfer_syntax_uid != EXPLICIT_BIG,
    )
