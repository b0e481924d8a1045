"""Processes that report one case after another, and replace the ones that a case kills."""

import logging
import multiprocessing
import queue
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from pacsnode.replay.cases import CaseResult, Order

CASE_DEADLINE_S = 1800.0
START_WITHIN_S = 120.0
LOOK_EVERY_S = 0.2

Work = Callable[[Order], CaseResult]


def run_all(
    orders: Sequence[Order],
    work: Work,
    *,
    workers: int,
    stop: threading.Event,
    deadline_s: float = CASE_DEADLINE_S,
) -> "queue.Queue[tuple[Order, CaseResult] | None]":
    """Start `workers` processes on `orders`; results come through the queue, at its end None.

    A process that dies or hangs in a case fails that case alone. With `stop` set, cases under way
    are dropped without a result. `work` must be importable: it runs in a spawned process.
    """
    waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
    for order in orders:
        waiting.put(order)
    done: queue.Queue[tuple[Order, CaseResult] | None] = queue.Queue()
    slots = [
        threading.Thread(
            target=_serve_slot, args=(waiting, done, work, stop, deadline_s), daemon=True
        )
        for _ in range(max(1, min(workers, len(orders))))
    ]
    for slot in slots:
        slot.start()
    threading.Thread(target=_close, args=(slots, done), daemon=True).start()
    return done


def _close(
    slots: Sequence[threading.Thread], done: "queue.Queue[tuple[Order, CaseResult] | None]"
) -> None:
    for slot in slots:
        slot.join()
    done.put(None)


def _serve_slot(
    waiting: "queue.SimpleQueue[Order]",
    done: "queue.Queue[tuple[Order, CaseResult] | None]",
    work: Work,
    stop: threading.Event,
    deadline_s: float,
) -> None:
    slot = _Slot(work)
    try:
        while not stop.is_set():
            try:
                order = waiting.get_nowait()
            except queue.Empty:
                return
            result = slot.run(order, stop, deadline_s)
            if result is not None:
                done.put((order, result))
    finally:
        slot.close()


class _NotStarted(Exception):
    """A process was not ready for its first case in time."""


class _Stopped(Exception):
    """The run ends: what is under way is dropped."""


class _Slot:
    """One process at a time, started when there is a case for it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def run(self, order: Order, stop: threading.Event, deadline_s: float) -> CaseResult | None:
        """The result of one case; None when stopped."""
        try:
            pipe = self._pipe or self._start(stop)
            pipe.send(order)
            result: CaseResult = _answer(pipe, stop, deadline_s)
        except _Stopped:
            self._kill()
            return None
        except _NotStarted:
            self._kill()
            sentence = f"Its process did not start within {START_WITHIN_S:g} s."
            return CaseResult.of_order(order, "failed", "process-not-started", sentence)
        except TimeoutError:
            self._kill()
            sentence = f"Took longer than {deadline_s:.0f} s."
            return CaseResult.of_order(order, "failed", "took-too-long", sentence)
        except (EOFError, OSError):
            ended = self._kill()
            sentence = f"The process that reported it died (exit code {ended})."
            return CaseResult.of_order(order, "failed", "process-died", sentence)
        return result

    def close(self) -> None:
        """Let the process end by itself, then make sure."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.join(5)
            self._kill()

    def _start(self, stop: threading.Event) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._work))
        self._process.start()
        theirs.close()
        self._pipe = ours
        try:  # a case has its deadline, loading libraries its own
            _answer(ours, stop, START_WITHIN_S)
        except TimeoutError as exc:
            raise _NotStarted from exc
        return ours

    def _kill(self) -> int | None:
        process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if process is None:
            return None
        if process.is_alive():
            process.join(1)  # it may be on its way out: its own exit code says more
            process.kill()
        process.join()
        ended = process.exitcode
        process.close()
        return ended


def _answer(pipe: Connection, stop: threading.Event, within_s: float) -> Any:
    """The next message. Raises _Stopped, TimeoutError, EOFError where the other end is gone."""
    deadline = time.monotonic() + within_s
    while not pipe.poll(LOOK_EVERY_S):
        if stop.is_set():
            raise _Stopped
        if time.monotonic() > deadline:
            raise TimeoutError
    return pipe.recv()


def _serve(pipe: Connection, work: Work) -> None:
    # Ctrl-C reaches the whole group; the parent decides what happens to a case under way
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # warnings and log lines of libraries quote values, which may be the patient's
    warnings.simplefilter("ignore")
    logging.disable()
    pipe.send(None)
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(work(order))
