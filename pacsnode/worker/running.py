"""The worker from start to end: its lock, its durable work, its loop."""

import faulthandler
import fcntl
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from engine.finding import Describer
from pacsnode import log
from pacsnode.errors import NodeError
from pacsnode.jobs import journal
from pacsnode.jobs.asked import ASKED
from pacsnode.jobs.bookmark import BOOKMARK, Bookmark
from pacsnode.jobs.describers import Awaited, describing, hangs, writes_with_a_model
from pacsnode.jobs.desk import Backoff, Desk
from pacsnode.jobs.making import end_hung_process
from pacsnode.jobs.model_status import ModelStatus, forget_model_status, write_model_status
from pacsnode.jobs.opening import durable
from pacsnode.jobs.reviving import Reviver, take_up_deliveries, take_up_now
from pacsnode.jobs.suspects import Suspects
from pacsnode.jobs.workflows import studies_being_fetched, work_at
from pacsnode.settings import Settings
from pacsnode.worker.deciding import decide
from pacsnode.worker.lifeline import Lifeline
from pacsnode.worker.watching import Watch
from storage.archive import Archive
from storage.archive.door import INDEX_FILE
from storage.errors import StorageError
from storage.records import Decision

POLL_S = 0.2
REVIVE_EVERY_S = 2.0
PREDECESSOR_ENDS_WITHIN_S = 20.0
STUCK_EVERY_S = 60.0
STUCK = 75  # exit status: EX_TEMPFAIL of sysexits.h
SILENT_FOR_S = 900.0
DRAIN_S = 5


def work(
    settings: Settings,
    *,
    lifeline: Lifeline | None = None,
    may_wait_for_model: bool = False,
    backoff: Backoff | None = None,
) -> int:
    """Work until SIGTERM, SIGINT or the end of `lifeline`; gives the exit code.

    With a lifeline SIGINT is left to the process at its other end, which is told by the same
    terminal. Raises NodeError where another worker has this home, BadSettings where the model
    cannot be loaded and nothing may wait for it, StorageError.
    """
    if lifeline is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with working(
        settings, check=lifeline is None, may_wait_for_model=may_wait_for_model, backoff=backoff
    ) as worker:
        # only now: while a model is loaded, the end of the pipe or a signal ends it all at once
        stopping = lifeline.take() if lifeline is not None else threading.Event()
        _stop_on_signals(stopping, interrupts=lifeline is None)
        log.event("worker-ready", pid=os.getpid())
        worker.sign_of_life = _arm_watchdog
        while not stopping.wait(POLL_S):
            worker.turn()
            if worker.is_stuck():
                log.event("worker-stuck", level=logging.ERROR)
                return STUCK
            worker.end_where_the_model_hangs()
        faulthandler.cancel_dump_traceback_later()
    return 0


