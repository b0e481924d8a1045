"""Words held to what was measured: numbers replaced, conflicts flagged."""
