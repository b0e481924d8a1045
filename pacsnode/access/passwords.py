"""Passwords as scrypt hashes (RFC 7914), each with its own salt and its cost beside it."""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from pacsnode.access_section import SCRYPT, User

N, R, P = 1 << 15, 8, 3  # 32 MiB; a quarter of a second or so
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32
SHORTEST, LONGEST = 12, 256  # characters


class Cost(NamedTuple):
    """What one guess costs: 128 n r bytes, p times over."""

    n: int
    r: int
    p: int


def hashed(password: str, cost: Cost = Cost(N, R, P)) -> str:  # noqa: B008  a constant
    """The line for `web.users.password`."""
    salt = secrets.token_bytes(SALT_BYTES)
    told = (base64.b64encode(part).decode() for part in (salt, _derived(password, salt, cost)))
    return f"scrypt$n={cost.n},r={cost.r},p={cost.p}$" + "$".join(told)


class Passwords:
    """Knows who typed what; a name that nobody has costs as much time as a wrong password."""

    def __init__(self, users: Sequence[User]) -> None:
        self._kept = {user.name: _parts(user.password) for user in users}
        costs = [cost for cost, _, _ in self._kept.values()]
        dearest = max(costs, key=lambda cost: cost.n * cost.r * cost.p, default=Cost(N, R, P))
        self._nobody = (dearest, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(KEY_BYTES))

    def match(self, name: str, password: str) -> bool:
        """Whether this is the password of that user; takes its time on purpose."""
        cost, salt, expected = self._kept.get(name, self._nobody)
        given = _derived(password[:LONGEST], salt, cost)
        return hmac.compare_digest(given, expected) and name in self._kept


def _parts(line: str) -> tuple[Cost, bytes, bytes]:
    found = SCRYPT.fullmatch(line)
    assert found is not None  # noqa: S101  the settings checked it
    n, r, p = (int(part) for part in found.group(1, 2, 3))
    salt, key = (base64.b64decode(part + "==") for part in found.group(4, 5))
    return Cost(n, r, p), salt, key


def _derived(password: str, salt: bytes, cost: Cost) -> bytes:
    # typed on another keyboard, the same letter may be other code points
    typed = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    n, r, p = cost
    room = 128 * r * (n + p + 2) + (1 << 20)
    return hashlib.scrypt(typed, salt=salt, n=n, r=r, p=p, maxmem=room, dklen=KEY_BYTES)
