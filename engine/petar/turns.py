"""Turns at the memory of a device: who is short of it goes before who merely works on it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """A lock with two doors, so that work which never pauses keeps nobody waiting for room."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._is_taken = False
        self._first = 0  # who wait at the first door

    @contextmanager
    def first(self) -> Iterator[None]:
        """The next turn, before any at the other door."""
        with self._state:
            self._first += 1
            try:
                self._take(lambda: not self._is_taken)
            finally:
                self._first -= 1
                self._state.notify_all()  # an interrupt may have ended the wait
        with self._given_back():
            yield

    @contextmanager
    def last(self) -> Iterator[None]:
        """A turn when nobody waits at the first door."""
        with self._state:
            self._take(lambda: not self._is_taken and not self._first)
        with self._given_back():
            yield

    def _take(self, is_free: Callable[[], bool]) -> None:
        self._state.wait_for(is_free)
        self._is_taken = True

    @contextmanager
    def _given_back(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._state:
                self._is_taken = False
                self._state.notify_all()
