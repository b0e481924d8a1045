"""Transactions on the index: who only reads waits for nobody, one at a time writes."""

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from storage.errors import REBUILD, IndexFault, StorageFull


@contextlib.contextmanager
def reading(database: Engine) -> Iterator[Connection]:
    """A consistent view; waits for no writer."""
    with index_errors(), database.connect() as connection, connection.begin():
        yield connection


@contextlib.contextmanager
def writing(database: Engine) -> Iterator[Connection]:
    """The one writer of the moment: what is read in here still holds when it commits."""
    with index_errors(), database.connect() as plain:
        connection = plain.execution_options(begin="BEGIN IMMEDIATE")
        with connection.begin():
            yield connection


@contextlib.contextmanager
def index_errors() -> Iterator[None]:
    """SQLAlchemy's and SQLite's errors in our words."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as exc:  # a connection being set up fails bare
        cause = str(exc.orig if isinstance(exc, DBAPIError) else exc)
        if "full" in cause:
            raise StorageFull("No space for the index") from exc
        if "locked" in cause or "busy" in cause:
            raise IndexFault("The index is locked by another process; try again") from exc
        raise IndexFault(f"The index cannot be used ({cause}); {REBUILD}") from exc
