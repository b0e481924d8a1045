"""The journal folded into numbers, line by line: only what is new is read again.

UIDs are kept as hashes in memory, and nowhere told.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pacsnode.jobs.journal import DELIVERED_TO, HELD, PARKED, SHADOWED, STOPPED
from pacsnode.monitoring.table import LATENCY_BUCKETS_S
from pacsnode.tallies import FewNames, Labels
from storage.archive import Archive
from storage.records import Decision

AT_ONCE: Final = 2000  # lines of one read
OUTCOMES: Final = {
    DELIVERED_TO: "delivered", PARKED: "parked", "delivery-postponed": "postponed",
    # where persons or modes decide: nothing of ours waits
    HELD: "held", SHADOWED: "shadowed", STOPPED: "stopped",
}  # fmt: skip
STAGES: Final = ("waiting", "ready", "running")  # of a mask, before its report is made
CANCELLED: Final = "cancelled"  # the state of a mask that a person wants nothing more done about
MOST_DESTINATIONS: Final = 100  # names that the settings no longer have

Key = int  # hash of UIDs


@dataclass(slots=True)
class Histogram:
    """Observations in seconds: how many in each bucket of its own, and their sum."""

    counts: list[int]
    sum_s: float = 0.0

    @classmethod
    def empty(cls) -> "Histogram":
        """Nothing observed yet; the last bucket is for what exceeds the others."""
        return cls([0] * (len(LATENCY_BUCKETS_S) + 1))

    def observe(self, seconds: float) -> None:
        """Count one."""
        bucket = sum(seconds > bound for bound in LATENCY_BUCKETS_S)
        self.counts[bucket] += 1
        self.sum_s += seconds


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A mask in a stage: of which study, since when (seconds since 1970)."""

    stage: str
    study: Key
    since_s: float


@dataclass(frozen=True, slots=True)
class Owed:
    """A report that a destination is still to get: of which mask and study, since when."""

    destination: str
    mask: Key
    study: Key
    since_s: float


class Fold:
    """What the journal comes to; `read` brings it up to date."""

    def __init__(self, archive: Archive, our_ae_title: str, destinations: tuple[str, ...]) -> None:
        self._archive = archive
        self._ours = our_ae_title
        self._names = FewNames(destinations, MOST_DESTINATIONS)
        self._cursor = 0
        self._began = datetime.now(UTC)
        self._standing: dict[Key, tuple[str, str]] = {}
        self._sent: dict[Key, str] = {}  # last outcome of a report at a destination
        self.owed: dict[Key, Owed] = {}  # by report and destination
        self._made: set[Key] = set()
        self._ordered: dict[Key, datetime] = {}  # when a report under way was found ready
        self.masks: Counter[tuple[str, str]] = Counter()
        self.under_way: dict[Key, UnderWay] = {}
        self.failed: dict[Key, Key] = {}  # mask to study
        self.reports = 0
        self.lesions = 0
        self.seconds = 0.0
        self.deliveries: Counter[Labels] = Counter()
        self.latency: dict[str, Histogram] = defaultdict(Histogram.empty)

    def read(self, within_s: float) -> bool:
        """Read new lines for at most so long; False where some are left. Raises StorageError."""
        deadline = time.monotonic() + within_s
        while True:
            self._cursor, lines = self._archive.next_decisions(self._cursor, AT_ONCE)
            for line in lines:
                self._add(line)
            if len(lines) < AT_ONCE:
                return True
            if time.monotonic() > deadline:
                return False

    def _add(self, line: Decision) -> None:
        self._stand(line)
        seed = line.facts.get("seed")
        if not isinstance(seed, str):
            return
        if line.code == "ready":
            self._ordered.setdefault(hash(seed), line.decided_at)
        elif line.code == "reported":
            self._report(seed, line)
        elif line.code in OUTCOMES and isinstance(line.facts.get("destination"), str):
            self._deliver(seed, line)

    def _stand(self, line: Decision) -> None:
        study = hash(line.study_instance_uid)
        key = hash((line.study_instance_uid, line.mask_instance_uid))
        before = self._standing.get(key)
        self._standing[key] = now = (line.state, line.code)
        self.masks[now] += 1
        if before is not None:
            self.masks[before] -= 1
        if line.mask_instance_uid is not None:
            # a line about a mask says that its study could be looked at after all
            of_study = hash((line.study_instance_uid, None))
            self.failed.pop(of_study, None)
            if (fault := self._standing.pop(of_study, None)) is not None:
                self.masks[fault] -= 1
        self.failed.pop(key, None)
        if line.state == "failed":
            self.failed[key] = study
        elif str(line.state) == CANCELLED:
            self.owed = {report: one for report, one in self.owed.items() if one.mask != key}
        earlier = self.under_way.pop(key, None)
        if line.state in STAGES:
            stays = earlier is not None and earlier.stage == line.state
            since_s = earlier.since_s if earlier and stays else line.decided_at.timestamp()
            self.under_way[key] = UnderWay(line.state, study, since_s)

    def _report(self, seed: str, line: Decision) -> None:
        if hash(seed) in self._made:
            return  # the line was repeated, after news of another report or beside it
        self._made.add(hash(seed))
        self.reports += 1
        self.lesions += int(line.facts.get("lesions", 0))
        self.seconds += float(line.facts.get("elapsed_s", 0.0))
        for name in line.facts.get("destinations", ()):
            if hash((seed, name)) not in self._sent:
                self._owe(seed, name, line)
        if not line.facts.get("destinations"):
            self._ordered.pop(hash(seed), None)

    def _deliver(self, seed: str, line: Decision) -> None:
        name = line.facts["destination"]
        key = hash((seed, name))
        outcome = OUTCOMES[line.code]
        if outcome == "postponed":
            self._owe(seed, name, line)  # also where it is repeated: cancelled in between, it waits
        if self._sent.get(key) == outcome:
            return  # repeated
        self._sent[key] = outcome
        told = self._names.of(name)
        self.deliveries[told, outcome] += 1
        if outcome == "postponed":
            return
        self.owed.pop(key, None)
        if outcome == "delivered" and line.decided_at >= self._began:
            self.latency[told].observe(self._latency_s(seed, line))
        if not any(hash((seed, each)) in self.owed for each in line.facts["destinations"]):
            self._ordered.pop(hash(seed), None)

    def _owe(self, seed: str, name: str, line: Decision) -> None:
        mask = hash((line.study_instance_uid, line.mask_instance_uid))
        study = hash(line.study_instance_uid)
        owed = Owed(self._names.of(name), mask, study, line.decided_at.timestamp())
        self.owed.setdefault(hash((seed, name)), owed)

    def _latency_s(self, seed: str, line: Decision) -> float:
        """Since the last object of the study that the report could be made of."""
        ordered_at = self._ordered.get(hash(seed), line.decided_at)
        last = self._archive.last_received_at(
            line.study_instance_uid, before=ordered_at, but_from=self._ours
        )
        since = last or ordered_at
        return max(0.0, (line.decided_at - since).total_seconds())
