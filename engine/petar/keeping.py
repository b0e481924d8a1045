"""What is kept of earlier work, up to a number of bytes, the least recently used leaving first."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

from engine.volume import Mask, Scan, Volume

Value = TypeVar("Value")


class Shelf(Generic[Value]):
    """A cache for several threads; a limit of 0 keeps nothing."""

    def __init__(self, limit_bytes: int, size_of: Callable[[Value], int]) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: Value) -> None:
        size = self._size_of(value)
        with self._lock:
            if size > self.limit_bytes or key in self._values:
                return
            while self.used_bytes + size > self.limit_bytes:
                _, oldest = self._values.popitem(last=False)
                self.used_bytes -= self._size_of(oldest)
            self._values[key] = value
            self.used_bytes += size

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key; of threads that miss it together, one makes it."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                value = self.get(key)
                if value is None:
                    value = make()
                    self.put(key, value)
                return value
        finally:
            with self._lock:
                self._making.pop(key, None)

    def clear(self) -> None:
        """Keep nothing of what is there: its memory is wanted."""
        with self._lock:
            self._values.clear()
            self.used_bytes = 0


def digest_of_scan(scan: Scan) -> str:
    """What the network sees of a scan, as a digest."""
    digest = hashlib.sha256()
    for volume in (scan.pet, scan.ct):
        _add(digest, volume)
    return digest.hexdigest()


def digest_of_mask(mask: Mask) -> str:
    digest = hashlib.sha256(np.asarray(mask.voxels.shape).tobytes())
    digest.update(np.packbits(mask.voxels).tobytes())
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", volume: Volume | None) -> None:
    if volume is None:
        digest.update(b"none")
        return
    digest.update(f"{volume.grid.shape} {volume.values.dtype} {volume.unit}".encode())
    digest.update(np.ascontiguousarray(volume.grid.affine).tobytes())
    digest.update(np.ascontiguousarray(volume.values).data)
