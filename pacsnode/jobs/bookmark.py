"""How far the worker has read the archive's changes, kept between its lives to save it time."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

BOOKMARK: Final = "worker.json"


class Bookmark:
    """A cursor in a small file; lost, stale or of another index, every study is looked at again."""

    def __init__(self, path: Path, index: Path) -> None:
        self._path = path
        self._index = index
        self._written: int | None = None

    def read(self) -> int:
        """The cursor, or 0 where the index is not the one that it was written for."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._path.read_text("ascii"))
            if found["index"] == self._index.stat().st_ino:
                return int(found["cursor"])
        return 0

    def touched_at_s(self) -> float | None:
        """When the worker last turned, seconds since 1970; None where it never did."""
        with suppress(OSError):
            return self._path.stat().st_mtime
        return None

    def write(self, cursor: int) -> None:
        """Note the cursor, and that the worker lives; a failure costs nothing but time."""
        if cursor == self._written:
            try:
                os.utime(self._path)
            except OSError:
                self._written = None
            return
        draft = self._path.with_suffix(".new")
        with suppress(OSError):
            written = {"index": self._index.stat().st_ino, "cursor": cursor}
            draft.write_text(json.dumps(written), "ascii")
            os.replace(draft, self._path)  # noqa: PTH105 - atomic, and said so
            self._written = cursor
