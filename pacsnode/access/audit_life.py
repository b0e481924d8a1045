"""The audit log while a node runs: its start and stop, and what goes to a syslog server."""

from pacsnode.access.audit import FOLDER, open_audit
from pacsnode.access.syslog import Syslog
from pacsnode.access.trail import Trail
from pacsnode.settings import Settings


class AuditLife:
    """From `start` to `stop`. Raises BadSettings where TLS to the server cannot be had."""

    def __init__(self, settings: Settings) -> None:
        self.audit = open_audit(settings)
        self._is_running = False
        self._syslog: Syslog | None = None
        if settings.audit.syslog_host is not None:
            self._syslog = Syslog(Trail(settings.home / FOLDER), settings.audit)

    def start(self) -> None:
        """Tell that the node runs; begin to send."""
        self.audit.started()
        self._is_running = True
        if self._syslog is not None:
            self._syslog.start()

    def stop(self) -> None:
        """Tell that it ends; send what can be sent."""
        if not self._is_running:
            return
        self._is_running = False
        self.audit.stopped()
        if self._syslog is not None:
            self._syslog.stop()
