"""What the web side can do, as a document (PS3.18 8.9): made of the table that it answers by."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pacsnode.web import media
from pacsnode.web.answers import root_url
from pacsnode.web.media import JSON
from pacsnode.web.refusal import NOT_ACCEPTABLE, Refusal

WADL: Final = "application/vnd.sun.wadl+xml"


class Resource(NamedTuple):
    """One transaction on one resource: its path below the root, and who answers."""

    path: str
    method: str
    transaction: str  # as PS3.18 calls it
    media_types: tuple[str, ...]  # that its answers come in
    answer: Callable[[Request], Any]


class Capabilities:
    """Tells of a table of resources."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._resources = resources

    def answer(self, request: Request) -> Response:
        """WADL or JSON, as it is asked for; JSON where anything will do."""
        for asked in media.asked(request):
            if asked.covers(JSON):
                return JSONResponse(
                    {"resources": [_in_json(one) for one in self._resources]},
                )
            if asked.covers(WADL):
                return Response(_in_wadl(root_url(request), self._resources), media_type=WADL)
        raise Refusal(NOT_ACCEPTABLE, f"Capabilities come as {JSON} or {WADL}")


def _in_json(resource: Resource) -> dict[str, Any]:
    return {
        "path": resource.path,
        "method": resource.method,
        "transaction": resource.transaction,
        "media_types": resource.media_types,
    }


def _in_wadl(root: str, resources: Iterable[Resource]) -> str:
    by_path: dict[str, list[Resource]] = {}
    for one in resources:
        by_path.setdefault(one.path, []).append(one)
    told = "".join(
        f'<resource path="{escape(path)}">{"".join(map(_method, methods))}</resource>'
        for path, methods in by_path.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<application xmlns="http://wadl.dev.java.net/2009/02">'
        f'<resources base="{escape(root)}">{told}</resources></application>'
    )


def _method(resource: Resource) -> str:
    given = "".join(f'<representation mediaType="{escape(one)}"/>' for one in resource.media_types)
    return (
        f'<method name="{resource.method}" id="{escape(resource.transaction)}">'
        f"<response>{given}</response></method>"
    )
