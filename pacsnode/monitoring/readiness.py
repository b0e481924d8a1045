"""Whether the node is fit to take studies and report them, check by check, with reasons."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from pacsnode.jobs.bookmark import BOOKMARK, Bookmark
from pacsnode.jobs.describers import writes_with_a_model
from pacsnode.jobs.model_status import read_model_status
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.archive.door import INDEX_FILE
from storage.errors import StorageError

# a probe that asks now and then sees nothing of the time between two workers
RESTART_TOLD_FOR_S: Final = 3600.0
SILENT_AFTER_S: Final = 120.0  # a worker that turns every fifth of a second, and said nothing


class Worker(Protocol):
    """What is known of the worker process from outside."""

    @property
    def pid(self) -> int | None: ...

    @property
    def started_at_s(self) -> float: ...

    @property
    def starts(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so; `reason` is a sentence where it is not, or has its limits."""

    name: str
    passed: bool
    reason: str | None = None


class Readiness:
    """Asks everything that a report passes through."""

    def __init__(
        self,
        archive: Archive,
        settings: Settings,
        worker: Worker | None,
        is_listening: Callable[[], bool] | None,
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._worker = worker
        self._is_listening = is_listening
        self._bookmark = Bookmark(settings.home / BOOKMARK, archive.root / INDEX_FILE)

    def checks(self) -> tuple[Check, ...]:
        """Every check, failed ones with the reason; never raises for a disk or an index."""
        return tuple(self._all())

    def unread_since_s(self) -> float | None:
        """When the first object came that the worker has not looked at. Raises StorageError."""
        first = self._archive.first_received_after(self._bookmark.read_looked())
        return first.timestamp() if first is not None else None

    def _all(self) -> Iterator[Check]:
        yield self._stored("archive", self._archive.check_writable)
        yield self._stored("index", lambda: self._archive.first_received_after(0))
        if self._is_listening is not None:
            listens = self._is_listening()
            yield Check("listener", listens, None if listens else "Nothing listens for DICOM")
        if self._worker is not None:
            reason = self._of_worker(self._worker)
            yield Check("worker", reason is None, reason or _restart_told(self._worker))
        yield self._model()

    def _stored(self, name: str, ask: Callable[[], object]) -> Check:
        try:
            ask()
        except StorageError as exc:
            return Check(name, False, str(exc))
        return Check(name, True)

    def _of_worker(self, worker: Worker) -> str | None:
        if worker.pid is None:
            return "The worker process does not run: the log says why it ended"
        turned_at_s = self._bookmark.touched_at_s()
        if turned_at_s is None or turned_at_s < worker.started_at_s:
            return "The worker process has not begun its work: it starts, or loads the model"
        silent_s = time.time() - turned_at_s
        if silent_s > SILENT_AFTER_S:
            return f"The worker process runs and gave no sign of life for {silent_s:.0f} s"
        return None

    def _model(self) -> Check:
        if not writes_with_a_model(self._settings.describe):
            return Check("model", True, "The template writes the words; no model is set")
        status = read_model_status(self._settings.home)
        if status is None:
            return Check("model", False, "The model is not loaded yet")
        if status.state in ("ready", "template"):
            return Check("model", True, status.in_words())
        return Check("model", False, status.in_words())


def _restart_told(worker: Worker) -> str | None:
    """What an administrator should know of a worker that is at work again."""
    if worker.starts <= 1 or time.time() - worker.started_at_s > RESTART_TOLD_FOR_S:
        return None
    at = datetime.fromtimestamp(worker.started_at_s, UTC)
    return (
        f"The worker process ended and was started anew at {at:%H:%M:%S} UTC, start "
        f"{worker.starts} since the node began: the log says why it ended"
    )
