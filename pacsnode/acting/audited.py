"""An action that the audit log is told of, for who asks from the command line."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pacsnode.errors import CannotAct
from storage.records import Decision

if TYPE_CHECKING:
    from pacsnode.access import Person
    from pacsnode.access.audit import Audit


def audited(
    act: Callable[[], Decision],
    audit: "Audit",
    action: str,
    person: "Person",
    *,
    study: str | None,
    objects: Sequence[str] = (),
    reason: str = "",
) -> Decision:
    """What was written down; one message tells of it, as a failure where it is refused."""
    try:
        decision = act()
    except CannotAct:
        audit.write(action, person, study=study, objects=objects, reason=reason, outcome="failure")
        raise
    audit.write(action, person, study=study, objects=objects, reason=reason)
    return decision
