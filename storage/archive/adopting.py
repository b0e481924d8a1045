"""Files that the index lacks, taken into it: after a crash, a lost index, or to rebuild it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from storage.archive.keeping import Keeper
from storage.catalog import Catalog
from storage.errors import Exhausted, IndexFault, StorageError, StorageFull, Unkeepable
from storage.files import Objects, Receipt, read_receipt

LOG: Final = logging.getLogger("storage.archive")
HEAD_BYTES: Final = 4096  # group 0002 of ours is far smaller


@dataclass(frozen=True, slots=True)
class Adoption:
    """How many files were taken in, and how many could not be."""

    adopted: int
    unreadable: int


def adopt_orphans(objects: Objects, catalog: Catalog, keeper: Keeper) -> Adoption:
    """Give every file without a row its row, in the order in which they came.

    The order matters only among files of one SOP Instance UID, all of which claim to be first.
    A file that the program itself fails on is counted as unreadable: it must hold up no start.
    Raises StorageFull, Exhausted, IndexFault: those are no file's fault.
    """
    orphans = set(objects.digests()) - catalog.digests()
    adopted = unreadable = 0
    for sha256 in sorted(orphans, key=lambda digest: _came(objects, digest)):
        try:
            keeper.adopt(sha256)
        except (StorageFull, Exhausted, IndexFault):
            raise
        except Exception as exc:  # noqa: BLE001 one file must not keep the others out
            # another's words may quote what is in the file
            reason = str(exc) if isinstance(exc, StorageError) else type(exc).__name__
            told = {"sha256": sha256, "reason": reason}
            LOG.error("object-not-adopted", extra={"fields": told})
            unreadable += 1
        else:
            adopted += 1
    return Adoption(adopted, unreadable)


def _came(objects: Objects, sha256: str) -> tuple[bool, datetime, str]:
    try:
        with (objects.root / objects.path_of(sha256)).open("rb") as file:
            receipt = read_receipt(file.read(HEAD_BYTES))
    except (OSError, Unkeepable):
        receipt = None
    if receipt is None:
        receipt = Receipt(datetime.max.replace(tzinfo=UTC), None, "kept", None)
    return receipt.standing != "kept", receipt.received_at, sha256
