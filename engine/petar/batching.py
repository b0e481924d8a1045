"""One thread runs batches of what many threads hand in; nothing that fails takes others along."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from engine.errors import EngineError, ModelFault
from engine.finding import Unable
from engine.petar.turns import Turns

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Queued = tuple[Item, Future[Answer | Unable]]
WELL_BEFORE_GROWING = 16  # batches without a shortage of memory after which the limit doubles again


@dataclass(frozen=True, slots=True)
class _Failure:
    """What came of a try. It holds no exception: those hold the tensors of their tracebacks."""

    told: Unable
    is_short: bool  # of memory
    is_ours: bool


class Batches(Generic[Item, Answer]):
    """Gathers items into batches and answers each with a future.

    `run` answers a batch in its order and may raise: out of memory halves the batch, anything else
    finds the one item to blame by halving too. An item that fails alone is answered with Unable,
    one that is short of memory alone only after a second try. `make_room` is never called while
    `run` is at work.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Answer | Unable]],
        *,
        limit: int,
        gather_s: float,
        make_room: Callable[[], None] = lambda: None,
        is_alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.limit = limit
        self._most = limit
        self._run = run
        self._gather_s = gather_s
        self._make_room = make_room  # called after a shortage of memory
        self._is_alive = is_alive  # whether the device still answers after a failure
        self._room = threading.Semaphore(2 * limit)  # items under way, made ones among them
        self._state = threading.Condition()
        self._waiting: deque[Queued[Item, Answer]] = deque()
        self._announced = 0
        self._stopping = False
        self._dead: ModelFault | None = None
        self._well = 0
        self._busy_since: float | None = None
        self._turns = Turns()
        self._thread = threading.Thread(target=self._loop, name="petar-batches", daemon=True)
        self._thread.start()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def busy_s(self) -> float:
        """Seconds that the network has been at work on a batch, or a half of one; 0 between."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @contextmanager
    def announced(
        self, count: int
    ) -> Iterator[Callable[[Callable[[], Item]], Future[Answer | Unable]]]:
        """Say that this many items come; each is made, and waits, by the function given.

        A batch waits a little for what is announced. No more items are made than can soon run: the
        function blocks until there is room. An item that cannot be made is answered like one that
        fails alone. Raises ModelFault once the thread has ended, or has to.
        """
        self._expect(count)
        coming = count

        def hand_in(make: Callable[[], Item]) -> Future[Answer | Unable]:
            nonlocal coming
            answer: Future[Answer | Unable] = Future()
            self._room.acquire()
            try:
                failure = self._make(make, answer)
            except BaseException:
                self._room.release()
                raise
            if failure is not None:
                self._room.release()
                self._expect(-1)
                answer.set_result(failure)
            coming -= 1
            return answer

        try:
            yield hand_in
        finally:
            self._expect(-coming)

    def stop(self) -> None:
        """End the thread; what was not answered raises ModelFault where it is waited for."""
        with self._state:
            self._stopping = True
            self._state.notify_all()
        self._thread.join()

    def _expect(self, count: int) -> None:
        with self._state:
            self._announced += count
            self._state.notify_all()

    def _make(self, make: Callable[[], Item], answer: Future[Answer | Unable]) -> Unable | None:
        """Make an item and let it wait; or say why it cannot be made. Raises ModelFault."""
        made = _outcome_of(make)
        if isinstance(made, _Failure) and made.is_short and not self._must_end():
            with self._turns.first():
                made = _outcome_of(lambda: self._with_room_made(make))
        if not isinstance(made, _Failure):
            self._queue(made, answer)
            return None
        is_of_the_item = made.is_ours or made.is_short
        if not self._must_end() and not is_of_the_item and not self._is_alive():
            self._lose_device()
        if self._must_end():  # the failure may come of ending: it says nothing of a lesion
            raise self._reason_to_refuse()
        return made.told

    def _with_room_made(self, make: Callable[[], Item]) -> Item:
        self._make_room()
        return make()

    def _lose_device(self) -> None:
        with self._state:
            self._dead = ModelFault("The device of the model no longer answers", code="device-lost")
            self._state.notify_all()

    def _queue(self, item: Item, answer: Future[Answer | Unable]) -> None:
        with self._state:
            if self._must_end():
                raise self._reason_to_refuse()
            self._waiting.append((item, answer))
            self._announced -= 1
            self._state.notify_all()

    def _loop(self) -> None:
        batch: list[Queued[Item, Answer]] = []
        try:
            while batch := self._next_batch():
                self._answer(batch)
                for _ in batch:
                    self._room.release()
        finally:
            self._stopping = True
            self._refuse([pair for pair in batch if not pair[1].done()])
            self._refuse_waiting()

    def _next_batch(self) -> list[Queued[Item, Answer]]:
        """The items of the next batch; none when it is time to end."""
        with self._state:
            while not self._waiting and not self._must_end():
                self._state.wait()
            seen = -1
            while self._announced and len(self._waiting) < self.limit and not self._must_end():
                if len(self._waiting) == seen:
                    break  # silence
                seen = len(self._waiting)
                self._wait_for_more(seen)
            if self._must_end():
                return []
            count = min(self.limit, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def _wait_for_more(self, seen: int) -> None:
        self._state.wait_for(
            lambda: len(self._waiting) > seen or not self._announced or self._must_end(),
            self._gather_s,
        )

    def _must_end(self) -> bool:
        return self._stopping or self._dead is not None

    def _answer(self, batch: list[Queued[Item, Answer]]) -> None:
        """Run a batch, or its halves one after the other where it cannot run whole."""
        pieces = deque([batch])
        while pieces:
            piece = pieces.popleft()
            if self._must_end():
                self._refuse(piece)
                continue
            failure = self._tried(piece)
            if failure is not None and failure.is_short and len(piece) == 1:
                failure = self._tried(piece)  # room was made
            if failure is None:
                continue
            if len(piece) == 1:
                piece[0][1].set_result(failure.told)
                continue
            half = len(piece) // 2
            pieces.extendleft((piece[half:], piece[:half]))

    def _tried(self, piece: list[Queued[Item, Answer]]) -> _Failure | None:
        """Answer a piece; or say why it cannot be answered as it is."""
        with self._turns.last():
            outcome = self._ran(piece)
            if isinstance(outcome, _Failure) and outcome.is_short and not self._must_end():
                self._well = 0
                self.limit = max(1, min(self.limit, len(piece) // 2))
                self._make_room()
        if not isinstance(outcome, _Failure):
            for (_, future), answer in zip(piece, outcome, strict=True):
                future.set_result(answer)
            self._note_well()
            return None
        if not self._must_end() and not outcome.is_short and not self._is_alive():
            self._lose_device()
        if self._must_end():  # the failure may come of ending: it says nothing of a lesion
            self._refuse(piece)
            return None
        return outcome

    def _ran(self, piece: list[Queued[Item, Answer]]) -> Sequence[Answer | Unable] | _Failure:
        self._busy_since = time.monotonic()
        try:
            return _outcome_of(lambda: self._run([item for item, _ in piece]))
        finally:
            self._busy_since = None

    def _note_well(self) -> None:
        self._well += 1
        if self._well >= WELL_BEFORE_GROWING and self.limit < self._most:
            self.limit, self._well = min(self._most, 2 * self.limit), 0

    def _refuse(self, items: Sequence[Queued[Item, Answer]]) -> None:
        for _, future in items:
            future.set_exception(self._reason_to_refuse())

    def _reason_to_refuse(self) -> ModelFault:
        return self._dead or ModelFault("The model has been stopped", code="stopped")

    def _refuse_waiting(self) -> None:
        with self._state:
            waiting = list(self._waiting)
            self._waiting.clear()
        self._refuse(waiting)
        for _ in waiting:
            self._room.release()


def _outcome_of(act: Callable[[], Item]) -> Item | _Failure:
    try:
        return act()
    except Exception as exc:  # noqa: BLE001 - one item must not cost the others, nor the loop
        return _Failure(failure_of(exc), is_out_of_memory(exc), isinstance(exc, EngineError))


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether memory, of the GPU or the machine, ran out."""
    if isinstance(exc, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(exc, RuntimeError) and "can't allocate memory" in str(exc)


def failure_of(exc: Exception) -> Unable:
    """What to say of a lesion that this came of."""
    if is_out_of_memory(exc):
        return Unable("out-of-memory", "The model ran out of memory on this lesion alone.")
    if isinstance(exc, EngineError):
        return Unable(exc.code, str(exc))
    return Unable("model-fault", f"The model failed on this lesion ({type(exc).__name__}).")
