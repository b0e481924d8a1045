"""The node: an archive, what listens in front of it, the worker process behind it."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Self

from pacsnode import log
from pacsnode.access.audit_life import AuditLife
from pacsnode.errors import BadSettings
from pacsnode.intake.association import Listener
from pacsnode.jobs.model_status import read_model_status
from pacsnode.settings import Settings
from pacsnode.tallies import Tallies
from pacsnode.worker import REFUSED
from storage.archive import Archive

if TYPE_CHECKING:
    from pacsnode.web.server import WebServer

Address = tuple[str, int]

FIRST_RESTART_S = 0.2
LONGEST_RESTART_S = 30.0
STABLE_S = 60.0  # a worker that lived so long starts anew with the first pause
STOP_WITHIN_S = 15.0


class Node:
    """Everything that `pacsnode serve` runs, from `start` to `stop`; also a context manager.

    This process listens and keeps; the worker process, its child, assembles, measures, reports
    and delivers. Neither loads the other's libraries, and either may die without the other.
    """

    def __init__(self, settings: Settings, on_refused: Callable[[], None] | None = None) -> None:
        self._settings = settings
        self._archive: Archive | None = None
        self._listener: Listener | None = None
        self._web: WebServer | None = None
        self._worker = WorkerProcess(settings, on_refused)
        self._audit = AuditLife(settings)

    @property
    def address(self) -> Address:
        """The address and port that the storage SCP listens on."""
        if self._listener is None:
            raise RuntimeError("The node is not started")
        return self._listener.address

    @property
    def web_url(self) -> str | None:
        """The address of DICOMweb, None where it is off."""
        return self._web.url if self._web is not None else None

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker, or None between two lives of it."""
        return self._worker.pid

    def start(self) -> Address:
        """Open the archive, listen, start the worker. Raises BadSettings, Unavailable and
        StorageError."""
        home = self._settings.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        reserve_bytes = self._settings.listen.free_space_reserve_mb << 20
        self._archive = Archive.open(home / "archive", reserve_bytes=reserve_bytes)
        try:
            tallies = Tallies(peer.ae_title for peer in self._settings.listen.peers)
            self._listener = Listener(
                self._archive, self._settings.listen, tallies, self._audit.audit
            )
            self._listener.start()
            self._start_web(self._archive, self._listener, tallies)
        except BaseException:
            if self._listener is not None:
                self._listener.stop()
            self._archive.close()
            raise
        self._worker.start()
        self._audit.start()
        return self.address

    def _start_web(self, archive: Archive, listener: Listener, tallies: Tallies) -> None:
        if self._settings.web.port is None:
            return
        # only here: a node without a web side does not pay for one
        from pacsnode.monitoring.telling import Node as Watched
        from pacsnode.web.server import WebServer

        watched = Watched(
            tallies=tallies,
            worker=self._worker,
            is_listening=lambda: listener.is_listening,
            open_associations=lambda: listener.open_associations,
        )
        self._web = WebServer(archive, self._settings, watched)
        self._web.start()

    def stop(self) -> None:
        """Take no more objects, let the worker end what it can, close the archive."""
        if self._web is not None:
            self._web.stop()
        if self._listener is not None:
            self._listener.stop()
        self._worker.stop()
        self._audit.stop()
        if self._archive is not None:
            self._archive.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class WorkerProcess:
    """The worker as a child process, started again whenever it ends.

    It reads its settings from its standard input, so that they are those of this process even
    when the file has changed since. The pipe then stays open for as long as this process lives:
    its end tells the worker to end, however suddenly this process died.
    """

    def __init__(self, settings: Settings, on_refused: Callable[[], None] | None = None) -> None:
        # the worker serves nobody, and need not know who may
        told = settings.model_dump_json(exclude={"web"})
        self._settings = told.encode("utf-8") + b"\n"
        self._on_refused = on_refused
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.started_at_s = 0.0  # seconds since 1970, of its present life
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the worker, and the thread that starts it again."""
        self._thread = threading.Thread(target=self._keep_alive, name="worker-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the worker: ask, then terminate, then kill."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _keep_alive(self) -> None:
        pause_s = FIRST_RESTART_S
        is_first = True
        while not self._stopping.is_set():
            began = time.monotonic()
            status = self._live_once(is_first=is_first)
            if self._stopping.is_set():
                return
            if status == REFUSED and is_first and self._on_refused is not None:
                self._on_refused()
                return
            is_first = False
            if time.monotonic() - began > STABLE_S:
                pause_s = FIRST_RESTART_S
            log.event("worker-ended", level=logging.ERROR, status=status, wait_s=pause_s)
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RESTART_S)

    def _live_once(self, *, is_first: bool) -> int | None:
        # what PACSNODE_ variables say is in the settings; read again, they would win over options
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PACSNODE_") or name.startswith("PACSNODE_TEST_")
        }
        # a model that served before is waited for; one that never did is a wrong setting
        again = [] if is_first else ["--again"]
        command = [sys.executable, "-P", "-m", "pacsnode.worker", *again]
        began_s = time.time()
        try:
            process = subprocess.Popen(  # noqa: S603 our own interpreter, fixed arguments
                command, stdin=subprocess.PIPE, env=environment
            )
        except OSError as exc:  # no memory or no process left now: objects are still received
            log.event("worker-cannot-start", level=logging.ERROR, reason=exc.strerror)
            return None
        self.started_at_s = began_s  # before its pid is told: it has not begun yet
        self.starts += 1
        self._process = process
        log.event("worker-started", pid=process.pid)
        assert process.stdin is not None  # noqa: S101 asked for above
        with suppress(BrokenPipeError):  # it ended before it read; its status tells why
            process.stdin.write(self._settings)
            process.stdin.flush()
        while process.poll() is None and not self._stopping.wait(0.1):
            pass
        _end(process)
        return process.returncode


def serve(settings: Settings, *, ready: Callable[[Node], None] | None = None) -> int:
    """Run a node until SIGTERM or SIGINT; gives the exit code. `ready` is told once it listens.

    Raises BadSettings where the model cannot be loaded at the start, and StorageError.
    """
    asked_to_stop, refused = threading.Event(), threading.Event()

    def on_refused() -> None:
        refused.set()
        asked_to_stop.set()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        asked_to_stop.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        with Node(settings, on_refused) as node:
            if ready is not None:
                ready(node)
            asked_to_stop.wait()
            log.event("stopping")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if refused.is_set():
        status = read_model_status(settings.home)
        said = status.reason if status is not None else None
        raise BadSettings(said or "The worker cannot use its settings: see the log")
    return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which asks the worker to end, and see to it that it does."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    for firmer in (process.terminate, process.kill):
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            firmer()
    process.wait()
