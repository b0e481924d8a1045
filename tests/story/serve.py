"""`pacsnode serve` as a person starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A whole node; killed without mercy at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pacsnode", "serve", "--home", str(home), *options],
        stderr=subprocess.PIPE,
        env=os.environ | {"PACSNODE_LOG_LEVEL": "error", "OMP_NUM_THREADS": "1"},
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
