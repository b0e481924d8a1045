"""What persons may do to a study: each action is one durable line of the journal.

The page, its API and the command line call `Actions`; the worker does what the lines say.
"""

from pacsnode.acting.actions import Actions
from pacsnode.acting.audited import audited
from pacsnode.errors import CannotAct

__all__ = ["Actions", "CannotAct", "audited"]
