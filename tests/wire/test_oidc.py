"""Logging in by OpenID Connect, against an issuer that the test runs."""

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from pacsnode.access import oidc as oidc_module
from pacsnode.access.oidc import AWAY_S, MOST_JOURNEYS, IssuerAway, NotVouched
from pacsnode.access.oidc import Issuer as Asked
from pacsnode.access_section import Oidc
from tests.issuer import CLIENT, SECRET, Issuer, new_key
from tests.peers import LOOPBACK
from tests.wire.visitor import House, house

pytestmark = pytest.mark.wire

ROLES = {"read": ["staff"], "operate": ["technicians"], "verify": ["physicians"]}


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return new_key("first")


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, key: RSAKey
) -> Iterator[tuple[Issuer, House]]:
    home = tmp_path_factory.mktemp("oidc")
    (home / "secret").write_text(f"{SECRET}\n")
    with (
        Issuer(key=key) as issuer,
        house(home, oidc=settings(issuer, home), login_tries_per_address=1000) as told,
    ):
        yield issuer, told


@pytest.fixture
def issuer(running: tuple[Issuer, House], key: RSAKey) -> Issuer:
    """The issuer as it should be, whatever a test before made of it."""
    found = running[0]
    fresh = Issuer(key=key)
    found.person = {"preferred_username": "anna", "groups": ["staff", "physicians"]}
    found.change, found.sign, found.key, found.told_keys = fresh.change, fresh.sign, key, None
    found.is_away = False
    return found


@pytest.fixture
def site(running: tuple[Issuer, House]) -> House:
    return running[1]


def settings(issuer: Issuer, home: Path, **more: Any) -> dict[str, Any]:
    told = {"issuer": issuer.url, "client_id": CLIENT, "secret_file": home / "secret"}
    return told | {"roles": ROLES} | more


def journey(visitor: httpx.Client, onward: str = "/studies/1.2") -> httpx.Response:
    """From our page to the issuer's and back."""
    sent = visitor.get("/login/oidc", params={"next": onward})
    assert sent.status_code == 303, sent.text
    return visitor.get(visitor.get(sent.headers["location"]).headers["location"])


def test_who_the_issuer_vouches_for_is_in(issuer: Issuer, site: House) -> None:
    with site.visitor() as visitor:
        assert "Log in with 127.0.0.1" in visitor.get("/login").text
        assert 'type="password"' not in visitor.get("/login").text
        answer = journey(visitor)
        assert answer.status_code == 200
        assert 'content="0; url=/studies/1.2"' in answer.text
        cookies = answer.headers.get_list("set-cookie")
        (own,) = [each for each in cookies if each.startswith("pacsnode=")]
        assert "SameSite=strict" in own
        told = visitor.get("/api/who").json()
        assert (told["name"], told["way"]) == ("anna", "oidc")
        assert told["roles"] == ["read", "verify"]


def test_what_is_asked_of_the_issuer(issuer: Issuer, site: House) -> None:
    with site.visitor() as visitor:
        first, second = (
            parse_qs(urlsplit(visitor.get("/login/oidc").headers["location"]).query)
            for _ in range(2)
        )
    assert first["response_type"] == ["code"]
    assert first["code_challenge_method"] == ["S256"]
    assert first["scope"] == ["openid profile"]
    assert first["redirect_uri"] == [f"{site.url}/login/oidc/back"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]


