"""Files and catalog together: the only door to what is kept."""

from storage.archive.door import Archive
from storage.archive.rebuilding import reindex

__all__ = ["Archive", "reindex"]
