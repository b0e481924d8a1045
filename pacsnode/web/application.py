"""Which resource is answered by whom, and what every answer carries."""

import inspect
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from engine.errors import Unreadable
from pacsnode import log
from pacsnode.access import Role, needs
from pacsnode.access.audit import open_audit
from pacsnode.access.entrance import Entrance
from pacsnode.access.gate import Gate
from pacsnode.acting import Actions
from pacsnode.monitoring.telling import Monitor, Node
from pacsnode.settings import Settings
from pacsnode.web.answers import ROOT, refused
from pacsnode.web.capabilities import Capabilities, Resource
from pacsnode.web.health import Health
from pacsnode.web.login import LoginPage
from pacsnode.web.ohif import viewer_routes
from pacsnode.web.page.routes import page_application
from pacsnode.web.page.templating import STATIC, Files, Templates
from pacsnode.web.refusal import NOT_ACCEPTABLE, UNAVAILABLE, Refusal
from pacsnode.web.rendering import Rendering
from pacsnode.web.retrieving import Retrieve
from pacsnode.web.searching import Searching
from pacsnode.web.spool import Bounds
from pacsnode.web.statement.page import CONFORMANCE_PAGE
from pacsnode.web.storing import Store
from pacsnode.web.table import Answering, resources
from pacsnode.web.telling import Telling
from storage.archive import Archive
from storage.errors import StorageError

ROLE_OF: Final[Mapping[str, Role]] = {"GET": "read", "POST": "operate"}


def application(
    archive: Archive,
    settings: Settings,
    node: Node | None = None,
    pages: Sequence[BaseRoute] = (),
) -> Starlette:
    """The whole web side of a node, and `pages` that others add."""
    node = node or Node.alone()
    bounds = Bounds(
        object_bytes=settings.listen.maximum_object_mb << 20,
        request_bytes=settings.web.maximum_request_mb << 20,
        silence_s=settings.web.network_timeout_s,
    )
    store = Store(archive, settings.home, bounds, settings.listen.other_objects, node.tallies)
    told_of = resources(Answering(store, Searching(archive), Retrieve(archive), Rendering(archive)))
    told = Route(ROOT, needs("read")(Capabilities(told_of).answer), methods=["GET", "OPTIONS"])
    audit = open_audit(settings)
    entrance = Entrance(settings.web, audit)
    telling = Telling(audit)
    routes = _routes(told_of, telling)
    templates = Templates()
    page = page_application(archive, settings, Actions(archive, settings), audit, templates)
    return Starlette(
        routes=[
            *Health(Monitor(archive, settings, node)).routes,
            CONFORMANCE_PAGE,
            told,
            Mount(ROOT, routes=routes),
            Mount("/static", Files(directory=STATIC)),
            *LoginPage(entrance).routes(),
            *pages,
            *viewer_routes(settings.web.ohif),
            Mount("/", page),
        ],
        middleware=[Middleware(Gate, entrance=entrance, page=templates.sorry)],
        exception_handlers={
            Refusal: _on_refusal,
            StorageError: _on_storage_error,
            Unreadable: _on_unreadable,
            HTTPException: _on_http_error,
            Exception: _on_fault,
        },
    )


def _routes(resources: Iterable[Resource], telling: Telling) -> list[Route]:
    """One for each path, so that a method refused is answered with all that are allowed."""
    by_path: dict[str, dict[str, Any]] = defaultdict(dict)
    for one in resources:
        by_path[one.path][one.method] = needs(ROLE_OF[one.method])(telling.told(one))
    return [Route(path, _by_method(each), methods=[*each]) for path, each in by_path.items()]


def _by_method(answers: Mapping[str, Any]) -> Any:
    async def answer(request: Request) -> Response:
        chosen = answers["GET" if request.method == "HEAD" else request.method]
        if inspect.iscoroutinefunction(chosen):
            found: Response = await chosen(request)
            return found
        return await run_in_threadpool(chosen, request)

    return answer


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
