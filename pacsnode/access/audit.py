"""The audit log: every action with who, when and why."""

from collections.abc import Sequence
from typing import Literal

from pacsnode import log
from pacsnode.access.person import Person

Outcome = Literal["success", "failure"]


class Audit:
    """Writes what was done. Holds UIDs, never a patient's name or id."""

    def write(
        self,
        action: str,
        person: Person,
        *,
        study: str | None = None,
        objects: Sequence[str] = (),
        reason: str = "",
        outcome: Outcome = "success",
        address: str = "",
    ) -> None:
        """Tell of an action on a study, by its UID, and on objects, by theirs.

        `address` is where a person asked from, where it is known.
        """
        log.event(
            "audit", code=action, study_instance_uid=study, count=len(objects), outcome=outcome
        )
