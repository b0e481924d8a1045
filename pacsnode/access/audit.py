"""The audit log: every action with who, when and why."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pacsnode import log
from pacsnode.access.audit_message import (
    Deed,
    Outcome,
    Transfer,
    message,
    transfer_message,
)
from pacsnode.access.person import LOCAL, Person
from pacsnode.access.trail import Trail
from pacsnode.settings import Settings

FOLDER: Final = "audit"
ONCE_S: Final = 600.0  # a person's looking at one study is told once in this time
MOST_KEPT: Final = 1000
MOST_STUDIES: Final = 100  # of one message: a syslog server may take no long ones


class Audit:
    """Writes what was done. Holds UIDs, never a patient's name or id.

    Without a folder it tells the log of the process alone.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        source: str = "pacsnode",
        site: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trail = Trail(folder) if folder is not None else None
        self._source = source
        self._site = site
        self._clock = clock
        self._told: OrderedDict[tuple[str, str, str | None], float] = OrderedDict()
        self._lock = threading.Lock()

    def write(
        self,
        action: str,
        person: Person,
        *,
        study: str | None = None,
        objects: Sequence[str] = (),
        reason: str = "",
        outcome: Outcome = "success",
        address: str = "",
        query: str = "",
    ) -> None:
        """Tell of an action on a study, by its UID, and on objects, by theirs.

        `address` is where a person asked from, where it is known; `query` names what was searched
        by, without the values. A disk that fails is told of in the log, and stops nobody.
        """
        deed = Deed(action, person, outcome, study, tuple(objects), reason, address, query)
        now = datetime.now(UTC)
        self._append(message(deed, self._source, self._site, now), now, action)
        log.event(
            "audit", code=action, study_instance_uid=study, count=len(objects), outcome=outcome
        )

    def transferred(self, transfer: Transfer) -> None:
        """Tell of objects that came or went. A disk that fails stops nobody, as with `write`."""
        studies = list(transfer.studies.items())
        for start in range(0, len(studies), MOST_STUDIES):
            some = replace(transfer, studies=dict(studies[start : start + MOST_STUDIES]))
            now = datetime.now(UTC)
            told = transfer_message(some, self._source, self._site, now)
            self._append(told, now, transfer.way)
        count = sum(transfer.studies.values())
        log.event("audit", code=transfer.way, count=count, outcome=transfer.outcome)

    def _append(self, line: str, now: datetime, code: str) -> None:
        try:
            if self._trail is not None:
                self._trail.append(line, now)
        except OSError as exc:
            log.event("audit-failed", level=logging.ERROR, code=code, reason=exc.strerror)

    def write_once(self, action: str, person: Person, *, study: str | None, address: str) -> None:
        """Tell of what comes many times over, as frames do, once in a while."""
        key, now = (action, person.name, study), self._clock()
        with self._lock:
            last = self._told.get(key)
            if last is not None and now - last < ONCE_S:
                return
            self._told[key] = now
            self._told.move_to_end(key)
            while len(self._told) > MOST_KEPT:
                self._told.popitem(last=False)
        self.write(action, person, study=study, address=address)

    def started(self) -> None:
        """Tell that the node runs."""
        self.write("start", LOCAL)

    def stopped(self) -> None:
        """Tell that it ends in good order."""
        self.write("stop", LOCAL)


def open_audit(settings: Settings) -> Audit:
    """The audit log of a home; commands beside the node may write to it as well."""
    return Audit(
        settings.home / FOLDER,
        source=settings.audit.source or settings.listen.ae_title,
        site=settings.audit.site,
    )
