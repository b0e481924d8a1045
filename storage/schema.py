"""Open the index: one SQLite file, checked, stepped to the newest version, shared by processes."""

import sqlite3
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, create_engine, event

from storage.errors import REBUILD, IndexFault
from storage.tables import index_errors, reading, writing

NEWEST: Final = "0002"
BUSY_MS: Final = 30_000
Synchronous = Literal["FULL", "NORMAL"]


def open_database(path: Path, *, synchronous: Synchronous = "FULL", check: bool = True) -> Engine:
    """The index at `path`, made where absent. Raises IndexFault or StorageFull.

    `check` reads the whole file for damage first; commands that only look may leave it out.
    """
    database = create_engine(
        f"sqlite:///{path}", pool_size=8, max_overflow=-1, connect_args={"timeout": BUSY_MS / 1000}
    )
    _set_up_connections(database, synchronous)
    try:
        with index_errors():
            if check:
                _check(database)
            _step_to_newest(database)
    except BaseException:
        database.dispose()
        raise
    return database


def _set_up_connections(database: Engine, synchronous: Synchronous) -> None:
    @event.listens_for(database, "connect")
    def on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        # transactions begin where we say, not where the driver guesses
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_MS}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(database, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _check(database: Engine) -> None:
    with reading(database) as connection:
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise IndexFault(f"The index is damaged; {REBUILD}")


def _step_to_newest(database: Engine) -> None:
    with reading(database) as connection:
        if _version(connection) == NEWEST:
            return
    with writing(database) as connection:  # another process may be stepping: ask again inside
        version = _version(connection)
        if version == NEWEST:
            return
        _step(connection, version)


def _step(connection: Connection, version: str | None) -> None:
    # only here: a command that merely looks at an index of today does not pay for Alembic
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise IndexFault(
            f"The index is of version {version}, this program knows up to {NEWEST}: "
            f"use the newer program, or {REBUILD}"
        )
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(version) if version is not None else None
