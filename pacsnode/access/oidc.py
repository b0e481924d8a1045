"""OpenID Connect: an issuer says who somebody is (authorization code with PKCE, state and nonce).

Authlib makes the requests and checks the claims, joserfc the signature. What they are given to
check against comes from our settings: the issuer, our client id, asymmetric algorithms alone.
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from pacsnode.access.person import Person, Role, with_read
from pacsnode.access_section import Oidc, is_web_address

METADATA: Final = "/.well-known/openid-configuration"
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
TIMEOUT_S: Final = (5.0, 10.0)  # to connect; for an answer
KEPT_S: Final = 3600.0  # metadata and keys
FRESH_S = 60.0  # a key that nobody knows is looked for no more often
LEEWAY_S: Final = 60  # between its clock and ours
AWAY_S = 5.0  # one that could not be asked is not asked again so soon
JOURNEY_S: Final = 600.0  # from our page to the issuer's and back
MOST_JOURNEYS: Final = 1000
LONGEST_NAME: Final = 64


class NotVouched(Exception):
    """The issuer does not say who this is, or not so that we believe it."""


class IssuerAway(Exception):
    """The issuer cannot be asked now."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What we remember of a browser that we sent to the issuer."""

    browser: bytes  # digest of the key in its cookie
    nonce: str
    verifier: str
    onward: str
    began_s: float
    address: str


