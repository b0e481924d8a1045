"""How far the worker has read the archive's changes: kept between its lives to save it time,
and told to whoever asks whether it keeps up.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

BOOKMARK: Final = "worker.json"


class Bookmark:
    """Cursors in a small file; lost, stale or of another index, every study is looked at again."""

    def __init__(self, path: Path, index: Path) -> None:
        self._path = path
        self._index = index
        self._written: tuple[int, int] | None = None

    def read(self) -> int:
        """Where to begin, or 0 where the index is not the one that it was written for."""
        return self._read("cursor")

    def read_looked(self) -> int:
        """How far every change was looked at, though some may wait; 0 as above."""
        return self._read("looked")

    def touched_at_s(self) -> float | None:
        """When the worker last turned, seconds since 1970; None where it never did."""
        with suppress(OSError):
            return self._path.stat().st_mtime
        return None

    def write(self, cursor: int, looked: int) -> None:
        """Note the cursors, and that the worker lives; a failure costs nothing but time."""
        if (cursor, looked) == self._written:
            try:
                os.utime(self._path)
            except OSError:
                self._written = None
            return
        draft = self._path.with_suffix(".new")
        with suppress(OSError):
            written = {"index": self._index.stat().st_ino, "cursor": cursor, "looked": looked}
            draft.write_text(json.dumps(written), "ascii")
            os.replace(draft, self._path)  # noqa: PTH105 - atomic, and said so
            self._written = cursor, looked

    def _read(self, name: str) -> int:
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._path.read_text("ascii"))
            if found["index"] == self._index.stat().st_ino:
                return int(found[name])
        return 0
