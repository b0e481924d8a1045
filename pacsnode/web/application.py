"""Which resource is answered by whom, and what every answer carries."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
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
from pacsnode.settings import Settings
from pacsnode.web.answers import ROOT, refused
from pacsnode.web.capabilities import Capabilities, Resource
from pacsnode.web.login import LoginPage
from pacsnode.web.media import (
    DICOM,
    DICOM_JSON,
    JPEG,
    JSON,
    OCTETS,
    OF_SYNTAX,
    PNG,
    RELATED,
)
from pacsnode.web.page.routes import page_application
from pacsnode.web.page.templating import STATIC, Files
from pacsnode.web.refusal import NOT_ACCEPTABLE, UNAVAILABLE, Refusal
from pacsnode.web.rendering import Rendering
from pacsnode.web.retrieving import Retrieve
from pacsnode.web.searching import Searching
from pacsnode.web.spool import Bounds
from pacsnode.web.storing import Store
from pacsnode.web.telling import Telling
from storage.archive import Archive
from storage.errors import StorageError

STUDY: Final = "/studies/{study}"
SERIES: Final = f"{STUDY}/series/{{series}}"
INSTANCE: Final = f"{SERIES}/instances/{{instance}}"
FRAMES: Final = f"{INSTANCE}/frames/{{frames}}"
ROLE_OF: Final[Mapping[str, Role]] = {"GET": "read", "POST": "operate"}
IN_JSON: Final = (DICOM_JSON, JSON)


def application(archive: Archive, settings: Settings, pages: Sequence[BaseRoute] = ()) -> Starlette:
    """The whole web side of a node, and `pages` that others add."""
    bounds = Bounds(
        object_bytes=settings.listen.maximum_object_mb << 20,
        request_bytes=settings.web.maximum_request_mb << 20,
        silence_s=settings.web.network_timeout_s,
    )
    store = Store(archive, settings.home, bounds, settings.listen.other_objects)
    resources = [
        *_storing(store),
        *_searching(Searching(archive)),
        *_retrieving(Retrieve(archive)),
        *_rendering(Rendering(archive)),
    ]
    told = Route(ROOT, needs("read")(Capabilities(resources).answer), methods=["GET", "OPTIONS"])
    audit = open_audit(settings)
    entrance = Entrance(settings.web, audit)
    telling = Telling(audit)
    routes = [
        Route(one.path, needs(ROLE_OF[one.method])(telling.told(one)), methods=[one.method])
        for one in resources
    ]
    page = page_application(archive, settings, Actions(archive, settings), audit)
    served = Starlette(
        routes=[
            told,
            Mount(ROOT, routes=routes),
            Mount("/static", Files(directory=STATIC)),
            *LoginPage(entrance).routes(),
            *pages,
            Mount("/", page),
        ],
        middleware=[Middleware(Gate, entrance=entrance)],
        exception_handlers={
            Refusal: _on_refusal,
            StorageError: _on_storage_error,
            Unreadable: _on_unreadable,
            HTTPException: _on_http_error,
            Exception: _on_fault,
        },
    )
    served.state.audit = audit
    return served


def _storing(store: Store) -> Iterator[Resource]:
    for path in ("/studies", STUDY):
        yield Resource(path, "POST", "Store Instances", IN_JSON, store.answer)


def _searching(search: Searching) -> Iterator[Resource]:
    yield Resource("/studies", "GET", "Search Studies", IN_JSON, search.studies)
    for path in ("/series", f"{STUDY}/series"):
        yield Resource(path, "GET", "Search Series", IN_JSON, search.series)
    for path in ("/instances", f"{STUDY}/instances", f"{SERIES}/instances"):
        yield Resource(path, "GET", "Search Instances", IN_JSON, search.instances)


def _retrieving(retrieve: Retrieve) -> Iterator[Resource]:
    files = (f'{RELATED}; type="{DICOM}"',)
    pixels = tuple(f'{RELATED}; type="{kind}"' for kind in (OCTETS, *sorted({*OF_SYNTAX.values()})))
    for path in (STUDY, SERIES, INSTANCE):
        alone = (DICOM,) if path == INSTANCE else ()
        yield Resource(path, "GET", "Retrieve Instances", files + alone, retrieve.instances)
        yield Resource(f"{path}/metadata", "GET", "Retrieve Metadata", IN_JSON, retrieve.metadata)
    yield Resource(FRAMES, "GET", "Retrieve Frames", pixels, retrieve.frames)
    bulk = f"{INSTANCE}/bulkdata/{{path:path}}"
    yield Resource(bulk, "GET", "Retrieve Bulk Data", pixels, retrieve.bulk)


def _rendering(rendering: Rendering) -> Iterator[Resource]:
    kinds = (JPEG, PNG)
    for path in (INSTANCE, FRAMES):
        yield Resource(f"{path}/rendered", "GET", "Retrieve Rendered", kinds, rendering.rendered)
    for path in (STUDY, SERIES, INSTANCE, FRAMES):
        yield Resource(f"{path}/thumbnail", "GET", "Retrieve Thumbnail", kinds, rendering.thumbnail)


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
