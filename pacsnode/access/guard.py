"""What an endpoint asks of its requester: a role, and the token that its forms carry."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pacsnode.access.person import Person, Role

if TYPE_CHECKING:
    from starlette.requests import Request

    from pacsnode.access.audit import Audit

PERSON: Final = "person"  # where the gate leaves them in a request's scope
CSRF: Final = "csrf"
AUDIT: Final = "audit"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def person_of(request: "Request") -> Person | None:
    """Who asks, as the gate found; None before a login."""
    person = request.scope.get(PERSON)
    return person if isinstance(person, Person) else None


def csrf_token(request: "Request") -> str:
    """What a form posts as its field `csrf`, or htmx as the header X-CSRF-Token."""
    return str(request.scope[CSRF])


def needs(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint answer only who has the role; others get 403 and a sentence.

    The endpoint is a function or a method, plain or a coroutine, whose last argument is the
    request.
    """

    def guarded(endpoint: Endpoint) -> Endpoint:
        if inspect.iscoroutinefunction(endpoint):

            @functools.wraps(endpoint)
            async def answer_later(*arguments: Any, **named: Any) -> Any:
                _check(arguments, named, role)
                return await endpoint(*arguments, **named)

            return answer_later  # type: ignore[return-value]

        @functools.wraps(endpoint)
        def answer(*arguments: Any, **named: Any) -> Any:
            _check(arguments, named, role)
            return endpoint(*arguments, **named)

        return answer  # type: ignore[return-value]

    return guarded


def _check(arguments: tuple[Any, ...], named: dict[str, Any], role: Role) -> None:
    request: Request = named["request"] if "request" in named else arguments[-1]
    person = person_of(request)
    if person is None:
        _refuse(401, "Log in first")
    if role not in person.roles:
        audit: Audit = request.scope[AUDIT]
        address = request.client.host if request.client is not None else ""
        audit.write(
            "role-missing", person, outcome="failure", address=address,
            reason=f"{request.method} {request.scope['path']} needs the role {role}",
        )  # fmt: skip
        _refuse(403, f"This needs the role {role!r}, which {person.name} does not have")


def _refuse(status: int, sentence: str) -> NoReturn:
    from starlette.exceptions import HTTPException  # the command line knows persons, and no web

    raise HTTPException(status, sentence)
