"""The API as an application of its own below `/api`."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pacsnode import log
from pacsnode.access import csrf_token, needs
from pacsnode.access.guard import person_of
from pacsnode.errors import CannotAct
from pacsnode.web.api.openapi import document
from pacsnode.web.api.operations import Call, Operation
from storage.errors import StorageError


def api_application(operations: Sequence[Operation]) -> Starlette:
    """Every operation, and the OpenAPI document of them."""
    told = document(operations)

    @needs("read")
    def openapi(request: Request) -> Response:
        return JSONResponse(told)

    return Starlette(
        routes=[
            Route("/openapi.json", openapi),
            *(Route(one.path, _endpoint(one), methods=[one.method]) for one in operations),
        ],
        exception_handlers={
            HTTPException: _on_http_error,
            CannotAct: _on_cannot_act,
            StorageError: _on_storage_error,
            Exception: _on_fault,
        },
    )


def _endpoint(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    adapter = TypeAdapter(operation.gives)

    @needs(operation.role)
    async def answer(request: Request) -> Response:
        person = person_of(request)
        assert person is not None  # noqa: S101  needs() saw to it
        call = Call(
            path=dict(request.path_params),
            query=request.query_params,
            body=await _body(request) if operation.method == "POST" else {},
            person=person,
            csrf=csrf_token(request) if "csrf" in request.scope else "",
        )
        given = await run_in_threadpool(operation.run, call)
        return Response(adapter.dump_json(given), media_type="application/json")

    return answer


async def _body(request: Request) -> Mapping[str, Any]:
    body = await request.body()  # the gate has taken it, within its bounds
    if not body:
        return {}
    try:
        told = json.loads(body)
    except ValueError:
        raise HTTPException(400, "The body is no JSON.") from None
    if not isinstance(told, dict):
        raise HTTPException(400, "The body is a JSON object.")
    return told


def _refused(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"status": status, "reason": sentence}, status, dict(headers or {}))


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it alone
    return _refused(error.status_code, str(error.detail), error.headers)


async def _on_cannot_act(_: Request, error: Exception) -> Response:
    return _refused(409, str(error))


async def _on_storage_error(_: Request, error: Exception) -> Response:
    log.event(
        "web-storage-fault", level=logging.ERROR, error=error, reason=str(error),
        where=log.where(error),
    )  # fmt: skip
    return _refused(503, str(error), {"Retry-After": "60"})


async def _on_fault(_: Request, _error: Exception) -> Response:
    return _refused(500, "A fault of ours: the log names its place")
