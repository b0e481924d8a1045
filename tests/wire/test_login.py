"""Logging in over HTTP: who gets in, what each may, and what a browser and a stranger see."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Scope

from pacsnode.access import entrance
from pacsnode.access.gate import LARGEST_FORM
from pacsnode.access.logins import Logins
from pacsnode.access.pace import Pace
from pacsnode.settings import Settings
from pacsnode.web.application import application
from storage.archive import Archive
from tests.encoded import part10_bytes
from tests.makers import make_ct
from tests.wire.browser import RELATED, related
from tests.wire.visitor import MACHINE, WORDS, House, csrf_of, house, log_in, tokens, users

pytestmark = pytest.mark.wire

HTML = {"Accept": "text/html,application/xhtml+xml"}
CT = make_ct()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("gated")
    with house(home, users=users(), tokens=tokens(), login_tries_per_address=1000) as told:
        yield told


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("local"), tokens=tokens()) as told:
        yield told


class Clock:
    """A clock that goes when told."""

    s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What an entrance made from now on takes for the time."""
    told = Clock()
    monkeypatch.setattr(entrance, "Pace", partial(Pace, clock=told))
    monkeypatch.setattr(entrance, "Logins", partial(Logins, clock=told))
    return told


# without users


def test_on_loopback_without_users_everybody_may(local: House) -> None:
    with local.visitor() as visitor:
        told = visitor.get("/api/who").json()
        assert (told["name"], told["way"]) == ("local", "loopback")
        assert told["roles"] == ["operate", "read", "verify"]
        form = {"csrf": told["csrf"], "reason": "more & more"}
        assert visitor.post("/api/change", data=form).json() == {
            "by": "local", "reason": "more & more",
        }  # fmt: skip
        assert visitor.post("/api/change", data={"reason": "none"}).status_code == 403


def test_a_form_of_an_older_page_is_refused_in_the_way_it_was_sent(local: House) -> None:
    with local.visitor() as visitor:
        old = {"csrf": "of another start of the node"}
        seen = visitor.post("/studies/1.2/requeue", data=old, headers=HTML)
        assert seen.status_code == 403
        assert seen.headers["content-type"].startswith("text/html")
        assert "load the page again" in seen.text
        assert "form-action 'self'" in seen.headers["content-security-policy"]
        answer = visitor.post("/studies/1.2/requeue", data=old)
        assert answer.status_code == 403
        assert "load the page again" in answer.json()["reason"]


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://evil.localhost"])
def test_a_page_of_another_site_changes_nothing(local: House, origin: str) -> None:
    with local.visitor() as visitor:
        headers = {"X-CSRF-Token": visitor.get("/api/who").json()["csrf"]}
        assert visitor.post("/api/change", headers=headers).status_code == 200
        answer = visitor.post("/api/change", headers=headers | {"Origin": origin})
        assert answer.status_code == 403
        assert "another site" in answer.json()["reason"]
        stored = {"Content-Type": RELATED, "Origin": origin}
        body = related([part10_bytes(CT[0])])
        assert visitor.post("/dicom-web/studies", content=body, headers=stored).status_code == 403
        same = {"Origin": local.url}
        assert visitor.post("/api/change", headers=headers | same).status_code == 200


def test_a_token_that_is_sent_counts_also_where_none_is_needed(local: House) -> None:
    with local.machine("reading") as machine:
        assert machine.get("/api/who").json()["name"] == "reading"
        assert machine.post("/api/change").status_code == 403
        machine.headers["Authorization"] = "Bearer wrong"
        assert machine.get("/api/who").status_code == 401


# with users


def test_nothing_is_shown_before_a_login(gated: House) -> None:
    with gated.visitor() as visitor:
        page = visitor.get("/studies/1.2?x=1&y=2", headers=HTML)
        assert page.status_code == 303
        assert page.headers["location"] == "/login?next=%2Fstudies%2F1.2%3Fx%3D1%26y%3D2"
        for path in ("/", "/api/who", "/metrics", "/dicom-web", "/dicom-web/studies", "/nothing"):
            answer = visitor.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        assert visitor.get("/healthz").status_code == 200
        assert visitor.post("/api/change").status_code == 401
        assert visitor.post("/dicom-web/studies").status_code == 401
        swapped = visitor.get("/", headers={"HX-Request": "true"})
        assert (swapped.status_code, swapped.headers["hx-redirect"]) == (401, "/login")
        assert visitor.get("/static/page.css").status_code == 200
        assert visitor.get("/static/../login.py").status_code == 401
        assert visitor.get("/static/%2e%2e/login.py").status_code == 404


