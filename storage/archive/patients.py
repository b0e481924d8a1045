"""Keyed digests of who an object is about: they compare patients and tell nobody who they are."""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, insert, select

from storage.errors import REBUILD, IndexFault
from storage.files import NEW_FILE, disk_errors, sync_folder
from storage.header import Patient
from storage.tables import keys, reading, writing

KEY_FILE: Final = "digest.key"
KEY_BYTES: Final = 32


class PatientDigests:
    """Digests under the archive's own key; a key file beside the index holds it."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, root: Path, database: Engine) -> "PatientDigests":
        """The key of an archive, made once. Raises IndexFault where it is not the index's."""
        key = _read_or_make(root / KEY_FILE)
        fingerprint = hashlib.sha256(b"fingerprint" + key).hexdigest()
        if _fingerprint(database) is None:
            _remember(database, fingerprint)
        if _fingerprint(database) != fingerprint:
            raise IndexFault(f"{KEY_FILE} is not the key that this index was made with; {REBUILD}")
        return cls(key)

    def of_id(self, patient: Patient) -> str | None:
        """Of PatientID alone: the issuer is often missing from derived objects."""
        return self._digest("id", patient.patient_id)

    def of_name(self, patient: Patient) -> str | None:
        """Of PatientName with PatientBirthDate; None unless both are stated."""
        if not patient.name or not patient.birth_date:
            return None
        # PS3.5 6.2.1: empty trailing components may be left out; case is no difference of person
        name = "=".join(group.rstrip("^ ") for group in patient.name.split("=")).rstrip("=")
        return self._digest("name", f"{name.casefold()}\0{patient.birth_date}") if name else None

    def _digest(self, kind: str, identity: str | None) -> str | None:
        if not identity:
            return None
        return hmac.new(self._key, f"{kind}\0{identity}".encode(), hashlib.sha256).hexdigest()


def _read_or_make(path: Path) -> bytes:
    with disk_errors():
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise IndexFault(f"{KEY_FILE} is damaged: restore it, or remove it, then {REBUILD}")
    return key


def _make(path: Path) -> None:
    # linked into place whole, so that two processes that start together agree on one key
    temporary = path.with_name(f".{KEY_FILE}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, NEW_FILE, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(temporary)
    temporary.unlink()
    sync_folder(path.parent)


def _fingerprint(database: Engine) -> str | None:
    with reading(database) as connection:
        return connection.scalar(select(keys.c.fingerprint))


def _remember(database: Engine, fingerprint: str) -> None:
    with writing(database) as connection:
        if connection.scalar(select(keys.c.fingerprint)) is None:
            connection.execute(insert(keys).values(fingerprint=fingerprint))
