"""A toy in the place of the demonstration model."""

from pathlib import Path
from typing import Any

import pytest

from engine.petar import shipped
from tests.model.checkpoints import make_checkpoint

STATED: dict[str, Any] = {"demonstration": True, "profile": "paper"}


def ship_toy(folder: Path, monkeypatch: pytest.MonkeyPatch, **of_toy: Any) -> Path:
    """Make a toy that calls itself a demonstration, and have `demo` mean it."""
    made = make_checkpoint(folder, stated=STATED, **of_toy)
    monkeypatch.setattr(shipped, "FOLDER", made)
    return made