def altered(**claims: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda told: told | claims


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda told: {each: value for each, value in told.items() if each != name}


NOW = int(time.time())


@pytest.mark.parametrize(
    "change",
    [
        altered(nonce="of another login"),
        without("nonce"),
        altered(aud="another client"),
        altered(aud="another client", azp=CLIENT),
        altered(aud=[CLIENT, "another"], azp="another"),
        without("aud"),
        altered(exp=NOW - 300, iat=NOW - 600),
        without("exp"),
        altered(iss="https://elsewhere.example"),
        without("sub"),
        altered(nbf=NOW + 3600),
        altered(at_hash="of another token"),
    ],
    ids=lambda change: None,
)
def test_a_token_that_is_not_for_this_login_is_refused(
    issuer: Issuer, site: House, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    issuer.change = change
    with site.visitor() as visitor:
        answer = journey(visitor)
        assert answer.status_code == 401
        assert "The ID token is not believed" in answer.text
        assert visitor.get("/api/who").status_code == 401


def unsigned(claims: dict[str, Any], key: RSAKey) -> str:
    parts = ({"alg": "none", "kid": key.kid}, claims)
    return (b".".join(_encoded(json.dumps(part).encode()) for part in parts) + b".").decode()


def by_the_public_key(claims: dict[str, Any], key: RSAKey) -> str:
    parts = ({"alg": "HS256", "kid": key.kid}, claims)
    told = b".".join(_encoded(json.dumps(part).encode()) for part in parts)
    seal = hmac.digest(key.as_pem(private=False), told, "sha256")
    return (told + b"." + _encoded(seal)).decode()


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def by_a_foreign_key(claims: dict[str, Any], key: RSAKey) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, new_key("first"))


def by_an_unknown_key(claims: dict[str, Any], key: RSAKey) -> str:
    return jwt.encode({"alg": "RS256", "kid": "stranger"}, claims, new_key("stranger"))


def cut(claims: dict[str, Any], key: RSAKey) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)[:-8]


@pytest.mark.parametrize(
    "sign",
    [unsigned, by_the_public_key, by_a_foreign_key, by_an_unknown_key, cut, lambda *_: "no token"],
)
def test_a_token_that_the_issuer_did_not_sign_is_refused(
    issuer: Issuer, site: House, sign: Callable[..., str]
) -> None:
    issuer.sign = sign
    with site.visitor() as visitor:
        answer = journey(visitor)
        assert answer.status_code == 401
        assert "The ID token is not believed" in answer.text
        assert visitor.get("/api/who").status_code == 401


