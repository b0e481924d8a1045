"""Words held to what was measured: numbers replaced, conflicts flagged."""

from engine.grounding.grounded import Grounded, ground
from engine.grounding.spans import Span

__all__ = ["Grounded", "Span", "ground"]
