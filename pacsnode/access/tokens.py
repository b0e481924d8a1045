"""Bearer tokens (RFC 6750) of machines, of which the settings hold a digest alone."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from pacsnode.access.person import Person, with_read
from pacsnode.access_section import Token

PREFIX: Final = "pacsnode_"  # so that who finds one knows what it opens
LONGEST: Final = 512


def made() -> str:
    """A new token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What the settings hold of it: a random token needs no salt and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Tokens:
    """Knows whose a token is."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._kept = [
            (each.sha256, Person(each.name, with_read(each.roles), "token")) for each in tokens
        ]

    def owner(self, token: str) -> Person | None:
        """Whose it is; looks at every one, so that time tells nothing."""
        given, found = digest(token[:LONGEST]), None
        for kept, person in self._kept:
            if hmac.compare_digest(given, kept):
                found = person
        return found
