"""What the worker says of its model, in a small file for whoever looks: status, the listener."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FILE = "model.json"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """`state`: ready, waiting (reports wait for it), template (which speaks instead), refused."""

    state: Literal["ready", "waiting", "template", "refused"]
    name: str
    reason: str | None = None
    version: str | None = None
    weights_sha256: str | None = None
    profile: str | None = None
    device: str | None = None
    dtype: str | None = None

    def in_words(self) -> str:
        """One line for a person."""
        if self.state == "ready":
            return f"{self.name} {self.version}, {self.profile}, on {self.device} {self.dtype}"
        meanwhile = {
            "waiting": "reports wait for it",
            "template": "the template speaks instead",
            "refused": "the worker does not start",
        }
        return f"cannot run, {meanwhile[self.state]}: {self.reason}"


def write_model_status(home: Path, status: ModelStatus) -> None:
    """Replace what was said before; a failure to do so costs nothing but the telling."""
    draft = home / f"{FILE}.new"
    with suppress(OSError):
        draft.write_text(json.dumps(asdict(status)), "utf-8")
        os.replace(draft, home / FILE)  # noqa: PTH105 - atomic, and said so


def read_model_status(home: Path) -> ModelStatus | None:
    """What was said last; None where nothing was, or nothing that can be read."""
    with suppress(OSError, ValueError, TypeError):
        return ModelStatus(**json.loads((home / FILE).read_text("utf-8")))
    return None


def forget_model_status(home: Path) -> None:
    """Nothing is known of a model that has yet to be loaded."""
    with suppress(OSError):
        (home / FILE).unlink(missing_ok=True)