class Issuer:
    """Sends browsers to the issuer, and reads what they bring back. For threads."""

    def __init__(self, oidc: Oidc, clock: Callable[[], float] = time.monotonic) -> None:
        self._oidc = oidc
        self._clock = clock
        self._journeys: dict[str, Journey] = {}
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    def send(self, browser: str, back: str, onward: str, address: str) -> str:
        """Where to send a browser, known by the key in its cookie, that asks from an address.

        Raises IssuerAway.
        """
        state = secrets.token_urlsafe(32)
        journey = Journey(
            _digest(browser), secrets.token_urlsafe(32), secrets.token_urlsafe(48), onward,
            self._clock(), address,
        )  # fmt: skip
        with self._session(back) as session:
            url, _ = session.create_authorization_url(
                self._metadata(session)["authorization_endpoint"], state=state,
                code_verifier=journey.verifier, nonce=journey.nonce,
            )  # fmt: skip
        with self._lock:
            over = self._clock() - JOURNEY_S
            for old in [each for each, one in self._journeys.items() if one.began_s < over]:
                del self._journeys[old]
            while len(self._journeys) >= MOST_JOURNEYS:
                # of whoever began the most: a stranger ends no login but their own
                most = Counter(one.address for one in self._journeys.values()).most_common(1)[0][0]
                ends = next(each for each, one in self._journeys.items() if one.address == most)
                del self._journeys[ends]
            self._journeys[state] = journey
        return str(url)

    def welcome(self, browser: str, back: str, brought: Mapping[str, str]) -> tuple[Person, str]:
        """Who came back, and where they wanted to go. Raises NotVouched, IssuerAway."""
        with self._lock:
            journey = self._journeys.pop(brought.get("state", ""), None)  # once only
        if journey is None or journey.began_s < self._clock() - JOURNEY_S:
            raise NotVouched("This login was not begun here, or too long ago: begin again")
        if not hmac.compare_digest(journey.browser, _digest(browser)):
            raise NotVouched("This login was begun in another browser: begin again")
        if brought.get("iss", self._oidc.issuer) != self._oidc.issuer:  # RFC 9207
            raise NotVouched("Another issuer answered: begin again")
        if "code" not in brought:
            raise NotVouched("The issuer did not log you in")
        with self._session(back) as session:
            claims = self._claims(session, brought["code"], journey)
        return self._person(claims), journey.onward

    def _claims(self, session: Any, code: str, journey: Journey) -> Mapping[str, Any]:
        metadata = self._metadata(session)
        try:
            answer = session.fetch_token(
                metadata["token_endpoint"], code=code, code_verifier=journey.verifier,
                allow_redirects=False,
            )  # fmt: skip
        except OAuthError as exc:
            raise NotVouched("The issuer does not take back its own code: begin again") from exc
        except (OSError, ValueError) as exc:  # requests' errors are OSErrors
            raise IssuerAway("The issuer gave no token: try again later") from exc
        if not isinstance(answer.get("id_token"), str):
            raise NotVouched("The issuer did not say who you are: it sent no ID token")
        try:
            token = self._opened(session, answer["id_token"])
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": self._oidc.issuer},
                    "aud": {"essential": True, "value": self._oidc.client_id},
                },
                {
                    "nonce": journey.nonce,
                    "client_id": self._oidc.client_id,
                    "access_token": answer.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            # its text may quote a claim: the kind of error is enough
            raise NotVouched(f"The ID token is not believed: {type(exc).__name__}") from exc
        return dict(claims)

    def _opened(self, session: Any, id_token: str) -> jwt.Token:
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        address = self._metadata(session)["jwks_uri"]
        try:
            return jwt.decode(id_token, _keys(self._get(session, address)), registry=registry)
        except InvalidKeyIdError:  # it has changed its keys
            fresh = self._get(session, address, oldest_s=FRESH_S)
            return jwt.decode(id_token, _keys(fresh), registry=registry)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = claims.get(self._oidc.name_claim)
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            name = str(claims["sub"])[:LONGEST_NAME]
        found: Any = claims
        for step in self._oidc.roles_claim.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        listed = found if isinstance(found, list) else [found]
        values = {value for value in listed if isinstance(value, str)}
        wanted = self._oidc.roles
        given: list[tuple[Role, tuple[str, ...]]] = [
            ("read", wanted.read), ("operate", wanted.operate), ("verify", wanted.verify),
        ]  # fmt: skip
        roles = with_read(role for role, given_by in given if values & {*given_by})
        if not roles:
            raise NotVouched("The issuer knows you, but what it says of you gives no role here")
        return Person(name, roles, "oidc")

    def _metadata(self, session: Any) -> dict[str, Any]:
        def check(told: Mapping[str, Any]) -> None:
            if told.get("issuer") != self._oidc.issuer:
                raise IssuerAway("The issuer calls itself otherwise: correct 'web.oidc.issuer'")
            for name in ENDPOINTS:
                if not is_web_address(str(told.get(name, ""))):
                    raise IssuerAway(f"The issuer tells no {name} that is safe to use")

        return self._get(session, self._oidc.issuer.rstrip("/") + METADATA, check)

    def _get(
        self,
        session: Any,
        url: str,
        check: Callable[[Mapping[str, Any]], None] = lambda _: None,
        oldest_s: float = KEPT_S,
    ) -> dict[str, Any]:
        """What lies there; kept for a while once it was checked."""
        kept = self._kept.get(url)
        if kept is not None and self._clock() - kept[0] < oldest_s:
            return kept[1]
        failed = self._failed.get(url)
        if failed is not None and self._clock() - failed[0] < AWAY_S:
            raise IssuerAway(failed[1])  # each try may hold a thread for seconds
        try:
            told = _asked(session, url)
            check(told)
        except IssuerAway as exc:
            self._failed[url] = (self._clock(), str(exc))
            raise
        self._kept[url] = (self._clock(), told)
        return told

    def _session(self, back: str) -> Any:
        secret = self._secret()
        session = OAuth2Session(
            self._oidc.client_id, secret, scope=self._oidc.scope, redirect_uri=back,
            code_challenge_method="S256", default_timeout=TIMEOUT_S,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
        )  # fmt: skip
        session.trust_env = False  # no proxy, no .netrc
        if self._oidc.ca_file is not None:
            session.verify = str(self._oidc.ca_file)
        return session

    def _secret(self) -> str | None:
        if self._oidc.secret_env is not None:
            found = os.environ.get(self._oidc.secret_env, "")
        elif self._oidc.secret_file is not None:
            try:
                found = self._oidc.secret_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                found = ""
        else:
            return None
        if not found:
            raise IssuerAway("Our secret for the issuer cannot be read: see 'web.oidc'")
        return found


def _asked(session: Any, url: str) -> dict[str, Any]:
    try:
        answer = session.get(url, withhold_token=True, allow_redirects=False)
        if answer.status_code != requests.codes.ok:
            raise IssuerAway(f"The issuer answers {answer.status_code}: try again later")
        told = answer.json()
    except (OSError, ValueError) as exc:
        raise IssuerAway("The issuer cannot be reached: try again later") from exc
    if not isinstance(told, dict):
        raise IssuerAway("The issuer answers what is no metadata: try again later")
    return told


def _keys(told: Mapping[str, Any]) -> KeySet:
    return KeySet.import_key_set(dict(told))  # type: ignore[arg-type]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
