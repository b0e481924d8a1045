"""Listeners to be killed: python -m tests.wire.killed_listener ROOT.

Each line on standard input starts one on the archive ROOT, in a process of its own, which prints
its process id and port. The libraries are loaded once.
"""

import os
import sys
import threading
from pathlib import Path

from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive


def main() -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            listen(Path(sys.argv[1]))
        os.waitpid(child, 0)


def listen(root: Path) -> None:
    listener = Listener(Archive.open(root), Listen(port=0))
    listener.start()
    sys.stdout.write(f"{os.getpid()} {listener.address[1]}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
