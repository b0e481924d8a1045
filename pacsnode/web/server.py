"""The HTTP server: uvicorn in a thread of the node."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import uvicorn
from starlette.routing import BaseRoute
from uvicorn.protocols.http.h11_impl import H11Protocol

from pacsnode import log
from pacsnode.errors import Unavailable, cannot_bind
from pacsnode.monitoring.telling import Node
from pacsnode.settings import Settings
from pacsnode.web.answers import ROOT
from pacsnode.web.application import application
from pacsnode.web.tls import server_context
from storage.archive import Archive

BACKLOG: Final = 128
STARTS_WITHIN_S: Final = 10.0
HEAD_WITHIN_S: Final = 30.0  # for the head of a request, and between two of a connection
KEPT_ALIVE_S: Final = 30
MOST_HEADER_BYTES: Final = 1 << 16  # a query may list many UIDs


class WebServer:
    """Serves DICOMweb from `start` to `stop`. Raises BadSettings where TLS cannot be had."""

    def __init__(
        self,
        archive: Archive,
        settings: Settings,
        node: Node | None = None,
        pages: Sequence[BaseRoute] = (),
    ) -> None:
        self._web = settings.web
        tls: dict[str, Any] = {}
        if settings.web.certificate is not None and settings.web.key is not None:
            context = server_context(settings.web.certificate, settings.web.key)
            tls = {"ssl_context_factory": lambda *_: context}
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(archive, settings, node, pages),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,  # a query string holds patients' names
                server_header=False,
                proxy_headers=False,  # whom to believe is the gate's to say
                date_header=True,
                limit_concurrency=self._web.maximum_connections,
                backlog=BACKLOG,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
                http=_Impatient,
                timeout_keep_alive=KEPT_ALIVE_S,
                **tls,
            )
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The address and port listened on; the port that the system picked where 0 was asked."""
        if self._socket is None:
            raise RuntimeError("The web server is not started")
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        """Where the resources begin, for who asks this server and no proxy."""
        host, port = self.address
        scheme = "http"
        if self._web.certificate is not None:
            scheme, host = "https", next(iter(self._web.names), host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{ROOT}"

    def start(self) -> None:
        """Bind and serve. Raises BadSettings or Unavailable where the address cannot be bound."""
        self._socket = _bound(self._web.address, self._web.port or 0)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._server.started and self._thread.is_alive():
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        if not self._server.started:
            self.stop()
            raise Unavailable("The web server did not start: see the log")
        host, port = self.address
        log.event("web-listening", address=host, port=port)

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more requests, give those in progress `grace_s` to end, close the rest."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(grace_s)
            self._server.force_exit = True
            self._thread.join(grace_s)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _run(self) -> None:
        assert self._socket is not None  # noqa: S101  bound by start
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except OSError as exc:
            log.event("web-ended", level=logging.ERROR, error=exc, where=log.where(exc))


class _Impatient(H11Protocol):
    """A connection that is closed where no whole request head comes in time.

    uvicorn would wait for ever for the rest of a head, and a few such connections are all it takes.
    """

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self.loop.call_later(HEAD_WITHIN_S, self._give_up)

    def _give_up(self) -> None:
        in_progress = getattr(self, "cycle", None)
        if in_progress is None or in_progress.response_complete:
            self.transport.close()


def _bound(address: str, port: int) -> socket.socket:
    host = "127.0.0.1" if address == "localhost" else address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.set_inheritable(False)
    except OSError as exc:
        bound.close()
        raise cannot_bind(
            exc,
            f"Cannot serve the web on {address} port {port}: {exc.strerror}; set 'web.port' to "
            "what is free here",
        ) from exc
    return bound
