"""Which resource is answered by whom, and what every answer carries."""

import logging
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import Unreadable
from pacsnode import log
from pacsnode.monitoring.telling import Monitor, Node
from pacsnode.settings import Settings
from pacsnode.web.answers import ROOT, refused
from pacsnode.web.capabilities import Capabilities
from pacsnode.web.health import Health
from pacsnode.web.refusal import NOT_ACCEPTABLE, UNAVAILABLE, Refusal
from pacsnode.web.rendering import Rendering
from pacsnode.web.retrieving import Retrieve
from pacsnode.web.searching import Searching
from pacsnode.web.spool import Bounds
from pacsnode.web.statement.page import CONFORMANCE_PAGE
from pacsnode.web.storing import Store
from pacsnode.web.table import Answering, resources
from pacsnode.web_section import is_loopback
from storage.archive import Archive
from storage.errors import StorageError

HEADERS: Final = {
    "Cache-Control": "no-store",  # a browser's cache is no place for patients
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(archive: Archive, settings: Settings, node: Node | None = None) -> Starlette:
    """The whole web side of a node."""
    node = node or Node.alone()
    bounds = Bounds(
        object_bytes=settings.listen.maximum_object_mb << 20,
        request_bytes=settings.web.maximum_request_mb << 20,
        silence_s=settings.web.network_timeout_s,
    )
    store = Store(archive, settings.home, bounds, settings.listen.other_objects, node.tallies)
    told_of = resources(Answering(store, Searching(archive), Retrieve(archive), Rendering(archive)))
    told = Route(ROOT, Capabilities(told_of).answer, methods=["GET", "OPTIONS"])
    routes = [Route(one.path, one.answer, methods=[one.method]) for one in told_of]
    health = Health(Monitor(archive, settings, node))
    return Starlette(
        routes=[*health.routes, CONFORMANCE_PAGE, told, Mount(ROOT, routes=routes)],
        middleware=[Middleware(_Guard)],
        exception_handlers={
            Refusal: _on_refusal,
            StorageError: _on_storage_error,
            Unreadable: _on_unreadable,
            HTTPException: _on_http_error,
            Exception: _on_fault,
        },
    )


async def _on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101  registered for it alone
    return refused(error)


async def _on_storage_error(_: Request, error: Exception) -> Response:
    log.event(
        "web-storage-fault", level=logging.ERROR, error=error, reason=str(error),
        where=log.where(error),
    )  # fmt: skip
    return refused(Refusal(UNAVAILABLE, str(error), {"Retry-After": "60"}))


async def _on_unreadable(_: Request, error: Exception) -> Response:
    return refused(Refusal(NOT_ACCEPTABLE, str(error)))


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it alone
    return refused(Refusal(error.status_code, str(error.detail), error.headers or {}))


async def _on_fault(_: Request, _error: Exception) -> Response:
    # uvicorn logs it afterwards: kind and place, as our log tells of every library
    return refused(Refusal(500, "A fault of ours: the log names its place"))


class _Guard:
    """Headers for every answer, and none for who reached us under a foreign name.

    A page of another site can make its own name point to loopback: its script would then read
    answers as if they were its own site's. Only the Host header tells.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if not is_loopback(name.strip("[]").lower()):
            answer = refused(Refusal(403, "Reach this server as localhost: it serves nobody else"))
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)
