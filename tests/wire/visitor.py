"""Persons and machines before a web side under test, as browsers and programs are."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pacsnode.access import csrf_token, needs
from pacsnode.access.passwords import Cost, hashed
from pacsnode.access.tokens import digest
from pacsnode.settings import Settings
from pacsnode.web.server import WebServer
from storage.archive import Archive
from tests.peers import LOOPBACK

CHEAP = Cost(1 << 14, 8, 1)
WORDS = {name: f"password of {name}" for name in ("reader", "operator", "doctor")}
ROLES = {"reader": "read", "operator": "operate", "doctor": "verify"}
MACHINE = {"reading": "token-that-reads", "storing": "token-that-stores"}


def users() -> list[dict[str, Any]]:
    """One user of each role; the hashes are made once a call."""
    return [
        {"name": name, "roles": [ROLES[name]], "password": hashed(words, CHEAP)}
        for name, words in WORDS.items()
    ]


def tokens() -> list[dict[str, Any]]:
    """A token that reads, and one that stores."""
    roles = {"reading": "read", "storing": "operate"}
    return [
        {"name": name, "roles": [roles[name]], "sha256": digest(secret)}
        for name, secret in MACHINE.items()
    ]


@dataclass
class House:
    """A web side with pages of the tests in it."""

    archive: Archive
    server: WebServer
    url: str
    home: Path
    trusted: ssl.SSLContext

    def visitor(self, **headers: str) -> httpx.Client:
        """Somebody with a browser: keeps cookies, follows nothing by itself."""
        return httpx.Client(
            base_url=self.url, verify=self.trusted, headers=headers, timeout=20, trust_env=False
        )

    def machine(self, name: str) -> httpx.Client:
        """A program with a token."""
        return self.visitor(Authorization=f"Bearer {MACHINE[name]}")

    @contextmanager
    def logged_in(self, name: str) -> Iterator[httpx.Client]:
        """Somebody who has logged in."""
        with self.visitor() as visitor:
            assert log_in(visitor, name).status_code == 303
            yield visitor


def log_in(visitor: httpx.Client, name: str, password: str | None = None, **more: str) -> Any:
    """Post the login form as it is shown."""
    form = {"csrf": csrf_of(visitor), "name": name, "password": password or WORDS[name]}
    return visitor.post("/login", data=form | more)


def csrf_of(visitor: httpx.Client, path: str = "/login") -> str:
    """The token in the form of a page."""
    found = re.search(r'name="csrf" value="([^"]*)"', visitor.get(path).text)
    assert found is not None
    return found[1]


async def _who(request: Request) -> JSONResponse:
    person = request.scope["person"]
    told = {
        "name": person.name, "roles": sorted(person.roles), "way": person.way,
        "csrf": csrf_token(request), "client": request.client.host if request.client else None,
        "scheme": request.url.scheme,
    }  # fmt: skip
    return JSONResponse(told)


@needs("operate")
async def _change(request: Request) -> JSONResponse:
    form = await request.form()
    return JSONResponse({"by": request.scope["person"].name, "reason": form.get("reason")})


@needs("verify")
def _verify(request: Request) -> JSONResponse:
    return JSONResponse({"by": request.scope["person"].name})


PAGES = [
    Route("/api/who", _who),
    Route("/api/change", _change, methods=["POST"]),
    Route("/api/verify", _verify, methods=["POST"]),
]


@contextmanager
def house(home: Path, *, trusted: Path | None = None, **web: Any) -> Iterator[House]:
    """A web side under these settings, with its archive and pages of the tests."""
    settings = Settings(home=home, web={"port": 0} | web)
    with Archive.open(home / "archive") as archive:
        server = WebServer(archive, settings, pages=PAGES)
        server.start()
        try:
            scheme = "http" if settings.web.certificate is None else "https"
            url = f"{scheme}://{LOOPBACK}:{server.address[1]}"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody else
            if trusted is not None:
                context.load_verify_locations(trusted)
            yield House(archive, server, url, home, context)
        finally:
            server.stop(grace_s=2)
