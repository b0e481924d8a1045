"""The table gateway: what is known of every object, and the journal of decisions."""

from storage.catalog.gateway import Catalog
from storage.catalog.journal import Journal
from storage.catalog.overview import Overview
from storage.catalog.rows import Entry
from storage.catalog.searching import Searches

__all__ = ["Catalog", "Entry", "Journal", "Overview", "Searches"]
