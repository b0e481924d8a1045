"""The files of the audit log: one message a line, one file a month, appended to alone."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = re.compile(r"\d{4}-\d{2}\.log")
SENT: Final = "sent.json"
MOST_AT_A_TIME: Final = 1 << 20  # bytes


class Place(NamedTuple):
    """A place between two lines: file name and offset in bytes."""

    file: str
    offset: int


class Trail:
    """A folder that the node's user alone can read. Several processes may append."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, line: str, now: datetime) -> None:
        """Add one line, which is on the disk afterwards. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{now.astimezone(UTC):%Y-%m}.log"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        is_new = not path.exists()
        descriptor = os.open(path, flags, 0o600)
        try:
            with _alone(descriptor):
                size = os.fstat(descriptor).st_size
                # a line that was broken off by a crash stays by itself
                start = b"" if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n"
                left = start + line.encode("utf-8", "replace") + b"\n"
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            _sync(self.folder)

    def unsent(self) -> tuple[list[str], Place] | None:
        """The next lines that were not sent, and the place behind them; None where all were."""
        place = self._place()
        for name in self._files():
            if place is not None and name < place.file:
                continue
            offset = place.offset if place is not None and place.file == name else 0
            with (self.folder / name).open("rb") as file:
                file.seek(offset)
                found = file.read(MOST_AT_A_TIME)
                if b"\n" not in found:
                    found += file.readline()  # one line may be longer
            whole = found[: found.rfind(b"\n") + 1]
            if whole:
                lines = whole.decode("utf-8", "replace").split("\n")
                return [each for each in lines if each], Place(name, offset + len(whole))
        return None

    def sent(self, place: Place) -> None:
        """Everything before this place was taken. Raises OSError."""
        path = self.folder / SENT
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(place._asdict(), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync(self.folder)

    def _place(self) -> Place | None:
        try:
            told = json.loads((self.folder / SENT).read_text("ascii"))
            return Place(str(told["file"]), int(told["offset"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # sent twice rather than not at all

    def _files(self) -> list[str]:
        try:
            return sorted(one.name for one in self.folder.iterdir() if FILE.fullmatch(one.name))
        except FileNotFoundError:
            return []


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
