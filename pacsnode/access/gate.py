"""The gate before every page and resource: by which name, who, and with which token."""

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacsnode.access.entrance import Entrance, NotAdmitted
from pacsnode.access.guard import AUDIT, CSRF, PERSON
from pacsnode.access.person import LOCAL
from pacsnode.access_section import is_loopback
from pacsnode.addresses import unmapped
from pacsnode.web_section import ANY, Web

DICOM_WEB: Final = "/dicom-web"
LOGIN: Final = "/login"
OPEN: Final = (LOGIN, "/static")  # before a login
HEALTH: Final = ("/healthz", "/readyz")  # for whoever watches over processes; they tell nothing
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM: Final = "application/x-www-form-urlencoded"
LARGEST_FORM: Final = 1 << 18  # bytes; a reason of a few pages fits
LONGEST_KEY: Final = 128

ALWAYS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",  # a browser's cache is no place for patients
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
OF_RESOURCES: Final[Mapping[str, str]] = {
    **ALWAYS,
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
OF_PAGES: Final[Mapping[str, str]] = {
    **ALWAYS,
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all, a form of ours has the Origin `null`
}
HSTS: Final = "max-age=31536000"


class Refused(Exception):
    """A request that goes no further, and its answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__(str(answer.status_code))
        self.answer = answer


class Gate:
    """ASGI middleware: finds the person, checks names and tokens, adds the headers of safety.

    A page of another site can make its own name point to loopback: its script would then read
    answers as if they were its own site's. Only the Host header tells.
    """

    def __init__(
        self, app: ASGIApp, entrance: Entrance, page: Callable[[Request, int, str], Response]
    ) -> None:
        """`page` tells a person at a browser of a status, in a sentence."""
        self._app = app
        self._page = page
        self._entrance = entrance
        self._web = entrance.web
        self._names = _own_names(entrance.web)
        self._proxies = [
            ipaddress.ip_network(told)
            for told in entrance.web.proxies or ("127.0.0.0/8", "::1/128")
        ]
        self._local_csrf = secrets.token_urlsafe(32)
        self._secret = secrets.token_bytes(32)
        self._form_cookie = f"{entrance.cookie}-form"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on with `person`, `csrf` and `audit` in the scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[AUDIT] = self._entrance.audit  # an application mounted below has no state of this one
        path = scope["path"]
        of_resource = is_below(path, DICOM_WEB)
        headers = dict(OF_RESOURCES if of_resource else OF_PAGES)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                stated = MutableHeaders(scope=message)
                cookie = headers.pop("Set-Cookie", None)
                for name, value in headers.items():
                    stated.setdefault(name, value)
                if cookie is not None:
                    stated.append("Set-Cookie", cookie)
            await send(message)

        try:
            if path not in HEALTH:
                self._believe_proxy(scope)
                self._check_names(Request(scope), headers)
            request = Request(scope, receive)
            by_token = self._find_person(request, headers)
            if scope[PERSON] is None and path not in HEALTH:
                _ask_for_login(request)
            if request.method not in SAFE and not of_resource:
                receive = await self._checked(request, by_token=by_token)
        except Refused as refusal:
            await refusal.answer(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _believe_proxy(self, scope: Scope) -> None:
        """Behind a proxy: put the client it tells of in its place, and https."""
        if scope.get("client"):
            scope["client"] = (unmapped(scope["client"][0]), scope["client"][1])
        if not self._web.behind_proxy:
            return
        nearest = address_of(Request(scope))
        if not self._is_proxy(nearest):
            raise Refused(refusal(403, "Reach this server through its proxy"))
        # some proxies add a line of their own below the client's
        told = ",".join(Request(scope).headers.getlist("x-forwarded-for"))
        way = [unmapped(part.strip()) for part in told.split(",") if part.strip()]
        # from the right, each was told by the one before it: the first that is no proxy of ours
        client = next((part for part in reversed(way) if not self._is_proxy(part)), nearest)
        scope["client"] = (client[:64], 0)
        scope["scheme"] = "https"
        scope["server"] = (self._web.names[0], 443)

    def _is_proxy(self, address: str) -> bool:
        try:
            told = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(told in network for network in self._proxies)

    def _check_names(self, request: Request, headers: dict[str, str]) -> None:
        name = host_of(request.headers.get("host", ""))
        if not self._is_own(name):
            said = "by one of its web.names" if self._web.is_for_others else "as localhost"
            raise Refused(refusal(403, f"Reach this server {said}: it answers to no other name"))
        if self._entrance.is_secure and not is_loopback(name):
            headers["Strict-Transport-Security"] = HSTS
        origin = request.headers.get("origin")
        if request.method in SAFE or origin is None:
            return
        if not self._is_own((urlsplit(origin).hostname or "").lower()):
            raise Refused(refusal(403, "A page of another site may change nothing here"))

    def _is_own(self, name: str) -> bool:
        return name in self._names or is_loopback(name)

    def _find_person(self, request: Request, headers: dict[str, str]) -> bool:
        """Put the person and the token of their forms in the scope; tells if by a bearer token."""
        scope = request.scope
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            try:
                scope[PERSON] = self._entrance.by_token(token.strip(), address_of(request))
            except NotAdmitted as refused:
                raise Refused(not_admitted(refused, {"WWW-Authenticate": "Bearer"})) from refused
            scope[CSRF] = ""
            return True
        attended = request.headers.get("x-unattended") is None
        login = self._entrance.by_cookie(request.cookies, attended=attended)
        if login is not None:
            scope[PERSON], scope[CSRF] = login.person, login.csrf
        elif not self._web.has_logins:
            scope[PERSON], scope[CSRF] = LOCAL, self._local_csrf
        else:
            scope[PERSON], scope[CSRF] = None, self._before_login(request, headers)
        return False

    def _before_login(self, request: Request, headers: dict[str, str]) -> str:
        """The token of the login form, bound to this browser by a cookie of its own."""
        key = request.cookies.get(self._form_cookie, "")[:LONGEST_KEY]
        if not key and request.url.path == LOGIN and request.method == "GET":
            key = secrets.token_urlsafe(16)
            secure = "; Secure" if self._entrance.is_secure else ""
            headers["Set-Cookie"] = (
                f"{self._form_cookie}={key}; Path=/; HttpOnly; SameSite=Strict{secure}"
            )
        return hmac.digest(self._secret, key.encode(), sha256).hex() if key else ""

    async def _checked(self, request: Request, *, by_token: bool) -> Receive:
        """The way to the body of a request, which is here already; checks the token of a form."""
        body = await self._whole(request)
        if not by_token:
            self._check_token(request, body)
        return _again(body, request.receive)

    async def _whole(self, request: Request) -> bytes:
        """The body, which may be as large as a form is, and has to be here in time.

        Whichever way the token came: an endpoint would wait for ever, for any number of bytes.
        """
        body, within_s = b"", self._web.network_timeout_s
        try:
            async with asyncio.timeout(within_s):
                async for piece in request.stream():
                    body += piece
                    if len(body) > LARGEST_FORM:
                        said = f"A body holds {LARGEST_FORM} bytes at most here"
                        raise Refused(refusal(413, said))
        except TimeoutError as exc:
            said = f"The whole body did not come within {within_s:g} s"
            raise Refused(refusal(408, said, {"Connection": "close"})) from exc
        except ClientDisconnect as exc:
            raise Refused(refusal(400, "The sender went away within the body")) from exc
        return body

    def _check_token(self, request: Request, body: bytes) -> None:
        token = request.headers.get("x-csrf-token")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if token is None and kind == FORM:
            token = parse_qs(body.decode("utf-8", "replace")).get("csrf", [""])[-1]
        expected = request.scope[CSRF]
        if not expected or not hmac.compare_digest((token or "").encode(), expected.encode()):
            said = "The token of this form is missing or old: load the page again"
            is_seen = "text/html" in request.headers.get("accept", "")
            raise Refused((self._page if is_seen else _refused)(request, 403, said))


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """A status and one sentence, as DICOMweb answers have it."""
    return JSONResponse({"status": status, "reason": sentence}, status, dict(headers or {}))


def _refused(_: Request, status: int, sentence: str) -> Response:
    return refusal(status, sentence)


def not_admitted(refused: NotAdmitted, headers: Mapping[str, str]) -> Response:
    """401, or 429 with the time to wait."""
    if refused.wait_s:
        return refusal(429, str(refused), {"Retry-After": str(refused.wait_s)})
    return refusal(401, str(refused), headers)


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client is not None else ""


def is_below(path: str, root: str) -> bool:
    """Whether a path is the root or lies below it."""
    return path == root or path.startswith(f"{root}/")


def host_of(told: str) -> str:
    """The name or address of a Host header, in lower case, without port and brackets."""
    name = told if told.endswith("]") else told.rpartition(":")[0] or told
    return name.strip("[]").lower()


def _own_names(web: Web) -> frozenset[str]:
    return frozenset(name.lower() for name in (web.address, *web.names)) - {*ANY}


def _ask_for_login(request: Request) -> None:
    """Send a person to the login page, and tell a program that it needs one."""
    path = request.url.path
    if any(is_below(path, root) for root in OPEN):
        return
    if request.headers.get("hx-request") is not None:
        raise Refused(refusal(401, "Log in first", {"HX-Redirect": LOGIN}))
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        asked = quote(f"{path}?{request.url.query}" if request.url.query else path, safe="")
        raise Refused(RedirectResponse(f"{LOGIN}?next={asked}", 303))
    raise Refused(refusal(401, "Log in, or send a token", {"WWW-Authenticate": "Bearer"}))


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
