"""DBOS on one SQLite file: opened, with its queues, and closed."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, WorkflowStatusString, error

from pacsnode.errors import NodeError

REPORTS = "reports"
DELIVERIES = "deliveries"
FETCHES = "fetches"

# Raise it only when the order of steps in a workflow changes: work of another version is stranded.
STEPS_VERSION = "1"

_POLL_S = 0.2
FETCHES_AT_ONCE = 4


@contextmanager
def durable(path: Path, *, drain_s: float = 5, reports_at_once: int = 1) -> Iterator[None]:
    """Run durable work from the file at `path` until the block ends.

    Jobs that an earlier process left in flight go on. At the end, up to `drain_s` seconds are
    given to those that run; what is not finished by then goes on after the next start.
    Raises NodeError where the file cannot be used.
    """
    # with a handler of its own the library prints past the node's formatter
    logging.getLogger("dbos").addHandler(logging.NullHandler())
    try:
        DBOS(config=_config(path))
        DBOS.launch()
    except (sqlalchemy.exc.DatabaseError, error.DBOSException) as exc:
        DBOS.destroy()
        raise NodeError(
            f"The job file {path} cannot be used ({type(exc).__name__}). Move it and the files "
            "beside it that begin with its name away, and start again: what was under way starts "
            "anew from the archive, and no report is made twice"
        ) from exc
    try:
        DBOS.register_queue(
            REPORTS,
            worker_concurrency=reports_at_once,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        # one delivery at a time to each destination: a dead one does not hold up the others
        DBOS.register_queue(
            DELIVERIES,
            partition_concurrency=1,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        # one mask of a study at a time: the next one finds what came for the first
        DBOS.register_queue(
            FETCHES,
            worker_concurrency=FETCHES_AT_ONCE,
            partition_concurrency=1,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        yield
    finally:
        _drain(drain_s)
        DBOS.destroy()


def _drain(within_s: float) -> None:
    deadline = time.monotonic() + within_s
    running = WorkflowStatusString.PENDING.value
    while time.monotonic() < deadline and DBOS.list_workflows(
        status=running, load_input=False, load_output=False
    ):
        time.sleep(0.05)


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
