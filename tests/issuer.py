"""An OpenID Connect issuer of a few lines with RS256 keys: right, or wrong on purpose."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.peers import LOOPBACK

CLIENT = "node of the tests"
SECRET = "the client's own"  # noqa: S105  no secret
Claims = dict[str, Any]


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass
class Issuer:
    """Logs in whoever comes, as `person`; `change` may spoil the ID token's claims."""

    person: Claims = field(default_factory=lambda: {"preferred_username": "anna", "groups": []})
    change: Callable[[Claims], Claims] = lambda claims: claims
    key: RSAKey = field(default_factory=lambda: new_key("first"))  # that signs
    told_keys: list[RSAKey] | None = None  # that /jwks tells; by default the one that signs
    named: str | None = None  # another name in the metadata
    sign: Callable[[Claims, RSAKey], str] = lambda claims, key: jwt.encode(
        {"alg": "RS256", "kid": key.kid}, claims, key
    )
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    is_away: bool = False

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/realm"

    def answer(self, path: str, asked: Mapping[str, str], credentials: str) -> tuple[int, Any]:
        """Status and JSON, or where to go."""
        name = path.removeprefix("/realm")
        self.asked.append(name)
        if self.is_away:
            return 503, {}
        if name == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.named or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
        if name == "/jwks":
            keys = [self.key] if self.told_keys is None else self.told_keys
            return 200, {"keys": [key.as_dict(private=False) for key in keys]}
        if name == "/authorize":
            code = secrets.token_urlsafe(8)
            self.codes[code] = dict(asked)
            brought = {"code": code, "state": asked["state"]}
            return 302, f"{asked['redirect_uri']}?{urlencode(brought)}"
        if name == "/token":
            return self._token(asked, credentials)
        return 404, {}

    def _token(self, asked: Mapping[str, str], credentials: str) -> tuple[int, Any]:
        begun = self.codes.pop(asked.get("code", ""), None)
        expected = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if credentials != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        proof = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        if (
            begun is None
            or begun["code_challenge_method"] != "S256"
            or begun["redirect_uri"] != asked["redirect_uri"]
            or begun["code_challenge"] != base64.urlsafe_b64encode(proof).decode().rstrip("=")
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "subject-1", "aud": CLIENT, "iat": now, "exp": now + 300,
            "nonce": begun["nonce"],
        }  # fmt: skip
        told = self.sign(self.change(claims | self.person), self.key)
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": told}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                text = self.rfile.read(length).decode() if length else parts.query
                asked = {name: values[-1] for name, values in parse_qs(text).items()}
                credentials = self.headers.get("Authorization", "")
                status, told = issuer.answer(parts.path, asked, credentials)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", told)
                    told = {}
                body = json.dumps(told).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        return Handler
