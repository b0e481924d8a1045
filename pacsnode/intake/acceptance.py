"""What the node takes: which classes, in which syntaxes, from whom, and with which answer.

No sockets here: tables, and pure functions on them.
"""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
    RealWorldValueMappingStorage,
    RLELossless,
    RTStructureSetStorage,
    SegmentationStorage,
)

from pacsnode.addresses import unmapped
from pacsnode.errors import BadSettings, Unavailable
from pacsnode.settings import Listen, Peer
from storage.errors import Mismatch, StorageError, Unkeepable

LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"

WORKED_ON = frozenset(map(str, (
    PositronEmissionTomographyImageStorage, EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage,
    SegmentationStorage, LABEL_MAP_SEGMENTATION_STORAGE, RTStructureSetStorage,
    RealWorldValueMappingStorage,
)))  # fmt: skip

_STANDARD = "1.2.840.10008."
_STORAGE = "1.2.840.10008.5.1.4.1.1."
STRUCTURED_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
# Protocols and inventories live under the storage arc, yet belong to no patient (PS3.4 GG, KK).
_NOT_COMPOSITE = ("1.2.840.10008.5.1.4.1.1.200.", "1.2.840.10008.5.1.4.1.1.201.")
_STORAGE_ELSEWHERE = frozenset({"1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.34.10"})

LOSSLESS = tuple(map(str, (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless,
    JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless,
    HTJ2KLossless, HTJ2KLosslessRPCL,
)))  # fmt: skip
POSSIBLY_LOSSY = tuple(map(str, (
    JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K,
)))  # fmt: skip
_ONLY_FOR_OTHERS = frozenset(map(str, (JPEGBaseline8Bit, JPEGExtended12Bit)))
# Deflated (1.2.840.10008.1.2.1.99) is left out on purpose: 300 KiB can unfold to 300 MiB.


def is_storage_class(sop_class_uid: str) -> bool:
    """Whether a class stores composite instances, as far as its UID tells; private ones may."""
    if not sop_class_uid.startswith(_STANDARD):
        return True
    if sop_class_uid.startswith(_NOT_COMPOSITE):
        return False
    return sop_class_uid.startswith(_STORAGE) or sop_class_uid in _STORAGE_ELSEWHERE


def is_worked_on(sop_class_uid: str) -> bool:
    """Whether objects of a class are input to reports, or reports."""
    return sop_class_uid in WORKED_ON or sop_class_uid.startswith(STRUCTURED_REPORTS)


def syntaxes_for(sop_class_uid: str, other_objects: Literal["keep", "reject"]) -> frozenset[str]:
    """The transfer syntaxes in which objects of a class are taken; none if the class is not."""
    if is_worked_on(sop_class_uid):
        return frozenset(LOSSLESS + POSSIBLY_LOSSY) - _ONLY_FOR_OTHERS
    if other_objects == "keep" and is_storage_class(sop_class_uid):
        return frozenset(LOSSLESS + POSSIBLY_LOSSY)
    return frozenset()


def in_order(proposed: Iterable[Sequence[str]], taken: frozenset[str]) -> tuple[str, ...]:
    """Of the syntaxes a sender lists, context by context, the taken ones as it prefers them.

    The sender's first choice is what it holds, so that nothing is converted on the way; syntaxes
    that may have lost something go last all the same.
    """
    listed = dict.fromkeys(syntax for syntaxes in proposed for syntax in syntaxes)
    taken_here = [syntax for syntax in listed if syntax in taken]
    return tuple(sorted(taken_here, key=lambda syntax: syntax in POSSIBLY_LOSSY))


# who


@dataclass(frozen=True, slots=True)
class Callers:
    """The configured senders with their addresses; with none, everyone the socket can hear."""

    peers: tuple[tuple[str, frozenset[str]], ...]  # AE title; addresses or networks, none for any

    @classmethod
    def from_peers(cls, peers: Sequence[Peer]) -> Self:
        """Resolve host names once. Raises Unavailable where one is not known, BadSettings where
        it cannot be a name."""
        return cls(tuple((peer.ae_title, _addresses(peer)) for peer in peers))

    def may_connect(self, address: str) -> bool:
        """Whether any configured sender lives at this address."""
        return not self.peers or any(_holds(known, address) for _, known in self.peers)

    def may_send(self, calling_ae: str, address: str) -> bool:
        """Whether this AE title may open an association from this address."""
        calling = calling_ae.strip()
        return not self.peers or any(
            calling == title and _holds(known, address) for title, known in self.peers
        )


def _addresses(peer: Peer) -> frozenset[str]:
    if peer.address is None:
        return frozenset()
    try:
        return frozenset({str(ipaddress.ip_network(peer.address, strict=False))})
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(peer.address, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        # the name server may be away: a later start finds it
        kind = Unavailable if isinstance(exc, OSError) else BadSettings
        raise kind(
            f"Setting 'listen.peers': {peer.address!r} of {peer.ae_title} is neither an address "
            "nor a host name that resolves"
        ) from exc
    return frozenset(str(ipaddress.ip_network(entry[4][0])) for entry in found)


def _holds(networks: frozenset[str], address: str) -> bool:
    if not networks:
        return True
    seen = ipaddress.ip_address(unmapped(address))
    return any(seen in ipaddress.ip_network(network) for network in networks)


def bind_address(listen: Listen) -> str:
    """Where to listen: everywhere only if senders are configured. Raises BadSettings."""
    if listen.peers:
        return listen.address or "0.0.0.0"  # noqa: S104 - who may send is configured
    address = listen.address or "127.0.0.1"
    try:
        loopback = address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BadSettings(
            f"Setting 'listen.address': {address} is open to others, so say in 'listen.peers' who "
            "may send; without peers the node listens on loopback only"
        )
    return address


# with which answer (PS3.4 table B.2-1)

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
# how a status is counted
REASONS = {
    OUT_OF_RESOURCES: "out-of-resources",
    MISMATCH: "mismatch",
    CANNOT_UNDERSTAND: "cannot-understand",
}


def status_for(error: Exception) -> int:
    """The C-STORE status that tells a sender what became of its object."""
    if isinstance(error, Mismatch):
        return MISMATCH
    if isinstance(error, Unkeepable):
        return CANNOT_UNDERSTAND
    if isinstance(error, MemoryError) or (isinstance(error, StorageError) and error.retryable):
        return OUT_OF_RESOURCES
    return CANNOT_UNDERSTAND
