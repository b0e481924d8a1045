"""From kept objects to cases: which PET and CT belong to a mask, and when it can be reported."""

from pacsnode.assembly.assessment import Assessment
from pacsnode.assembly.readiness import assess

__all__ = ["Assessment", "assess"]
