"""A pipe whose other end is held by the process that started this one."""

import os
import threading
from typing import BinaryIO


class Lifeline:
    """Ends this process when the pipe ends, or tells whoever took it over to end in good order."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._ended = threading.Event()
        self._is_taken = False
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def take(self) -> threading.Event:
        """From now on the end of the pipe is only told, by this event."""
        self._is_taken = True
        return self._ended

    def _watch(self) -> None:
        while self._pipe.read(4096):
            pass
        self._ended.set()
        if not self._is_taken:
            os._exit(0)
