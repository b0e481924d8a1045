"""What a running job needs at hand."""

import random
import threading
from dataclasses import dataclass, field
from queue import SimpleQueue

from engine.finding import Describer
from pacsnode.addresses import AnyDestination
from pacsnode.jobs.suspects import Suspects
from pacsnode.settings import Settings
from storage.archive import Archive


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: doubling, never above `cap_s`, spread by jitter."""

    first_s: float = 5.0
    cap_s: float = 900.0

    def delay_s(self, tries: int) -> float:
        """Seconds to wait after so many tries (at least one) have failed."""
        doubled = self.first_s * 2.0 ** min(tries - 1, 30)
        # jitter only shortens, so that the cap holds; it need not be unpredictable
        return min(doubled, self.cap_s) * random.uniform(0.5, 1.0)  # noqa: S311


@dataclass(frozen=True, slots=True)
class Desk:
    """The archive, the words and the settings that every job of this process works with."""

    archive: Archive
    settings: Settings
    describer: Describer
    backoff: Backoff = field(default_factory=Backoff)
    deadline_s: float = 3600.0  # a report that takes longer, words apart, hangs: the process ends
    suspects: Suspects = field(default_factory=Suspects)
    model_lost: threading.Event = field(default_factory=threading.Event)  # only a new process helps
    # studies in which a report was refused or given up: an earlier version of its mask may stand
    look_again: SimpleQueue[str] = field(default_factory=lambda: SimpleQueue[str]())

    def allowed_s(self, lesions: int) -> float:
        """The longest that a report on so many lesions may take, beside other cases' words."""
        told = self.settings.describe
        if told.describer == "template":
            return self.deadline_s
        return self.deadline_s + lesions * told.deadline_s * told.cases_at_once

    def destination(self, name: str) -> AnyDestination | None:
        """The destination of this name, or None when the settings no longer have it."""
        found = (each for each in self.settings.destinations if each.name == name)
        return next(found, None)
