"""A listener to be killed: python -m tests.wire.killed_listener ROOT; prints its port."""

import sys
import threading
from pathlib import Path

from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive


def main() -> None:
    listener = Listener(Archive.open(Path(sys.argv[1])), Listen(port=0))
    listener.start()
    sys.stdout.write(f"{listener.address[1]}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
