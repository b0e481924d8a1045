"""How often a login may be refused before it has to wait."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

MOST_KEPT: Final = 20_000  # names and addresses remembered; the longest silent goes first


class Pace:
    """Counts what was refused under a key within a span of time."""

    def __init__(
        self, tries: int, span_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tries = tries
        self._span_s = span_s
        self._clock = clock
        self._refused: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> int:
        """Whole seconds that this key has to wait; 0 where it may try now."""
        with self._lock:
            times = self._recent(key)
            if len(times) < self._tries:
                return 0
            return max(1, math.ceil(times[-self._tries] + self._span_s - self._clock()))

    def refused(self, key: str) -> None:
        """Remember a refusal."""
        with self._lock:
            times = self._recent(key)
            times.append(self._clock())
            self._refused[key] = times
            self._refused.move_to_end(key)
            while len(self._refused) > MOST_KEPT:
                self._refused.popitem(last=False)

    def take_back(self, key: str) -> None:
        """The newest was none: it got in."""
        with self._lock:
            if times := self._recent(key):
                times.pop()

    def forget(self, key: str) -> None:
        """It got in: what went before counts no more."""
        with self._lock:
            self._refused.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        times = self._refused.get(key, deque(maxlen=self._tries))
        while times and times[0] <= self._clock() - self._span_s:
            times.popleft()
        return times
