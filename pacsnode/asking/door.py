"""The door for what was fetched: the acceptance and the archive of what is sent to us."""

import logging

from pacsnode import log
from pacsnode.intake import acceptance
from pacsnode.intake.association import Keeper
from pacsnode.settings import Listen
from storage.errors import StorageError, Unkeepable
from storage.header import said
from storage.header.part10 import open_part10
from storage.records import Reference

MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002


class Door:
    """Keeps objects as those of one source."""

    def __init__(self, archive: Keeper, listen: Listen, source: str) -> None:
        self._archive = archive
        self._other_objects = listen.other_objects
        self._source = source

    def keep_part10(self, part10: bytes, sop_instance_uid: str) -> None:
        """Keep what came as a file, unless it is not what was asked for.

        Raises StorageError where another try may keep it.
        """
        try:
            read = open_part10(part10)
            stated = read.meta.get(MEDIA_STORAGE_SOP_CLASS_UID, b"")
            expected = Reference(stated.decode("latin-1").rstrip(" \0"), sop_instance_uid)
            self.keep(part10[read.dataset_start :], read.transfer_syntax_uid, expected)
        except StorageError as exc:
            if exc.retryable:
                raise

    def keep(self, encoded: bytes, transfer_syntax_uid: str, expected: Reference) -> None:
        """Keep an encoded dataset. Raises StorageError."""
        try:
            sop_class = expected.sop_class_uid or ""
            if transfer_syntax_uid not in acceptance.syntaxes_for(sop_class, self._other_objects):
                raise Unkeepable(
                    f"Class {said(sop_class)} is not taken in the transfer syntax "
                    f"{said(transfer_syntax_uid)}"
                )
            kept = self._archive.keep(
                encoded,
                transfer_syntax_uid=transfer_syntax_uid,
                calling_ae=self._source,
                expected=expected,
            )
        except StorageError as exc:
            log.event(
                "instance-refused", level=logging.WARNING,
                sop_instance_uid=said(expected.sop_instance_uid), error=exc, reason=str(exc),
                calling_ae=self._source,
            )  # fmt: skip
            raise
        log.event(
            "instance-kept", sop_instance_uid=kept.instance.sop_instance_uid,
            outcome=kept.outcome, calling_ae=self._source,
        )  # fmt: skip
