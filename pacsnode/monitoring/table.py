"""Every metric: its name, kind, labels, and where its numbers come from. Nothing else is told.

Dashboard, alert rules and docs/reference/monitoring.md are held against this table by tests.
"""

from collections.abc import Mapping
from itertools import product
from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram", "info"]
# journal: derived from the index and lasting; process: counted since the listener started;
# now: read when it is asked for
Source = Literal["journal", "process", "now"]

LATENCY_BUCKETS_S: Final = (
    5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0,
)  # fmt: skip


class Metric(NamedTuple):
    """One metric family, named as in OpenMetrics: a counter's samples end in `_total`."""

    name: str
    kind: Kind
    source: Source
    told: str
    labels: tuple[str, ...] = ()


METRICS: Final = (
    Metric(
        "pacsnode_instances_received", "counter", "process",
        "Objects answered, by sender (calling AE title, or stow) and outcome",
        ("peer", "outcome"),
    ),
    Metric(
        "pacsnode_received_bytes", "counter", "process",
        "Bytes of the objects answered: of their datasets, over STOW-RS of their files",
        ("peer", "outcome"),
    ),
    Metric(
        "pacsnode_refusals", "counter", "process",
        "Objects refused, by door (dimse or stow) and reason", ("door", "reason"),
    ),
    Metric(
        "pacsnode_associations_open", "gauge", "now", "DIMSE associations established now",
    ),
    Metric(
        "pacsnode_associations_accepted", "counter", "process",
        "DIMSE associations established, by calling AE title", ("peer",),
    ),
    Metric(
        "pacsnode_associations_refused", "counter", "process",
        "DIMSE associations and connections refused, by reason", ("reason",),
    ),
    Metric(
        "pacsnode_associations_ended", "counter", "process",
        "DIMSE associations ended, released or aborted", ("how",),
    ),
    Metric(
        "pacsnode_queue_age_seconds", "gauge", "now",
        "For how long the oldest of a stage has been in it; 0 where nothing is", ("stage",),
    ),
    Metric(
        "pacsnode_queue_length", "gauge", "journal",
        "Masks in a stage, and deliveries; of arrived nothing is told", ("stage",),
    ),
    Metric(
        "pacsnode_studies_stuck", "gauge", "journal",
        "Studies with a mask that failed, or is in a stage for longer than can be explained",
        ("stage",),
    ),
    Metric(
        "pacsnode_masks", "gauge", "journal",
        "Masks by where they stand: state, and code of the reason", ("state", "code"),
    ),
    Metric("pacsnode_reports", "counter", "journal", "Reports made, revisions included"),
    Metric("pacsnode_lesions_described", "counter", "journal", "Lesions in the reports made"),
    Metric(
        "pacsnode_reporting_seconds", "counter", "journal",
        "Seconds at work on reports: reading, measuring, describing, checking",
    ),
    Metric(
        "pacsnode_deliveries", "counter", "journal",
        "Deliveries by destination and outcome; postponed is counted at the first try alone",
        ("destination", "outcome"),
    ),
    Metric(
        "pacsnode_deliveries_waiting", "gauge", "journal",
        "Reports made that a destination neither has nor refused for good", ("destination",),
    ),
    Metric(
        "pacsnode_report_latency_seconds", "histogram", "process",
        "From the last object of the study before its report was ordered to its delivery",
        ("destination",),
    ),
    Metric(
        "pacsnode_model", "info", "now", "Who writes the words, and whether it can",
        ("name", "version", "weights", "profile", "device", "dtype", "state"),
    ),
    Metric("pacsnode_build", "info", "now", "Version of the program", ("version",)),
    Metric("pacsnode_ready", "gauge", "now", "1 where /readyz answers 200"),
    Metric(
        "pacsnode_check", "gauge", "now", "1 where this check of /readyz is passed", ("check",),
    ),
    Metric(
        "pacsnode_journal_read", "gauge", "now",
        "1 once the whole journal is read; until then its metrics are left out",
    ),
    Metric("pacsnode_worker_starts", "counter", "process", "Times the worker was started"),
    Metric(
        "pacsnode_disk_free_bytes", "gauge", "now", "Free on the archive's disk, to our user",
    ),
    Metric("pacsnode_disk_size_bytes", "gauge", "now", "Size of the archive's disk"),
    Metric(
        "pacsnode_disk_reserve_bytes", "gauge", "now",
        "Below so much free space objects are refused",
    ),
    Metric(
        "pacsnode_start_time_seconds", "gauge", "now",
        "When the listener started, seconds since 1970",
    ),
)  # fmt: skip

# What is known beforehand is told from 0 on: an increase from nothing to one is none to Prometheus,
# and an alert on it would miss the first.
_BY_BOTH_DOORS: Final = ("out-of-resources", "mismatch", "cannot-understand")
FROM_ZERO: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "pacsnode_refusals": (
        *product(("dimse", "stow"), _BY_BOTH_DOORS),
        ("stow", "class-not-supported"), ("stow", "syntax-not-supported"),
    ),
    "pacsnode_associations_refused": (
        ("unknown-caller",), ("maximum-associations",), ("unknown-address",), ("address-limit",),
        ("connection-limit",),
    ),
    "pacsnode_associations_ended": (("released",), ("aborted",)),
}  # fmt: skip

BY_NAME: Final = {metric.name: metric for metric in METRICS}
SUFFIXES: Final[dict[Kind, tuple[str, ...]]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
}


def sample_names() -> frozenset[str]:
    """Every name that a query may use."""
    return frozenset(metric.name + suffix for metric in METRICS for suffix in SUFFIXES[metric.kind])
