"""Logins in progress, kept by this process alone: a restart ends them all."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pacsnode.access.person import Person

MOST_OF_ONE_NAME: Final = 20  # browsers at a time; the oldest login ends
KEY_BYTES: Final = 32


@dataclass(slots=True)
class Login:
    """One browser's; `csrf` is what its forms carry. Times are of the monotonic clock, in s."""

    person: Person
    csrf: str
    began_s: float
    asked_s: float


class Logins:
    """Opened by a random key that only the browser's cookie holds; here lies its digest."""

    def __init__(
        self, idle_s: float, longest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._clock = clock
        self._kept: dict[bytes, Login] = {}
        self._lock = threading.Lock()

    def begin(self, person: Person, before: str = "") -> str:
        """A new key for a person; the login that this browser had `before` ends."""
        key, now = secrets.token_urlsafe(KEY_BYTES), self._clock()
        with self._lock:
            self._kept.pop(_digest(before), None)
            self._end_old(now)
            own = [each for each in self._kept if self._kept[each].person.name == person.name]
            for oldest in own[: max(0, len(own) - MOST_OF_ONE_NAME + 1)]:
                del self._kept[oldest]
            login = Login(person, secrets.token_urlsafe(KEY_BYTES), now, now)
            self._kept[_digest(key)] = login
        return key

    def find(self, key: str, *, attended: bool = True) -> Login | None:
        """The login of a key while it lasts; a person's asking keeps it from idling."""
        now = self._clock()
        with self._lock:
            login = self._kept.get(_digest(key))
            if login is None or self._is_over(login, now):
                self._kept.pop(_digest(key), None)
                return None
            if attended:
                login.asked_s = now
            return login

    def end(self, key: str) -> None:
        """Log out."""
        with self._lock:
            self._kept.pop(_digest(key), None)

    def _is_over(self, login: Login, now: float) -> bool:
        return now - login.asked_s > self._idle_s or now - login.began_s > self._longest_s

    def _end_old(self, now: float) -> None:
        for key in [each for each, login in self._kept.items() if self._is_over(login, now)]:
            del self._kept[key]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
