"""The worker process: it watches the archive, decides, and runs the durable jobs."""

from pacsnode.settings import Settings


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; gives the exit code. Raises NodeError, StorageError."""
    from pacsnode.worker.running import work  # loads DBOS and the numerical libraries

    return work(settings)