def test_a_login_leads_where_one_wanted_to_go_and_ends(gated: House) -> None:
    with gated.visitor() as visitor:
        answer = log_in(visitor, "operator", next="/studies/1.2")
        assert (answer.status_code, answer.headers["location"]) == (303, "/studies/1.2")
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
        told = visitor.get("/api/who").json()
        assert (told["name"], told["way"]) == ("operator", "password")
        assert told["roles"] == ["operate", "read"]
        assert "You are logged in as operator" in visitor.get("/login").text
        kept = dict(visitor.cookies)
        assert visitor.post("/logout").status_code == 403  # no token
        answer = visitor.post("/logout", data={"csrf": csrf_of(visitor)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        visitor.cookies.update(kept)  # as one who copied it
        assert visitor.get("/api/who").status_code == 401


def test_a_login_gets_a_new_key_each_time(gated: House) -> None:
    with gated.visitor() as visitor:
        visitor.cookies.set("pacsnode", "planted", domain="127.0.0.1")
        log_in(visitor, "reader")
        first = visitor.cookies["pacsnode"]
        assert first != "planted"
        csrf = visitor.get("/api/who").json()["csrf"]
        form = {"csrf": csrf, "name": "reader", "password": WORDS["reader"]}
        assert visitor.post("/login", data=form).status_code == 303
        assert visitor.cookies["pacsnode"] != first
        assert visitor.get("/api/who").json()["csrf"] != csrf
    with gated.visitor() as thief:
        thief.cookies.set("pacsnode", first)
        assert thief.get("/api/who").status_code == 401


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("reader", "/api/change", 403),
        ("operator", "/api/change", 200),
        ("doctor", "/api/change", 403),
        ("reader", "/api/verify", 403),
        ("operator", "/api/verify", 403),
        ("doctor", "/api/verify", 200),
    ],
)
def test_each_may_what_their_role_says(gated: House, name: str, path: str, status: int) -> None:
    with gated.logged_in(name) as visitor:
        headers = {"X-CSRF-Token": visitor.get("/api/who").json()["csrf"]}
        answer = visitor.post(path, headers=headers)
        assert answer.status_code == status
        if status == 403:
            assert f"which {name} does not have" in answer.json()["reason"]


def test_dicomweb_is_read_by_readers_and_filled_by_operators(gated: House) -> None:
    body = related([part10_bytes(one) for one in CT])
    headers = {"Content-Type": RELATED}
    with gated.machine("reading") as reading, gated.machine("storing") as storing:
        assert "pacsnode_build_info" in reading.get("/metrics").text
        assert reading.get("/dicom-web").status_code == 200
        refused = reading.post("/dicom-web/studies", content=body, headers=headers)
        assert refused.status_code == 403
        assert gated.archive.counts()["kept"] == 0
        assert storing.post("/dicom-web/studies", content=body, headers=headers).status_code == 200
        assert len(reading.get("/dicom-web/instances").json()) == len(CT)
    with gated.logged_in("doctor") as doctor:
        assert len(doctor.get("/dicom-web/studies").json()) == 1
        assert doctor.post("/dicom-web/studies", content=body, headers=headers).status_code == 403
    with gated.logged_in("operator") as operator:
        assert operator.post("/dicom-web/studies", content=body, headers=headers).status_code == 200


def test_a_form_of_somebody_else_is_refused(gated: House) -> None:
    with gated.logged_in("operator") as operator, gated.logged_in("operator") as other:
        theirs = other.get("/api/who").json()["csrf"]
        for token in (theirs, "", "ä"):
            assert operator.post("/api/change", data={"csrf": token}).status_code == 403
        large = b"reason=" + b"x" * (1 << 19)
        assert operator.post("/api/change", content=large, headers=FORM).status_code == 413
        files = {"file": ("a", b"b")}
        assert operator.post("/api/change", files=files).status_code == 403


@pytest.mark.parametrize("is_by_token", [False, True])
def test_no_more_of_a_body_is_taken_than_a_form_holds(tmp_path: Path, is_by_token: bool) -> None:
    piece, taken = b"x" * 65536, 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(64):
            taken += len(piece)
            yield piece

    async def attempt(archive: Archive) -> int:
        settings = Settings(home=tmp_path, web={"tokens": tokens()})
        way = httpx.ASGITransport(application(archive, settings))
        async with httpx.AsyncClient(transport=way, base_url="http://localhost") as visitor:
            csrf = (await visitor.get("/login")).text.partition('name="csrf" value="')[2]
            headers = {"X-CSRF-Token": csrf.partition('"')[0]}
            if is_by_token:
                headers = {"Authorization": f"Bearer {MACHINE['reading']}"}
            answer = await visitor.post("/login", content=body(), headers=headers)
        return answer.status_code

    with Archive.open(tmp_path / "archive") as archive:
        assert asyncio.run(attempt(archive)) == 413
    assert taken <= LARGEST_FORM + len(piece)


