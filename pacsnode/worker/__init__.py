"""The worker process: it watches the archive, decides, and runs the durable jobs."""

from typing import Final

from pacsnode.settings import Settings

REFUSED: Final = 78  # exit status of a worker whose model cannot serve: EX_CONFIG of sysexits.h


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; gives the exit code. Raises NodeError, StorageError."""
    from pacsnode.worker.running import work  # loads DBOS and the numerical libraries

    return work(settings)
