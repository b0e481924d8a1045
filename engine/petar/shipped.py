"""The demonstration model that comes with the program: where it lies, and how it is known."""

import json
from pathlib import Path
from typing import Any

NAME = "demo"  # what settings and options call it in place of a folder
FOLDER = Path(__file__).parent / "demonstration"
FIELD = "demonstration"  # of config.json, so that a copy of the folder is one as well


def demonstration_folder() -> Path:
    """The checkpoint folder that is shipped; it may be absent from a source tree."""
    return FOLDER


def named_folder(model: str | Path) -> Path:
    """The folder that is meant: the shipped one for `demo`."""
    return demonstration_folder() if str(model) == NAME else Path(model)


def is_demonstration(folder: Path) -> bool:
    """Whether a folder's config.json calls it a demonstration; False where none can be read."""
    try:
        stated: Any = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(stated, dict) and stated.get(FIELD) is True
