"""DBOS on one SQLite file: opened, with its queues, and closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

REPORTS = "reports"
DELIVERIES = "deliveries"

# Raise it only when the order of steps in a workflow changes: work of another version is stranded.
STEPS_VERSION = "1"

_POLL_S = 0.2


@contextmanager
def durable(path: Path, *, drain_s: int = 5) -> Iterator[None]:
    """Run durable work from the file at `path` until the block ends.

    Jobs that an earlier process left in flight go on. At the end, up to `drain_s` seconds are
    given to those that run; what is not finished by then goes on after the next start.
    """
    DBOS(config=_config(path))
    DBOS.launch()
    try:
        DBOS.register_queue(
            REPORTS, worker_concurrency=1, polling_interval_sec=_POLL_S, on_conflict="always_update"
        )
        # one delivery at a time to each destination: a dead one does not hold up the others
        DBOS.register_queue(
            DELIVERIES,
            partition_concurrency=1,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        yield
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=drain_s)


def _config(path: Path) -> DBOSConfig:
    return DBOSConfig(
        name="pacsnode",
        system_database_url=f"sqlite:///{path}",
        system_database_engine=_database(path),
        serializer=DBOSPortableJSONSerializer(),  # the default would be pickle
        application_version=STEPS_VERSION,
        executor_id="worker",
        enable_otlp=False,
        log_level="WARNING",
    )


def _database(path: Path) -> sqlalchemy.Engine:
    database = sqlalchemy.create_engine(f"sqlite:///{path}")

    @sqlalchemy.event.listens_for(database, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # writers queue up at BEGIN instead of failing in the middle of a transaction
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # a report that the journal calls made must not lose its delivery
            "busy_timeout=30000",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return database
