"""A worker that is started again within a moment of its death, for tests that kill it often.

It loads everything once and forks: the child is the worker, as real as one that was started anew,
and may be killed by anyone. Settings come on standard input, as they do to the product's worker.
"""

import os
import signal
import sys
from types import FrameType

from pacsnode import log
from pacsnode.jobs.desk import Backoff
from pacsnode.settings import Settings
from pacsnode.worker.running import work


def main() -> int:
    """Fork workers until SIGTERM or the end of standard input."""
    settings = Settings.model_validate_json(sys.stdin.buffer.readline())
    backoff = Backoff(first_s=float(sys.argv[1]))
    log.set_up("warning")
    stopping = False
    child = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    print("loaded", flush=True)  # noqa: T201 the test waits for it
    while not stopping:
        child = os.fork()
        if child == 0:
            os._exit(work(settings, backoff=backoff))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 the test reads it
    return 0


if __name__ == "__main__":
    sys.exit(main())
