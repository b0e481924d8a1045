"""A person, or a machine with a token, as every page, resource and action knows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pacsnode.access_section import Role

__all__ = ["LOCAL", "ROLES", "Person", "Role", "Way", "with_read"]

Way = Literal["loopback", "password", "oidc", "token"]

ROLES: Final[frozenset[Role]] = frozenset({"read", "operate", "verify"})


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts: the name that the audit log tells, what they may do, how they were known."""

    name: str
    roles: frozenset[Role]
    way: Way


LOCAL: Final = Person("local", ROLES, "loopback")  # whoever may open connections on this machine


def with_read(roles: Iterable[Role]) -> frozenset[Role]:
    """These roles; who may operate or verify may read."""
    given = frozenset(roles)
    return given | {"read"} if given else given
