"""Which studies to look at now: those that changed, and those that fell quiet."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from storage.archive import Archive

SETTLE_S = 0.5  # a study is not looked at between two objects of one association
IMPATIENT_S = 5.0  # nor left alone for longer than this while objects keep coming
FETCH_SILENT_S = 300.0  # a fetch that brought nothing for so long brings no more: peers time out


@dataclass(frozen=True, slots=True)
class _Change:
    began_s: float  # monotonic
    cursor_before: int


@dataclass(frozen=True, slots=True)
class _Wait:
    needs: frozenset[str]
    cursor_before: int


class Watch:
    """Turns the archive's change counter into studies that are due.

    Quiet is measured by the monotonic clock from when a change was seen, so that a clock set
    back or forward neither hurries a study nor holds it up. The wall clock counts once: for what
    came before this process began. `fetched` tells for which studies images are fetched just now.
    """

    def __init__(
        self,
        archive: Archive,
        quiet_s: float,
        *,
        cursor: int = 0,
        fetched: Callable[[], Collection[str]] = frozenset,
        clock_s: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._archive = archive
        self._quiet_s = quiet_s
        self._clock_s = clock_s
        self._now = now
        self._fetched = fetched
        self._cursor = cursor
        self._polled = False
        self._last_s: dict[str, float] = {}
        self._changes: dict[str, _Change] = {}
        self._waiting: dict[str, _Wait] = {}
        self._not_before_s: dict[str, float] = {}

    @property
    def settled_cursor(self) -> int:
        """Every change up to here was looked at, and waits for nothing any more."""
        waits = (wait.cursor_before for wait in self._waiting.values())
        return min(self.looked_cursor, min(waits, default=self._cursor))

    @property
    def looked_cursor(self) -> int:
        """Every change up to here was looked at."""
        before = (change.cursor_before for change in self._changes.values())
        return min(before, default=self._cursor)

    def poll(self) -> tuple[str, ...]:
        """Note what changed; gives the studies that did."""
        cursor, changed = self._archive.changed_since(self._cursor)
        for study in changed:
            if self._polled:
                self._last_s[study] = self._clock_s()
            self.again([study])
            self.again(other for other, wait in self._waiting.items() if study in wait.needs)
        self._cursor = cursor
        self._polled = True
        return changed

    def again(self, studies: Iterable[str], *, caused_by: str | None = None) -> None:
        """Look at these studies as if they had changed; their quiet time goes on.

        The change of another study that calls for it is settled only with them.
        """
        before = self._cursor if caused_by is None else self._cursor_before(caused_by)
        for study in studies:
            known = self._changes.get(study, _Change(self._clock_s(), before))
            earliest = min(known.cursor_before, before)
            self._changes[study] = replace(known, cursor_before=earliest)

    def due(self) -> tuple[str, ...]:
        """Studies to look at now; `looked_at` takes them off, `put_off` hides them for a while."""
        changed = [study for study in self._changes if self._has_settled(study)]
        quiet = [
            study for study, one in self._waiting.items() if all(map(self.is_quiet, one.needs))
        ]
        now_s = self._clock_s()
        return tuple(
            study
            for study in dict.fromkeys([*changed, *quiet])
            if self._not_before_s.get(study, now_s) <= now_s
        )

    def put_off(self, study: str, seconds: float) -> None:
        """The study could not be looked at: it stays due, and is not named before then."""
        self.again([study])
        self._not_before_s[study] = self._clock_s() + seconds

    def looked_at(self, study: str, waits_for: Iterable[str] = ()) -> None:
        """The study was decided on; when it waits, look again once all of `waits_for` is quiet."""
        # where the archive was before what it still waits with: a restart has to find it again
        before = self._cursor_before(study)
        self._changes.pop(study, None)
        self._waiting.pop(study, None)
        self._not_before_s.pop(study, None)
        if needs := frozenset(waits_for):
            self._waiting[study] = _Wait(needs, before)

    def is_quiet(self, study: str) -> bool:
        """Whether nothing came for the study for as long as the settings say.

        While we fetch for it ourselves, more is on its way, however slowly the source gives it.
        """
        still_s = self._still_s(study)
        if still_s < self._quiet_s:
            return False
        return still_s >= FETCH_SILENT_S or study not in self._fetched()

    def _cursor_before(self, study: str) -> int:
        known = (self._changes.get(study), self._waiting.get(study))
        return min((one.cursor_before for one in known if one is not None), default=self._cursor)

    def _has_settled(self, study: str) -> bool:
        if self._still_s(study) >= min(SETTLE_S, self._quiet_s):
            return True
        return self._clock_s() - self._changes[study].began_s >= IMPATIENT_S

    def _still_s(self, study: str) -> float:
        if study not in self._last_s:
            last = self._archive.last_received_at(study)
            ago_s = (self._now() - last).total_seconds() if last is not None else 0.0
            # a stamp from the future says that the clock was set back: wait the full time
            self._last_s[study] = self._clock_s() - max(ago_s, 0.0)
        return self._clock_s() - self._last_s[study]