class Worker:
    """One loop's state; `turn` is one round of it."""

    def __init__(self, desk: Desk, bookmark: Bookmark) -> None:
        self._desk = desk
        self._bookmark = bookmark
        self._watch = Watch(
            desk.archive, desk.settings.assembly.quiet_s, cursor=bookmark.read(),
            fetched=studies_being_fetched if desk.settings.sources else frozenset,
        )  # fmt: skip
        self._changed: set[str] = set()
        self._put_off: Counter[str] = Counter()
        self._reviver = Reviver(desk)
        self._revived_s = self._asked_s = time.monotonic()
        # what was asked before is found by the last lines of the masks, in `begin`
        self._asked_cursor, _ = desk.archive.decisions_since(0, ())
        self._to_take_up: list[Decision] = []
        self._awaited = desk.describer if isinstance(desk.describer, Awaited) else None
        self.sign_of_life: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Take up what an earlier process left."""
        latest = self._desk.archive.latest_decisions()
        masks = [line for line in latest if line.mask_instance_uid is not None]
        given_up = {line.mask_instance_uid for line in masks if journal.is_given_up(line)}
        self._watch.again(
            line.study_instance_uid
            for line in latest
            if line.state in ("waiting", "ready", "running")
            or (line.state == "failed" and line.mask_instance_uid is None)
            or line.facts.get("later_mask") in given_up
            or line.code in ASKED  # while nobody worked: a cancel lets an earlier version stand
        )
        take_up_deliveries(self._desk)
        self._reviver.look()
        self._write_bookmark()  # whoever looks sees that work began

    def turn(self) -> None:
        """Look at studies that are due, and now and then at jobs that broke off. Never raises."""
        try:
            self.sign_of_life()
            self._look_for_the_model()
            self._changed.update(self._watch.poll())
            self._take_up_what_was_asked()
            while not self._desk.look_again.empty():
                self._watch.again([self._desk.look_again.get()])
            for study in self._watch.due():
                self.sign_of_life()
                self._look_at(study)
            if time.monotonic() - self._revived_s >= REVIVE_EVERY_S:
                self._revived_s = time.monotonic()
                self._reviver.look()
                self._write_bookmark()
        except Exception as exc:  # noqa: BLE001 the worker's loop outlives whatever goes wrong in it
            log.event(
                "worker-fault", level=logging.ERROR, error=exc, where=log.where(exc),
                reason=str(exc) if isinstance(exc, StorageError) else None,
            )  # fmt: skip

    def is_stuck(self) -> bool:
        """Whether only a new process can go on with a job; asked now and then."""
        if self._desk.model_lost.is_set():
            return True
        if time.monotonic() - self._asked_s < STUCK_EVERY_S:
            return False
        self._asked_s = time.monotonic()
        return self._reviver.stuck()

    def end_where_the_model_hangs(self) -> None:
        """End the process in the middle of everything: what was under way is taken up again."""
        if hangs(self._desk.describer, self._desk.settings.describe):
            log.event("model-hangs", level=logging.ERROR)
            end_hung_process()

    def _write_bookmark(self) -> None:
        self._bookmark.write(self._watch.settled_cursor, self._watch.looked_cursor)

    def _take_up_what_was_asked(self) -> None:
        """Act on what persons wrote into the journal since the last turn."""
        cursor, asked = self._desk.archive.decisions_since(self._asked_cursor, ASKED)
        self._watch.again(line.study_instance_uid for line in asked)
        self._to_take_up.extend(asked)
        self._asked_cursor = cursor
        self._to_take_up = [line for line in self._to_take_up if not take_up_now(line, self._desk)]

    def _look_for_the_model(self) -> None:
        """Once the model is here that reports wait for, they can be ordered."""
        if self._awaited is None:
            return
        if self._awaited.model is None:
            self._awaited.try_again()
            return
        ready = self._desk.archive.latest_decisions(states=("ready",))
        self._watch.again(line.study_instance_uid for line in ready)
        self._awaited = None

    def _look_at(self, study: str) -> None:
        try:
            waits_for = decide(study, self._desk, self._watch.is_quiet)
            if study in self._changed:
                masked = self._desk.archive.studies_with_masks_on(study)
                self._watch.again(masked, caused_by=study)
            self._watch.looked_at(study, waits_for)
        except Exception as exc:  # noqa: BLE001 the worker's loop: one study must not stop the next
            self._look_later(study, exc)
            if not isinstance(exc, StorageError):
                self._write_defect(study, exc)
            return
        self._changed.discard(study)
        self._put_off.pop(study, None)

    def _look_later(self, study: str, error: Exception) -> None:
        """Whatever cannot be done for one study now, the others are looked at meanwhile."""
        self._put_off[study] += 1
        wait_s = self._desk.backoff.delay_s(self._put_off[study])
        self._watch.put_off(study, wait_s)
        log.event(
            "study-put-off", level=logging.ERROR, study_instance_uid=study, error=error,
            where=log.where(error), wait_s=wait_s,
            reason=str(error) if isinstance(error, StorageError) else None,
        )  # fmt: skip

    def _write_defect(self, study: str, error: Exception) -> None:
        """Say so where a person looks for the study; the same again is not written again."""
        place = f"{type(error).__name__} at {log.where(error)}"
        journal.write(
            self._desk.archive, study, None, "failed", "defect",
            [f"The program failed while it looked at this study: {place}."],
        )  # fmt: skip


@contextmanager
def working(
    settings: Settings,
    *,
    describer: Describer | None = None,
    backoff: Backoff | None = None,
    deadline_s: float = 3600.0,
    check: bool = True,
    may_wait_for_model: bool = False,
) -> Iterator[Worker]:
    """A worker on the home of these settings, its jobs running, until the block ends.

    `check` looks for damage in the archive first; needless where a listener has just done so.
    """
    told = settings.describe
    at_once = told.cases_at_once if writes_with_a_model(told) else 1
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    reserve_bytes = settings.listen.free_space_reserve_mb << 20
    with (
        _alone_in(settings.home),
        Archive.open(
            settings.home / "archive", reserve_bytes=reserve_bytes, check=check
        ) as archive,
        _writer(settings, describer, may_wait=may_wait_for_model) as writer,
    ):
        index = archive.root / INDEX_FILE
        suspects = Suspects(settings.home / "under-way", at_once)
        desk = Desk(archive, settings, writer, backoff or Backoff(), deadline_s, suspects)
        work_at(desk)
        try:
            with durable(settings.home / "jobs.sqlite", drain_s=DRAIN_S, reports_at_once=at_once):
                worker = Worker(desk, Bookmark(settings.home / BOOKMARK, index))
                worker.begin()
                yield worker
            suspects.acquit()
        finally:
            work_at(None)


@contextmanager
def _writer(settings: Settings, given: Describer | None, *, may_wait: bool) -> Iterator[Describer]:
    if given is not None:
        yield given
        return

    def say(status: ModelStatus) -> None:
        level = logging.INFO if status.state == "ready" else logging.ERROR
        log.event(
            f"model-{status.state}", level=level, model=status.name, version=status.version,
            sha256=status.weights_sha256, reason=status.reason,
        )  # fmt: skip
        write_model_status(settings.home, status)

    forget_model_status(settings.home)
    with describing(settings.describe, may_wait=may_wait, say=say) as describer:
        yield describer


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Hold the home for this worker alone; the kernel lets it go with the process.

    A worker that is being replaced is given a while to end.
    """
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PREDECESSOR_ENDS_WITHIN_S
        while not _locked(folder):
            if time.monotonic() > deadline:
                raise NodeError(
                    f"Another worker works on {home}: stop it, or give this one its own home"
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(folder)


def _locked(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _arm_watchdog() -> None:
    """A thread without Python ends this process, even where a library keeps Python's own lock."""
    faulthandler.dump_traceback_later(SILENT_FOR_S, exit=True)


def _stop_on_signals(stopping: threading.Event, *, interrupts: bool) -> None:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal if interrupts else signal.SIG_IGN)
