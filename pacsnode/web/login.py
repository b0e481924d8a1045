"""The login page: in by name and password, out again."""

import re
import secrets
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from pacsnode.access import Person, csrf_token
from pacsnode.access.entrance import Entrance, NotAdmitted
from pacsnode.access.gate import address_of
from pacsnode.access.guard import person_of
from pacsnode.access.oidc import JOURNEY_S, Issuer, IssuerAway, NotVouched

FOLDER: Final = Path(__file__).parent
HOME: Final = "/"
LONGEST_NEXT: Final = 1000


class LoginPage:
    """Answers `/login` and `/logout`."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._issuer = Issuer(entrance.web.oidc) if entrance.web.oidc is not None else None
        self._journey_cookie = f"{entrance.cookie}-journey"
        self._pages = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"), autoescape=True
        )

    def routes(self) -> list[Route]:
        """The resources of the login."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/login/oidc", self.send, methods=["GET"]),
            Route("/login/oidc/back", self.welcome, methods=["GET"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form; or, to who is logged in, who they are."""
        return self._page(request, next=local_path(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        """Take name and password; the same page again with a sentence where they are wrong."""
        body = (await request.body()).decode("utf-8", "replace")
        told = {name: values[-1] for name, values in parse_qs(body).items()}
        onward = local_path(told.get("next", ""))
        name, password = told.get("name", ""), told.get("password", "")
        try:
            person = await self._entrance.by_password(name, password, address_of(request))
        except NotAdmitted as refused:
            return self._refused(request, refused, name=name[:64], next=onward)
        return self.admitted(request, person, RedirectResponse(onward, 303))

    def send(self, request: Request) -> Response:
        """Send the browser to the issuer; it comes back to `welcome`."""
        issuer = self._issuer
        if issuer is None:
            return RedirectResponse("/login", 303)
        browser = secrets.token_urlsafe(32)
        onward = local_path(request.query_params.get("next", ""))
        try:
            way = issuer.send(browser, _back(request), onward, address_of(request))
        except IssuerAway as exc:
            return self._page(request, 503, said=str(exc), next=onward)
        answer = RedirectResponse(way, 303)
        # Lax: the browser comes back by a link of the issuer's
        answer.set_cookie(
            self._journey_cookie, browser, max_age=int(JOURNEY_S), httponly=True, samesite="lax",
            path="/", secure=self._entrance.is_secure,
        )  # fmt: skip
        return answer

    def welcome(self, request: Request) -> Response:
        """Log in whom the issuer vouches for."""
        issuer, address = self._issuer, address_of(request)
        if issuer is None:
            return RedirectResponse("/login", 303)
        browser = request.cookies.get(self._journey_cookie, "")
        try:
            self._entrance.pause(address)
            try:
                person, onward = issuer.welcome(browser, _back(request), request.query_params)
            except NotVouched as exc:
                self._entrance.refuse(str(exc), Person("unknown", frozenset(), "oidc"), address)
        except NotAdmitted as refused:
            return self._refused(request, refused)
        except IssuerAway as exc:
            return self._page(request, 503, said=str(exc))
        # no redirect: a browser that comes from elsewhere would leave the new cookie out
        page = self._pages.get_template("go.html").render(next=onward)
        answer = self.admitted(request, person, HTMLResponse(page))
        answer.delete_cookie(self._journey_cookie, secure=self._entrance.is_secure)
        return answer

    def _refused(self, request: Request, refused: NotAdmitted, **told: Any) -> Response:
        page = self._page(request, 429 if refused.wait_s else 401, said=str(refused), **told)
        if refused.wait_s:
            page.headers["Retry-After"] = str(refused.wait_s)
        return page

    async def log_out(self, request: Request) -> Response:
        """End the login."""
        person = person_of(request)
        if person is not None:
            self._entrance.leave(person, request.cookies, address_of(request))
        answer = RedirectResponse("/login", 303)
        secure = self._entrance.is_secure
        answer.delete_cookie(self._entrance.cookie, secure=secure, httponly=True, samesite="strict")
        return answer

    def admitted(self, request: Request, person: Person, answer: Response) -> Response:
        """The answer, with the cookie of a new login."""
        key = self._entrance.admit(person, request.cookies, address_of(request))
        answer.set_cookie(
            self._entrance.cookie, key, httponly=True, samesite="strict", path="/",
            secure=self._entrance.is_secure,
        )  # fmt: skip
        return answer

    def _page(self, request: Request, status: int = 200, **told: Any) -> HTMLResponse:
        web, person = self._entrance.web, person_of(request)
        text = self._pages.get_template("login.html").render(
            {"said": "", "name": "", "next": HOME}
            | told
            | {
                "csrf": csrf_token(request),
                "person": person,
                "by_password": bool(web.users),
                "issuer": urlsplit(web.oidc.issuer).hostname if web.oidc else None,
            }
        )
        return HTMLResponse(text, status)


def _back(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}/login/oidc/back"


def local_path(told: str) -> str:
    """A path of this server as it is told; the first page where it leads elsewhere."""
    if len(told) > LONGEST_NEXT or not re.fullmatch(r"/(?![/\\])[!-~]*", told):
        return HOME
    return HOME if told.split("?")[0] in ("/login", "/logout") else told
