"""python -m pacsnode.worker: the worker as `serve` starts it, with settings on standard input.

A first life ends with REFUSED where the model cannot be loaded; with `--again` reports wait for it.
"""

import os
import sys

from pacsnode import log
from pacsnode.errors import BadSettings, NodeError
from pacsnode.settings import Settings
from pacsnode.worker import REFUSED
from pacsnode.worker.lifeline import Lifeline
from storage.errors import StorageError


def main() -> int:
    """Read the settings, one line of JSON, and work until standard input ends."""
    settings = Settings.model_validate_json(sys.stdin.buffer.readline())
    lifeline = Lifeline(sys.stdin.buffer)
    log.set_up(settings.log_level)
    try:
        # loaded only now: the lifeline counts while this takes its seconds
        from pacsnode.worker.running import work

        return work(settings, lifeline=lifeline, may_wait_for_model="--again" in sys.argv[1:])
    except BadSettings as exc:
        log.event("worker-cannot-start", error=exc, reason=str(exc))
        return REFUSED
    except (NodeError, StorageError) as exc:
        log.event("worker-cannot-start", error=exc, reason=str(exc))
        return 1


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # a case in progress goes on after the next start: its thread must not hold this process
    os._exit(status)
