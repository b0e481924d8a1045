"""What persons asked for, as the journal keeps it: codes and facts of lines, and what follows.

A line of these codes is the whole of an action: it is durable before the person is answered, and
the worker does what it says, at once or after its next start.
"""

from collections.abc import Sequence
from typing import Final

from storage.records import Decision

RETRY: Final = "retry-asked"
REQUEUE: Final = "requeue-asked"
CANCELLED: Final = "cancelled"
ACCEPTED: Final = "delivery-accepted"
VERIFY: Final = "verify-asked"
REJECT: Final = "reject-asked"
ASKED: Final = frozenset({RETRY, REQUEUE, CANCELLED, ACCEPTED, VERIFY, REJECT})


def is_cancelled(lines: Sequence[Decision]) -> bool:
    """Whether nothing more is to be done about a mask until a person says so."""
    return bool(lines) and lines[-1].state == "cancelled"


def seeds_since_requeue(lines: Sequence[Decision]) -> frozenset[str] | None:
    """The reports that were decided on since a person had the mask looked at anew.

    None where nobody did: every earlier report counts.
    """
    at = [number for number, line in enumerate(lines) if line.code == REQUEUE]
    if not at:
        return None
    return frozenset(str(line.facts["seed"]) for line in lines[at[-1] :] if "seed" in line.facts)
