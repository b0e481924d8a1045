"""The numbers of the table, gathered when they are asked for, a second old at most."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from engine.describing.template import Template
from pacsnode import __version__
from pacsnode.jobs.describers import writes_with_a_model
from pacsnode.jobs.model_status import read_model_status
from pacsnode.monitoring.folding import OUTCOMES, Fold, Histogram
from pacsnode.monitoring.readiness import Check, Readiness, Worker
from pacsnode.monitoring.table import BY_NAME, FROM_ZERO, LATENCY_BUCKETS_S, Metric
from pacsnode.settings import Settings
from pacsnode.tallies import Labels, Tallies
from storage.archive import Archive
from storage.errors import StorageError

LASTS_S: Final = 1.0  # what was read is told again for so long
READS_FOR_S: Final = 4.0  # of the journal, in one scrape: Prometheus waits for ten
STAGES: Final = ("arrived", "waiting", "ready", "running", "delivering")
STUCK_AFTER_S: Final = 3600.0

# from the table's name to the name of the tally
TALLIED: Final = {
    "pacsnode_instances_received": "objects",
    "pacsnode_received_bytes": "object_bytes",
    "pacsnode_refusals": "refused_objects",
    "pacsnode_associations_accepted": "associations_accepted",
    "pacsnode_associations_refused": "associations_refused",
    "pacsnode_associations_ended": "associations_ended",
}
Values = Mapping[Labels, Any]  # numbers, or Histograms


@dataclass(frozen=True, slots=True)
class Node:
    """What the web side knows of the rest of its process; None where it stands alone."""

    tallies: Tallies
    worker: Worker | None = None
    is_listening: Callable[[], bool] | None = None
    open_associations: Callable[[], int] | None = None

    @classmethod
    def alone(cls) -> "Node":
        """A web side without a listener and a worker."""
        return cls(Tallies())


class Monitor(Collector):
    """Gathers and tells; threads may share one. It has a registry of its own."""

    def __init__(
        self, archive: Archive, settings: Settings, node: Node, *, lasts_s: float = LASTS_S
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._node = node
        self._lasts_s = lasts_s
        self._readiness = Readiness(archive, settings, node.worker, node.is_listening)
        names = tuple(each.name for each in settings.destinations)
        self._fold = Fold(archive, settings.listen.ae_title, names)
        self._began_s = time.time()
        self._lock = threading.Lock()
        self._read_at_s = float("-inf")
        self._values: dict[str, Values] = {}
        self._checked_at_s = float("-inf")
        self._checks: tuple[Check, ...] = ()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its media type, OpenMetrics where that is asked for."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def checks(self) -> tuple[Check, ...]:
        """The checks of readiness."""
        with self._lock:
            return self._recent_checks()

    def describe(self) -> Iterable[Family]:
        """Nothing is read in order to register."""
        return ()

    def collect(self) -> Iterable[Family]:
        """Every family of the table that has something to tell."""
        with self._lock:
            if time.monotonic() - self._read_at_s > self._lasts_s:
                self._values = dict(self._gathered())
                self._read_at_s = time.monotonic()
            values = self._values
        return [_family(metric, values[name]) for name, metric in BY_NAME.items() if name in values]

    def _recent_checks(self) -> tuple[Check, ...]:
        if time.monotonic() - self._checked_at_s > self._lasts_s:
            self._checks = self._readiness.checks()
            self._checked_at_s = time.monotonic()
        return self._checks

    def _gathered(self) -> Iterable[tuple[str, Values]]:
        checks = self._recent_checks()
        yield "pacsnode_check", {(one.name,): int(one.passed) for one in checks}
        yield "pacsnode_ready", {(): int(all(one.passed for one in checks))}
        for name, tally in TALLIED.items():
            yield name, dict.fromkeys(FROM_ZERO.get(name, ()), 0) | self._node.tallies.all(tally)
        if self._node.open_associations is not None:
            yield "pacsnode_associations_open", {(): self._node.open_associations()}
        if self._node.worker is not None:
            yield "pacsnode_worker_starts", {(): self._node.worker.starts}
        yield "pacsnode_build", {(__version__,): 1}
        yield "pacsnode_model", {self._model(): 1}
        yield "pacsnode_start_time_seconds", {(): self._began_s}
        disk = shutil.disk_usage(self._archive.root)
        yield "pacsnode_disk_free_bytes", {(): disk.free}
        yield "pacsnode_disk_size_bytes", {(): disk.total}
        reserve_bytes = self._settings.listen.free_space_reserve_mb << 20
        yield "pacsnode_disk_reserve_bytes", {(): reserve_bytes}
        yield from self._of_journal()

    def _of_journal(self) -> Iterable[tuple[str, Values]]:
        fold = self._fold
        try:
            is_read = fold.read(READS_FOR_S)
            unread_since_s = self._readiness.unread_since_s()
        except StorageError:  # the check of the index says so
            is_read, unread_since_s = False, None
        yield "pacsnode_journal_read", {(): int(is_read)}
        if not is_read:
            return
        yield "pacsnode_queue_age_seconds", self._ages(unread_since_s)
        lengths = Counter(one.stage for one in fold.under_way.values())
        lengths["delivering"] = len(fold.owed)
        yield "pacsnode_queue_length", {(stage,): lengths[stage] for stage in STAGES[1:]}
        yield "pacsnode_studies_stuck", self._stuck()
        yield "pacsnode_masks", {labels: n for labels, n in fold.masks.items() if n}
        yield "pacsnode_reports", {(): fold.reports}
        yield "pacsnode_lesions_described", {(): fold.lesions}
        yield "pacsnode_reporting_seconds", {(): fold.seconds}
        named = {each.name: 0 for each in self._settings.destinations}
        from_zero = dict.fromkeys(product(named, OUTCOMES.values()), 0)
        yield "pacsnode_deliveries", from_zero | fold.deliveries
        waiting = named | Counter(one.destination for one in fold.owed.values())
        yield "pacsnode_deliveries_waiting", {(name,): n for name, n in waiting.items()}
        yield (
            "pacsnode_report_latency_seconds",
            {(name,): observed for name, observed in fold.latency.items()},
        )

    def _ages(self, unread_since_s: float | None) -> Values:
        now_s = time.time()
        since_s = dict.fromkeys(STAGES, now_s)
        for one in self._fold.under_way.values():
            since_s[one.stage] = min(since_s[one.stage], one.since_s)
        for owed in self._fold.owed.values():
            since_s["delivering"] = min(since_s["delivering"], owed.since_s)
        if unread_since_s is not None:
            since_s["arrived"] = min(now_s, unread_since_s)
        return {(stage,): max(0.0, now_s - began_s) for stage, began_s in since_s.items()}

    def _stuck(self) -> Values:
        now_s = time.time()
        studies: dict[str, set[int]] = {"failed": set(self._fold.failed.values())}
        for stage in STAGES[1:]:
            studies[stage] = set()
        for owed in self._fold.owed.values():
            if now_s - owed.since_s > STUCK_AFTER_S:
                studies["delivering"].add(owed.study)
        for one in self._fold.under_way.values():
            explained_s = self._settings.assembly.quiet_s if one.stage == "waiting" else 0.0
            if now_s - one.since_s > STUCK_AFTER_S + explained_s:
                studies[one.stage].add(one.study)
        return {(stage,): len(found) for stage, found in studies.items()}

    def _model(self) -> Labels:
        if not writes_with_a_model(self._settings.describe):
            who = Template.identity
            return (who.name, who.version, "", "", "", "", "ready")
        status = read_model_status(self._settings.home)
        if status is None:
            return (self._settings.describe.describer, "", "", "", "", "", "loading")
        return (
            status.name, status.version or "", (status.weights_sha256 or "")[:12],
            status.profile or "", status.device or "", status.dtype or "", status.state,
        )  # fmt: skip


def _family(metric: Metric, values: Values) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.told, labels=metric.labels)
        for labels, observed in values.items():
            histogram.add_metric(labels, _buckets(observed), observed.sum_s)
        return histogram
    if metric.kind == "info":
        info = InfoMetricFamily(metric.name, metric.told)
        for labels in values:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.told, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _buckets(observed: Histogram) -> Sequence[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    so_far, told = 0, []
    bounds = [*map(str, LATENCY_BUCKETS_S), "+Inf"]
    for bound, count in zip(bounds, observed.counts, strict=True):
        so_far += count
        told.append((bound, float(so_far)))
    return told
