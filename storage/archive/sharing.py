"""Who has an archive open: several processes may share it, a rebuild wants it alone."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from storage.errors import IndexFault
from storage.files import disk_errors

LOCK_FILE: Final = "index.lock"


class Share:
    """An advisory lock that ends with the process, however it ends."""

    def __init__(self, root: Path) -> None:
        with disk_errors():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor: int | None = os.open(root / LOCK_FILE, flags, 0o600)

    def try_alone(self) -> bool:
        """Keep everybody else out, if nobody is in."""
        return self._lock(fcntl.LOCK_EX)

    def join(self, patience_s: float = 30.0) -> None:
        """Share the archive. Raises IndexFault where another process will not share it."""
        give_up_at = time.monotonic() + patience_s
        while not self._lock(fcntl.LOCK_SH):
            if time.monotonic() > give_up_at:
                self.leave()
                raise IndexFault("The index is being rebuilt by another process; try again later")
            time.sleep(0.02)

    def take_alone(self) -> None:
        """Keep everybody else out. Raises IndexFault where somebody is in."""
        if not self.try_alone():
            self.leave()
            raise IndexFault("Another process has the archive open: stop the node first")

    def leave(self) -> None:
        """Let go; harmless when repeated."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, kind: int) -> bool:
        assert self._descriptor is not None  # noqa: S101  a share that was left is not used again
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
