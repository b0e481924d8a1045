"""One process that has loaded a model and reports several cases at a time with it."""

import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from engine.finding import Describer, ModelIdentity
from pacsnode.errors import BadSettings
from pacsnode.jobs.describers import describing, hangs
from pacsnode.replay.cases import CaseResult, Order
from pacsnode.replay.reporting import report_one
from pacsnode.settings import Describe

CASE_DEADLINE_S = 1800.0  # without the words, which have their own
LOOK_EVERY_S = 0.2
HUNG = 75
DEVICE_LOST = "device-lost"

Opened = Callable[[Describe], Any]  # a context manager that gives a Describer


@dataclass(slots=True)
class _UnderWay:
    order: Order
    is_alone: bool
    since_s: float = field(default_factory=time.monotonic)


class ModelProcess:
    """The process, from `start` to `close`; started again when a case ends it.

    A case that was alone when the process died, or took too long, fails. Of several under way any
    may have done it: they are reported again, one by one.
    """

    def __init__(self, told: Describe, at_once: int, opened: Opened = describing) -> None:
        self._told = told
        self._at_once = at_once
        self._opened = opened
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def start(self, stop: threading.Event | None = None) -> ModelIdentity:
        """Load the model; gives its identity. Raises BadSettings where it cannot be loaded."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._told, self._at_once, self._opened)
        )
        self._process.start()
        theirs.close()
        try:
            while not self._pipe.poll(LOOK_EVERY_S):
                if stop is not None and stop.is_set():
                    raise BadSettings("Stopped while the model was loaded")
            answer = self._pipe.recv()
        except EOFError as exc:
            ended = self.close()
            said = f"The process died that loads the model (exit code {ended})"
            raise BadSettings(said) from exc
        if isinstance(answer, ModelIdentity):
            return answer
        self.close()
        raise BadSettings(str(answer))

    def close(self) -> int | None:
        """End the process; gives its exit code."""
        process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if process is None:
            return None
        process.join(1)  # it may be on its way out: its own exit code says more
        if process.is_alive():
            process.kill()
            process.join()
        ended = process.exitcode
        process.close()
        return ended

    def run_all(
        self, orders: Sequence[Order], stop: threading.Event
    ) -> "queue.Queue[tuple[Order, CaseResult] | None]":
        """Start on `orders`; results come through the queue, at its end None."""
        done: queue.Queue[tuple[Order, CaseResult] | None] = queue.Queue()
        threading.Thread(target=self._run, args=(deque(orders), done, stop), daemon=True).start()
        return done

    def _run(
        self,
        waiting: deque[Order],
        done: "queue.Queue[tuple[Order, CaseResult] | None]",
        stop: threading.Event,
    ) -> None:
        alone: deque[Order] = deque()
        under_way: dict[int, _UnderWay] = {}
        try:
            while (waiting or alone or under_way) and not stop.is_set():
                try:
                    if self._process is None:
                        self.start(stop)
                    self._hand_out(waiting, alone, under_way)
                    self._take_in(under_way, done)
                except BadSettings as exc:
                    if not stop.is_set():
                        # it was loaded before: what is left fails, and the next run tries it again
                        for order in (*alone, *waiting):
                            done.put((order, _failed(order, "no-model", str(exc))))
                    return
                except TimeoutError:
                    self.close()
                    self._blame(under_way, alone, done, "took-too-long", "Took too long.")
                except (EOFError, OSError):
                    ended = self.close()
                    sentence = f"The process that reported it died (exit code {ended})."
                    self._blame(under_way, alone, done, "process-died", sentence)
        finally:
            done.put(None)

    def _hand_out(
        self, waiting: deque[Order], alone: deque[Order], under_way: dict[int, _UnderWay]
    ) -> None:
        while len(under_way) < self._at_once and not any(x.is_alone for x in under_way.values()):
            if alone and under_way:
                return  # it has to wait until nothing else is under way
            if not (alone or waiting):
                return
            is_alone = bool(alone)
            order = (alone or waiting).popleft()
            number = 1 + max(under_way, default=0)
            under_way[number] = _UnderWay(order, is_alone)
            assert self._pipe is not None  # noqa: S101 there is a process
            self._pipe.send((number, order))

    def _take_in(
        self,
        under_way: dict[int, _UnderWay],
        done: "queue.Queue[tuple[Order, CaseResult] | None]",
    ) -> None:
        """The next result, if one comes soon. Raises TimeoutError, EOFError."""
        assert self._pipe is not None  # noqa: S101 there is a process
        if self._pipe.poll(LOOK_EVERY_S):
            number, result = self._pipe.recv()
            done.put((under_way.pop(number).order, result))
            return
        words_s = self._told.deadline_s * sum(
            len(one.order.lesion_numbers) for one in under_way.values()
        )
        now = time.monotonic()
        if any(now - one.since_s > CASE_DEADLINE_S + words_s for one in under_way.values()):
            raise TimeoutError

    def _blame(
        self,
        under_way: dict[int, _UnderWay],
        alone: deque[Order],
        done: "queue.Queue[tuple[Order, CaseResult] | None]",
        code: str,
        sentence: str,
    ) -> None:
        orders = [one.order for one in under_way.values()]
        under_way.clear()
        if len(orders) == 1:
            done.put((orders[0], _failed(orders[0], code, sentence)))
        else:
            alone.extend(orders)


def _failed(order: Order, code: str, sentence: str) -> CaseResult:
    return CaseResult.of_order(order, "failed", code, sentence)


def _serve(pipe: Connection, told: Describe, at_once: int, opened: Opened) -> None:
    # Ctrl-C reaches the whole group; the parent decides what happens to a case under way
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # warnings and log lines of libraries quote values, which may be the patient's
    warnings.simplefilter("ignore")
    logging.disable()
    try:
        with opened(told) as describer:
            pipe.send(describer.identity)
            _report_each(pipe, told, at_once, describer)
    except BadSettings as exc:
        pipe.send(str(exc))


def _report_each(pipe: Connection, told: Describe, at_once: int, describer: Describer) -> None:
    answering = threading.Lock()
    instead = told.when_unable == "template"

    def report(number: int, order: Order) -> None:
        result = report_one(order, describer, instead=instead)
        if result.code == DEVICE_LOST:
            os._exit(HUNG)  # only a new process gets the device back
        with answering:
            pipe.send((number, result))

    threading.Thread(target=_end_where_it_hangs, args=(describer, told), daemon=True).start()
    with ThreadPoolExecutor(at_once) as threads:
        while True:
            try:
                number, order = pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # the parent is gone or wants no more: cases under way are dropped
            threads.submit(report, number, order)


def _end_where_it_hangs(describer: Describer, told: Describe) -> None:
    while not hangs(describer, told):
        time.sleep(1)
    os._exit(HUNG)