def test_an_issuer_may_change_its_keys(issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    with (
        house(tmp_path, oidc=settings(issuer, tmp_path)) as site,
        site.visitor() as visitor,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert journey(visitor).status_code == 200
        issuer.key = new_key("second")
        assert journey(visitor).status_code == 401  # asked for keys a moment ago
        patch.setattr("pacsnode.access.oidc.FRESH_S", 0.0)
        assert journey(visitor).status_code == 200


def test_a_way_back_is_gone_once_and_by_its_own_browser(issuer: Issuer, site: House) -> None:
    with site.visitor() as visitor, site.visitor() as other:
        sent = visitor.get("/login/oidc").headers["location"]
        back = visitor.get(sent).headers["location"]
        assert other.get(back).status_code == 401
        assert visitor.get(back).status_code == 401  # it was used up
        sent = visitor.get("/login/oidc").headers["location"]
        back = visitor.get(sent).headers["location"]
        assert visitor.get(back + "&iss=https%3A%2F%2Felsewhere.example").status_code == 401
        for query in ("", "?code=x", "?state=x&code=y", "?state=x&error=access_denied"):
            assert visitor.get(f"/login/oidc/back{query}").status_code == 401
        assert visitor.get("/api/who").status_code == 401


def test_a_code_of_another_login_is_refused(issuer: Issuer, site: House) -> None:
    """PKCE: who steals a code cannot use it in a login of their own."""
    with site.visitor() as visitor, site.visitor() as thief:
        stolen = visitor.get(visitor.get("/login/oidc").headers["location"]).headers["location"]
        own = thief.get(thief.get("/login/oidc").headers["location"]).headers["location"]
        code, state = (parse_qs(urlsplit(url).query)[name][0] for url, name in (
            (stolen, "code"), (own, "state"),
        ))  # fmt: skip
        answer = thief.get("/login/oidc/back", params={"code": code, "state": state})
        assert answer.status_code == 401
        assert "does not take back its own code" in answer.text


@pytest.mark.parametrize(
    ("person", "name", "roles"),
    [
        ({"preferred_username": "x", "groups": "technicians"}, "x", ["operate", "read"]),
        ({"preferred_username": "a\nb", "groups": ["staff"]}, "subject-1", ["read"]),
        ({"groups": ["staff", 3, {"a": 1}]}, "subject-1", ["read"]),
        ({"preferred_username": "x", "groups": ["strangers"]}, None, None),
        ({"preferred_username": "x", "groups": {"staff": True}}, None, None),
        ({"preferred_username": "x"}, None, None),
    ],
)
def test_roles_come_from_the_claim(
    issuer: Issuer, site: House, person: dict[str, Any], name: str | None, roles: list[str] | None
) -> None:
    issuer.person = person
    with site.visitor() as visitor:
        answer = journey(visitor)
        if name is None:
            assert answer.status_code == 401
            assert "gives no role here" in answer.text
        else:
            told = visitor.get("/api/who").json()
            assert (told["name"], told["roles"]) == (name, roles)


def test_roles_may_lie_deeper(issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    issuer.person = {"realm": {"roles": ["physicians"]}}
    oidc = settings(issuer, tmp_path, roles_claim="realm.roles", name_claim="sub")
    with house(tmp_path, oidc=oidc) as site, site.visitor() as visitor:
        assert journey(visitor).status_code == 200
        assert visitor.get("/api/who").json()["roles"] == ["read", "verify"]


def test_an_issuer_that_is_away_is_told_of(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SECRET", raising=False)
    monkeypatch.setattr(oidc_module, "AWAY_S", 0)
    (tmp_path / "secret").write_text("wrong")
    oidc = settings(issuer, tmp_path)
    with house(tmp_path, oidc=oidc) as site, site.visitor() as visitor:
        issuer.is_away = True
        assert visitor.get("/login/oidc").status_code == 503
        issuer.is_away, issuer.named = False, "https://elsewhere.example"
        answer = visitor.get("/login/oidc")
        assert answer.status_code == 503
        assert "calls itself otherwise" in answer.text
        issuer.named = None
        answer = journey(visitor)
        assert answer.status_code == 401  # our secret is wrong
        (tmp_path / "secret").unlink()
        assert "cannot be read" in visitor.get("/login/oidc").text


def settings_of(issuer: Issuer) -> Oidc:
    return Oidc.model_validate({"issuer": issuer.url, "client_id": CLIENT, "roles": ROLES})


def test_an_unasked_visitor_cannot_fill_the_memory(issuer: Issuer, site: House) -> None:
    asked = Asked(settings_of(issuer))
    for number in range(MOST_JOURNEYS + 20):
        asked.send(str(number), f"{site.url}/login/oidc/back", "/", LOOPBACK)
    assert len(asked._journeys) == MOST_JOURNEYS


def test_a_stranger_who_begins_a_thousand_logins_ends_nobody_elses(
    issuer: Issuer, site: House
) -> None:
    back = f"{site.url}/login/oidc/back"
    asked = Asked(settings_of(issuer))
    sent = parse_qs(urlsplit(asked.send("first", back, "/", "192.0.2.1")).query)
    for number in range(MOST_JOURNEYS):
        asked.send(str(number), back, "/", "192.0.2.2")
    assert len(asked._journeys) == MOST_JOURNEYS
    with pytest.raises(NotVouched, match="did not log you in"):  # and not: never begun here
        asked.welcome("first", back, {"state": sent["state"][0]})


def test_an_issuer_that_is_away_is_asked_again_after_seconds(issuer: Issuer, site: House) -> None:
    now_s = 1000.0
    asked = Asked(settings_of(issuer), clock=lambda: now_s)
    issuer.is_away = True
    with pytest.raises(IssuerAway):
        asked.send("one", site.url, "/", LOOPBACK)
    issuer.is_away = False
    with pytest.raises(IssuerAway):
        asked.send("one", site.url, "/", LOOPBACK)
    now_s += AWAY_S
    assert asked.send("one", site.url, "/", LOOPBACK)
