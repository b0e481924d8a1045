"""`/metrics`, `/healthz`, `/readyz`: what a machine asks a node about itself."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pacsnode.access import needs
from pacsnode.access.gate import HEALTH
from pacsnode.monitoring.telling import Monitor

METRICS: Final = "/metrics"
ALIVE, READY = HEALTH  # asked without a login: neither names a patient, a study or a secret


class Health:
    """Answers for the node; in threads, since disk and index are asked."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    @property
    def routes(self) -> tuple[Route, ...]:
        """All three."""
        return (
            Route(METRICS, self.metrics, methods=["GET"]),
            Route(ALIVE, self.alive, methods=["GET"]),
            Route(READY, self.ready, methods=["GET"]),
        )

    @needs("read")
    def metrics(self, request: Request) -> Response:
        """Prometheus's text, or OpenMetrics."""
        text, kind = self._monitor.text(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind})

    async def alive(self, _: Request) -> Response:
        """200 as long as this process answers."""
        return JSONResponse({"status": "alive"})

    def ready(self, _: Request) -> Response:
        """200, or 503 with the reasons."""
        checks = self._monitor.checks()
        passed = all(one.passed for one in checks)
        told = {
            one.name: {"passed": one.passed} | ({"reason": one.reason} if one.reason else {})
            for one in checks
        }
        body = {"status": "ready" if passed else "not ready", "checks": told}
        return JSONResponse(body, 200 if passed else 503)
