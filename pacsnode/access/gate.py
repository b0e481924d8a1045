"""The gate before every page and resource: by which name, who, and with which token."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacsnode.access.guard import CSRF, PERSON
from pacsnode.access.person import LOCAL
from pacsnode.web_section import Web, is_loopback

DICOM_WEB: Final = "/dicom-web"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM: Final = "application/x-www-form-urlencoded"
LARGEST_FORM: Final = 1 << 18  # bytes; a reason of a few pages fits

ALWAYS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",  # a browser's cache is no place for patients
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
OF_RESOURCES: Final[Mapping[str, str]] = {
    **ALWAYS,
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
OF_PAGES: Final[Mapping[str, str]] = {
    **ALWAYS,
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Refused(Exception):
    """A request that goes no further."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.answer: Response = JSONResponse(
            {"status": status, "reason": sentence}, status, dict(headers or {})
        )


class Gate:
    """ASGI middleware: finds the person, checks names and tokens, adds the headers of safety.

    A page of another site can make its own name point to loopback: its script would then read
    answers as if they were its own site's. Only the Host header tells.
    """

    def __init__(self, app: ASGIApp, web: Web) -> None:
        self._app = app
        self._web = web
        self._local_csrf = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on with `person` and `csrf` in the scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        of_resource = is_below(scope["path"], DICOM_WEB)
        headers = OF_RESOURCES if of_resource else OF_PAGES

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                stated = MutableHeaders(scope=message)
                for name, value in headers.items():
                    stated.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        try:
            self._check_name(request)
            scope[PERSON], scope[CSRF] = LOCAL, self._local_csrf
            if request.method not in SAFE and not of_resource:
                receive = await self._checked(request)
        except Refused as refusal:
            await refusal.answer(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check_name(self, request: Request) -> None:
        if not is_loopback(host_of(request.headers.get("host", ""))):
            raise Refused(403, "Reach this server as localhost: it serves nobody else")
        origin = request.headers.get("origin")
        if request.method in SAFE or origin is None:
            return
        if not is_loopback(urlsplit(origin).hostname or ""):
            raise Refused(403, "A page of another site may change nothing here")

    async def _checked(self, request: Request) -> Receive:
        """The way to the body of a request whose token is right; reads that of a form."""
        token, receive = request.headers.get("x-csrf-token"), request.receive
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if token is None and kind == FORM:
            body = await _whole(request)
            token = parse_qs(body.decode("utf-8", "replace")).get("csrf", [""])[-1]
            receive = _again(body, request.receive)
        if not hmac.compare_digest((token or "").encode(), request.scope[CSRF].encode()):
            raise Refused(403, "The token of this form is missing or old: load the page again")
        return receive


def is_below(path: str, root: str) -> bool:
    """Whether a path is the root or lies below it."""
    return path == root or path.startswith(f"{root}/")


def host_of(told: str) -> str:
    """The name or address of a Host header, in lower case, without port and brackets."""
    name = told if told.endswith("]") else told.rpartition(":")[0] or told
    return name.strip("[]").lower()


async def _whole(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM:
            raise Refused(413, f"A form holds {LARGEST_FORM} bytes at most")
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more for the endpoint; then whatever the connection tells."""
    is_told = False

    async def receive_again() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
