"""Who may: persons and their roles, logins, tokens, and the record of what was done."""

from pacsnode.access.guard import csrf_token, needs
from pacsnode.access.person import LOCAL, ROLES, Person, Role, Way

__all__ = ["LOCAL", "ROLES", "Person", "Role", "Way", "csrf_token", "needs"]