def test_who_breaks_off_within_a_form_is_no_fault(tmp_path: Path) -> None:
    heard = iter(
        [
            {"type": "http.request", "body": b"csrf=", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    told: list[Message] = []

    async def receive() -> Message:
        return next(heard)

    async def send(message: Message) -> None:
        told.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", FORM["Content-Type"].encode())]
    scope: Scope = {
        "type": "http", "method": "POST", "path": "/login", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        "scheme": "http",
    }  # fmt: skip
    with Archive.open(tmp_path / "archive") as archive:
        asyncio.run(application(archive, Settings(home=tmp_path))(scope, receive, send))
    assert told[0]["status"] == 400


def test_the_login_form_is_bound_to_its_browser(gated: House) -> None:
    with gated.visitor() as visitor, gated.visitor() as other:
        form = {"name": "reader", "password": WORDS["reader"]}
        assert visitor.post("/login", data=form).status_code == 403
        theirs = {"csrf": csrf_of(other)}
        assert visitor.post("/login", data=form | theirs).status_code == 403
        csrf_of(visitor)
        assert visitor.post("/login", data=form | theirs).status_code == 403
        assert log_in(visitor, "reader").status_code == 303


def test_pages_and_resources_carry_the_headers_of_safety(gated: House) -> None:
    with gated.visitor() as visitor, gated.machine("reading") as machine:
        for answer in (visitor.get("/login"), visitor.get("/", headers=HTML), machine.get("/x")):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in answer.headers
        strict = machine.get("/dicom-web").headers["content-security-policy"]
        assert strict == "default-src 'none'; frame-ancestors 'none'"
        page = visitor.get("/login").text
        assert "<script" not in page
        assert "style=" not in page


def test_what_is_typed_is_shown_as_text(gated: House) -> None:
    with gated.visitor() as visitor:
        answer = log_in(visitor, '"><script>alert(1)</script>', "x")
        assert answer.status_code == 401
        assert "<script" not in answer.text


# refusals


def test_wrong_passwords_have_to_wait(tmp_path: Path, clock: Clock) -> None:
    with house(tmp_path, users=users(), login_tries=3, login_pause_s=60) as paced:
        with paced.visitor() as visitor:
            said = set()
            for name in ("reader", "stranger"):
                for _ in range(3):
                    answer = log_in(visitor, name, "wrong")
                    assert answer.status_code == 401
                    said.add(answer.text.partition('role="alert">')[2].partition("<")[0])
                answer = log_in(visitor, name.upper(), "wrong")
                assert answer.status_code == 429
                assert answer.headers["retry-after"] == "60"
            assert said == {"The name or the password is wrong"}
            assert log_in(visitor, "reader").status_code == 429  # right, and too soon
            assert log_in(visitor, "doctor").status_code == 303
        clock.s += 61
        with paced.visitor() as visitor:
            assert log_in(visitor, "reader").status_code == 303


def test_one_address_may_not_try_every_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("address")
    web = {"users": users(), "tokens": tokens(), "login_tries_per_address": 4}
    with house(home, **web) as paced, paced.visitor() as visitor:
        csrf = csrf_of(visitor)

        def attempt(number: int) -> int:
            form = {"csrf": csrf, "name": f"name {number}", "password": "wrong"}
            return visitor.post("/login", data=form).status_code

        with ThreadPoolExecutor(8) as pool:  # at the same time, no more get through
            answers = sorted(pool.map(attempt, range(8)))
        assert answers == [401] * 4 + [429] * 4
        with paced.machine("reading") as machine:
            assert machine.get("/api/who").status_code == 429
        assert log_in(visitor, "reader").status_code == 429


def test_guessed_tokens_have_to_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("guessed")
    with house(home, tokens=tokens(), login_tries_per_address=3) as paced:
        guesses = []
        with paced.visitor() as visitor:
            for number in range(5):
                headers = {"Authorization": f"Bearer guess{number}"}
                guesses.append(visitor.get("/api/who", headers=headers).status_code)
        assert guesses == [401, 401, 401, 429, 429]


def test_logins_end_by_themselves(tmp_path: Path, clock: Clock) -> None:
    with (
        house(tmp_path, users=users(), login_idle_s=60, login_s=600) as ending,
        ending.logged_in("reader") as reader,
    ):
        unattended = {"X-Unattended": "1"}
        assert reader.get("/api/who", headers=unattended).status_code == 200
        clock.s += 40
        assert reader.get("/api/who", headers=unattended).status_code == 200
        clock.s += 40
        assert reader.get("/api/who", headers=unattended).status_code == 401
