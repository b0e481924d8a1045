"""The tables of the index, and transactions on them."""

from storage.tables.definitions import (
    decisions,
    instances,
    keys,
    metadata,
    references,
    series,
    studies,
)
from storage.tables.transactions import index_errors, reading, writing

__all__ = [
    "decisions",
    "index_errors",
    "instances",
    "keys",
    "metadata",
    "reading",
    "references",
    "series",
    "studies",
    "writing",
]
