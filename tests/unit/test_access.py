"""Who may, piece by piece: hashes, tokens, logins that end, refusals that count."""

import hashlib
from typing import Any

import pytest

from pacsnode.access import LOCAL, Person, needs
from pacsnode.access.audit import Audit
from pacsnode.access.logins import MOST_OF_ONE_NAME, Logins
from pacsnode.access.pace import MOST_KEPT, Pace
from pacsnode.access.passwords import Cost, Passwords, hashed
from pacsnode.access.person import with_read
from pacsnode.access.tokens import Tokens, digest, made
from pacsnode.access_section import Token, User
from pacsnode.web.login import local_path

CHEAP = Cost(1 << 14, 8, 1)
ANNA = Person("anna", with_read(["verify"]), "password")


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def user(name: str, password: str) -> User:
    return User(name=name, roles=("read",), password=hashed(password, CHEAP))


def test_a_password_matches_its_own_hash_alone() -> None:
    known = Passwords([user("anna", "correct horse"), user("ben", "battery staple")])
    assert known.match("anna", "correct horse")
    assert not known.match("anna", "battery staple")
    assert not known.match("anna", "correct horse ")
    assert not known.match("Anna", "correct horse")
    assert hashed("same words", CHEAP) != hashed("same words", CHEAP)


def test_a_password_is_the_same_however_its_letters_are_composed() -> None:
    known = Passwords([user("anna", "pässwörter")])
    assert known.match("anna", "pa\u0308sswo\u0308rter")
    assert not known.match("anna", "passworter")


def test_a_name_that_nobody_has_costs_what_a_wrong_password_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Passwords([user("anna", "correct horse")])
    asked: list[dict[str, Any]] = []
    real = hashlib.scrypt

    def watched(typed: bytes, **how: Any) -> bytes:
        asked.append({name: value for name, value in how.items() if name != "salt"})
        return real(typed, **how)

    monkeypatch.setattr(hashlib, "scrypt", watched)
    assert not known.match("anna", "wrong")
    assert not known.match("nobody", "wrong")
    assert not known.match("nobody", "correct horse")
    assert asked[0] == asked[1] == asked[2]
    assert asked[0]["n"] == CHEAP.n


def test_nobody_at_all_is_still_refused() -> None:
    assert not Passwords([]).match("", "")


def test_a_token_is_known_by_its_digest() -> None:
    first, second = made(), made()
    assert first != second
    known = Tokens([Token(name="station", roles=("operate",), sha256=digest(first))])
    owner = known.owner(first)
    assert owner == Person("station", frozenset({"read", "operate"}), "token")
    for wrong in (second, "", first[:-1], digest(first), first + " "):
        assert known.owner(wrong) is None


def test_a_login_ends_when_idle_and_in_any_case() -> None:
    clock = Clock()
    logins = Logins(idle_s=60, longest_s=150, clock=clock)
    key = logins.begin(ANNA)
    for _ in range(2):
        clock.s += 59
        found = logins.find(key)
        assert found is not None
        assert found.person == ANNA
    clock.s += 33
    assert logins.find(key) is None  # 151 s
    key = logins.begin(ANNA)
    clock.s += 61
    assert logins.find(key) is None
    clock.s -= 61
    assert logins.find(key) is None  # once ended, for good


def test_what_a_page_asks_by_itself_prolongs_no_login() -> None:
    clock = Clock()
    logins = Logins(idle_s=60, longest_s=1000, clock=clock)
    key = logins.begin(ANNA)
    clock.s += 40
    assert logins.find(key, attended=False) is not None
    clock.s += 40
    assert logins.find(key) is None


def test_a_login_has_a_key_of_its_own_and_ends_the_one_before() -> None:
    logins = Logins(60, 60)
    first = logins.begin(ANNA)
    second = logins.begin(ANNA, before=first)
    assert first != second
    assert logins.find(first) is None
    assert logins.find(second) is not None
    logins.end(second)
    assert logins.find(second) is None


def test_one_name_has_a_bounded_number_of_logins() -> None:
    logins = Logins(60, 60)
    other = logins.begin(Person("ben", frozenset(), "password"))
    keys = [logins.begin(ANNA) for _ in range(MOST_OF_ONE_NAME + 3)]
    alive = [key for key in keys if logins.find(key) is not None]
    assert alive == keys[3:]
    assert logins.find(other) is not None


def test_refusals_count_for_a_while() -> None:
    clock = Clock()
    pace = Pace(tries=3, span_s=60, clock=clock)
    for _ in range(3):
        assert pace.wait_s("anna") == 0
        pace.refused("anna")
        clock.s += 10
    assert pace.wait_s("anna") == 30
    assert pace.wait_s("ben") == 0
    clock.s += 30
    assert pace.wait_s("anna") == 0
    pace.refused("anna")
    assert pace.wait_s("anna") == 10
    pace.take_back("anna")
    assert pace.wait_s("anna") == 0
    pace.refused("anna")
    pace.forget("anna")
    assert pace.wait_s("anna") == 0


def test_a_flood_of_names_is_forgotten_oldest_first() -> None:
    pace = Pace(tries=1, span_s=60, clock=Clock())
    for number in range(MOST_KEPT + 5):
        pace.refused(str(number))
    assert pace.wait_s("4") == 0
    assert pace.wait_s("5") == 60


def test_who_may_verify_may_read() -> None:
    assert with_read(["verify"]) == {"read", "verify"}
    assert with_read([]) == frozenset()


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ("/studies/1.2?x=1", "/studies/1.2?x=1"),
        ("", "/"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("https://elsewhere.example/", "/"),
        ("/a\r\nSet-Cookie: b=c", "/"),
        ("/ä", "/"),
        ("/login?next=/login", "/"),
        ("/logout", "/"),
        ("/" + "a" * 2000, "/"),
    ],
)
def test_a_login_leads_to_this_server_alone(told: str, path: str) -> None:
    assert local_path(told) == path


def test_a_role_is_asked_of_plain_endpoints_and_of_coroutines() -> None:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    @needs("verify")
    def plain(request: Request) -> str:
        return request.scope["person"].name

    class Page:
        @needs("read")
        async def later(self, request: Request) -> str:
            return request.scope["person"].name

    def asked_by(person: Person | None) -> Request:
        return Request(
            {
                "type": "http",
                "headers": [],
                "method": "POST",
                "path": "/",
                "person": person,
                "audit": Audit(),
            }
        )

    assert plain(asked_by(LOCAL)) == "local"
    with pytest.raises(HTTPException, match=r"403.*'verify', which anna does not have"):
        plain(asked_by(Person("anna", frozenset({"read"}), "token")))
    with pytest.raises(HTTPException, match="401"):
        plain(asked_by(None))
    waiting = Page().later(asked_by(LOCAL))
    with pytest.raises(StopIteration, match="local"):
        waiting.send(None)
