"""The pages as an application of their own: routes, files, and errors in words."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from pacsnode import log
from pacsnode.access import needs
from pacsnode.access.audit import Audit
from pacsnode.acting import Actions
from pacsnode.settings import Settings
from pacsnode.showing.worklist import Worklists
from pacsnode.web.api.operations import operations
from pacsnode.web.api.routes import api_application
from pacsnode.web.deeds import DEEDS, Doing
from pacsnode.web.page.forms import form_of
from pacsnode.web.page.pages import Pages
from pacsnode.web.page.templating import Templates
from storage.archive import Archive
from storage.errors import StorageError


def page_application(
    archive: Archive, settings: Settings, actions: Actions, audit: Audit, templates: Templates
) -> Starlette:
    """Everything a browser is shown, and below `/api` the same for programs."""
    worklists = Worklists(archive, settings.assembly.quiet_s)
    pages = Pages(archive, settings, worklists, templates)
    doing = Doing(actions, archive, audit)
    table = operations(archive, settings, worklists, doing)

    @needs("read")
    def about_the_api(request: Request) -> Response:
        return templates.page(request, "api.html", operations=table)

    routes: list[BaseRoute] = [
        Route("/", pages.worklist),
        Route("/studies/{study}", pages.study),
        Route("/studies/{study}/reports/{sr}/projection.png", pages.projection),
        Route("/studies/{study}/reports/{sr}/pictures.pdf", pages.pdf),
        Route("/quarantine", pages.quarantine),
        Route("/quarantine/{sha256}", pages.quarantined),
        Route("/destinations", pages.destinations),
        Route("/settings", pages.settings),
        *(Route(one.path, form_of(one, doing, pages), methods=["POST"]) for one in DEEDS),
        Route("/api", about_the_api),
        Mount("/api", api_application(table)),
    ]
    errors = _Errors(templates)
    return Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: errors.on_http_error,
            StorageError: errors.on_storage_error,
            Exception: errors.on_fault,
        },
    )


class _Errors:
    """Errors as pages."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    async def on_http_error(self, request: Request, error: Exception) -> Response:
        """A status and its sentence."""
        assert isinstance(error, HTTPException)  # noqa: S101  registered for it alone
        return self._templates.sorry(request, error.status_code, str(error.detail), error.headers)

    async def on_storage_error(self, request: Request, error: Exception) -> Response:
        """The index or the disk fails."""
        log.event(
            "web-storage-fault", level=logging.ERROR, error=error, reason=str(error),
            where=log.where(error),
        )  # fmt: skip
        return self._templates.sorry(request, 503, str(error), {"Retry-After": "60"})

    async def on_fault(self, request: Request, _: Exception) -> Response:
        """A defect: uvicorn logs its kind and place afterwards."""
        return self._templates.sorry(request, 500, "The log names its place.")
