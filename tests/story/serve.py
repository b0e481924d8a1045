"""`pacsnode serve` as a person starts it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(home: Path, *options: str, log_level: str = "error") -> Iterator[subprocess.Popen[str]]:
    """A whole node; killed without mercy at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pacsnode", "serve", "--home", str(home), *options],
        stderr=subprocess.PIPE,
        env=os.environ | {"PACSNODE_LOG_LEVEL": log_level, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def port_of(node: subprocess.Popen[str]) -> int:
    """The port that a node says it listens on, once it does."""
    assert node.stderr is not None
    said = []
    for line in node.stderr:
        if line.startswith("Listening on "):
            return int(line.rpartition(":")[2])
        said.append(line)
    raise AssertionError(f"The node ended before it listened: {said}")


class Listening:
    """Reads what a node says on stderr for as long as it runs."""

    def __init__(self, node: subprocess.Popen[str]) -> None:
        self._node = node
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._node.stderr is not None
        self._lines.extend(self._node.stderr)

    def said(self) -> str:
        """All of it, once the node has been ended."""
        self._node.terminate()
        self._node.wait(timeout=60)
        self._thread.join(timeout=60)
        return "".join(self._lines)
