"""What this process counted since it started, for whoever asks: no UIDs, no patients, few names.

Plain numbers under labels; `pacsnode.monitoring` tells them to Prometheus.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final

STOW: Final = "stow"
OTHER: Final = "other"
MOST_STRANGERS: Final = 50  # names of senders that no setting knows; a stranger may invent any

Labels = tuple[str, ...]


class FewNames:
    """Label values that others choose: those known beforehand, then the first so many."""

    def __init__(self, known: Iterable[str] = (), strangers: int = MOST_STRANGERS) -> None:
        self._known = {*known, STOW}
        self._left = strangers

    def of(self, name: str) -> str:
        """The name itself, or `other`; printable ASCII, as an AE title should be."""
        plain = "".join(c if " " <= c <= "~" else "?" for c in name.strip())[:64] or OTHER
        if plain in self._known:
            return plain
        if not self._left:
            return OTHER
        self._left -= 1
        self._known.add(plain)
        return plain


class Tallies:
    """Counts by label values; threads may share one.

    `objects` and `object_bytes` by (peer, outcome), `refused_objects` by (door, reason),
    `associations_accepted` by (peer,), `associations_refused` by (reason,),
    `associations_ended` by (how,).
    """

    def __init__(self, known_peers: Iterable[str] = ()) -> None:
        self._peers = FewNames(known_peers)
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[Labels]] = {}

    def received(self, peer: str, outcome: str, size_bytes: int) -> None:
        """An object was answered: kept, with what became of it, or `refused`."""
        with self._lock:
            labels = (self._peers.of(peer), outcome)
            self._add("objects", labels)
            self._add("object_bytes", labels, size_bytes)

    def refused(self, door: str, reason: str) -> None:
        """An object was refused, by C-STORE (`dimse`) or STOW-RS (`stow`)."""
        with self._lock:
            self._add("refused_objects", (door, reason))

    def association_accepted(self, peer: str) -> None:
        """A sender got its association."""
        with self._lock:
            self._add("associations_accepted", (self._peers.of(peer),))

    def association_refused(self, reason: str) -> None:
        """A sender got none; `reason` is one of our own words."""
        with self._lock:
            self._add("associations_refused", (reason,))

    def association_ended(self, how: str) -> None:
        """`released` or `aborted`."""
        with self._lock:
            self._add("associations_ended", (how,))

    def all(self, name: str) -> dict[Labels, int]:
        """The counts of one name by their labels, as they are now."""
        with self._lock:
            return dict(self._counts.get(name, {}))

    def _add(self, name: str, labels: Labels, count: int = 1) -> None:
        self._counts.setdefault(name, Counter())[labels] += count
