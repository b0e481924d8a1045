"""The worker process: it watches the archive, decides, and runs the durable jobs."""

from pacsnode.worker.running import run

__all__ = ["run"]
