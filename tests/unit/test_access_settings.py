"""What [web] may say of who may: open to others only with a login and TLS."""

import base64
from pathlib import Path
from typing import Any

import pytest

from pacsnode.access.passwords import Cost, hashed
from pacsnode.access.tokens import digest
from pacsnode.errors import BadSettings
from pacsnode.settings import Settings, read_settings

HASH = hashed("a password of the tests", Cost(1 << 14, 8, 1))
ANNA = {"name": "anna", "roles": ["verify"], "password": HASH}
STATION = {"name": "station", "roles": ["operate"], "sha256": digest("x")}
TLS = {"certificate": "/c.pem", "key": "/k.pem"}
OIDC = {
    "issuer": "https://id.example.org/realms/x", "client_id": "n", "roles": {"read": ["staff"]},
}  # fmt: skip
OPEN = {"address": "0.0.0.0", "names": ["pacs.example.org"], "users": [ANNA]}  # noqa: S104
COSTS = {"n=16384": "n=8192", "r=8": "r=4", "p=1": "p=17"}


def told(**web: Any) -> Settings:
    return read_settings(None, {"web": web})


@pytest.mark.parametrize(
    "web",
    [
        OPEN | TLS,
        OPEN | {"behind_proxy": True},
        {"address": "192.0.2.7", "users": [ANNA], **TLS},
        {"address": "192.0.2.7", "oidc": OIDC, **TLS},
        {"behind_proxy": True, "names": ["pacs.example.org"], "users": [ANNA]},
        {"users": [ANNA], "tokens": [STATION]},
        {"tokens": [STATION]},
        {"names": ["localhost"]},
        TLS,
    ],
)
def test_what_is_safe_is_taken(web: dict[str, Any]) -> None:
    assert told(**web).web


@pytest.mark.parametrize(
    ("web", "words"),
    [
        (OPEN, "0.0.0.0 is open to others: give certificate and key, or say behind_proxy"),
        (OPEN | TLS | {"users": []}, r"say who may, by \[\[web.users\]\] or \[web.oidc\]"),
        (OPEN | TLS | {"users": [], "tokens": [STATION]}, "say who may"),
        (OPEN | TLS | {"names": []}, "by which host names it is reached: names"),
        ({"behind_proxy": True}, "with behind_proxy or names is open to others: say who may"),
        ({"behind_proxy": True, "users": [ANNA]}, "by which host names"),
        ({"names": ["pacs.example.org"]}, "say who may"),
        ({"names": ["pacs.example.org"], "users": [ANNA]}, "give certificate and key"),
        ({"certificate": "/c.pem"}, "TLS takes both"),
        ({"names": ["a b"]}, "web.names"),
        ({"proxies": ["10.0.0.0/33"]}, "no address and no network"),
        ({"users": [ANNA, ANNA | {"name": "Anna"}]}, "two are called 'anna'"),
        ({"users": [ANNA], "tokens": [STATION | {"name": "anna"}]}, "two are called 'anna'"),
        ({"tokens": [STATION, STATION | {"name": "b"}]}, "two tokens are one"),
        ({"users": [ANNA | {"roles": []}]}, "web.users.roles"),
        ({"users": [ANNA | {"roles": ["admin"]}]}, "web.users.roles"),
        ({"users": [ANNA | {"name": "a\nb"}]}, "web.users.name"),
        ({"users": [ANNA | {"password": "canary"}]}, "no line of `pacsnode password`"),
        ({"tokens": [STATION | {"sha256": "canary"}]}, "no SHA-256"),
        ({"oidc": OIDC | {"issuer": "http://id.example.org"}}, "https:// alone"),
        ({"oidc": OIDC | {"issuer": "https://"}}, "a URL with a host"),
        ({"oidc": OIDC | {"roles": {}}}, "nobody would get a role"),
        ({"oidc": OIDC | {"scope": "profile"}}, "web.oidc.scope"),
        ({"oidc": OIDC | {"secret_env": "PACSNODE_X"}}, r"not one of PACSNODE_\*"),
        ({"oidc": OIDC | {"secret_env": "X", "secret_file": "/x"}}, "not in both"),
    ],
)
def test_what_is_not_is_refused_in_words(web: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSettings, match=words) as refusal:
        told(**web)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(("part", "instead"), COSTS.items())
def test_a_hash_that_is_too_cheap_or_too_dear_is_refused(part: str, instead: str) -> None:
    with pytest.raises(BadSettings, match="its cost is out of bounds"):
        told(users=[ANNA | {"password": HASH.replace(part, instead)}])
    short = base64.b64encode(b"x" * 8).decode()
    name, cost, _, key = HASH.split("$")
    with pytest.raises(BadSettings, match="no line of"):
        told(users=[ANNA | {"password": f"{name}${cost}${short}${key}"}])


def test_no_hash_leaves_the_settings(tmp_path: Path) -> None:
    settings = told(users=[ANNA], tokens=[STATION])
    for text in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "anna" in text
        assert HASH.split("$")[-1] not in text
        assert STATION["sha256"] not in text
