"""Which cases were under way when the process died, and which one is to blame."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEATHS = 3  # lone ones, after which a case that ends the process again is given up


class Suspects:
    """Cases under way, one small file each, so that a later process knows what killed this one.

    A case that was alone when the process died did it. Of several any may have done it: they are
    run one by one from then on, so that the guilty one is alone the next time. Losing the folder
    costs nothing but such knowledge; without one nothing is remembered.
    """

    def __init__(self, folder: Path | None = None, at_once: int = 1) -> None:
        self._folder = folder
        self._at_once = at_once
        self._seats = threading.Semaphore(at_once)
        self._turnstile = threading.Lock()  # who waits for the whole room is not overtaken
        self._deaths = self._of_earlier_lives()
        self.acquit()  # until they run again

    def deaths(self, seed: str) -> int:
        """How often the process died of this case."""
        return self._deaths.get(seed, 0)

    def is_given_up(self, seed: str) -> bool:
        """Whether it ended the process too often to be run once more."""
        return self.deaths(seed) > DEATHS

    @contextmanager
    def under_way(self, seed: str) -> Iterator[None]:
        """A seat beside other cases; for a suspect, the whole room."""
        seats = self._at_once if seed in self._deaths else 1
        with self._turnstile:
            for _ in range(seats):
                self._seats.acquire()
        try:
            self._write(seed, "alone" if seats == self._at_once else "beside others")
            yield
        finally:
            # not reached where the process dies
            self.clear(seed)
            for _ in range(seats):
                self._seats.release()

    def clear(self, seed: str) -> None:
        """The case came to an end: nothing is held against it."""
        self._deaths.pop(seed, None)
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / seed).unlink(missing_ok=True)

    def acquit(self) -> None:
        """This process ends in good order: no case under way is to blame."""
        for seed in self._seeds():
            self._write(seed, "stopped")

    def _of_earlier_lives(self) -> dict[str, int]:
        found = {seed: self._read(seed) for seed in self._seeds()}
        running = [seed for seed, (_, how) in found.items() if how != "stopped"]
        blamed = [seed for seed in running if len(running) == 1 or found[seed][1] == "alone"]
        return {
            seed: before + (seed in blamed)
            for seed, (before, how) in found.items()
            if before or how != "stopped"
        }

    def _seeds(self) -> list[str]:
        if self._folder is not None:
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                return [file.name for file in self._folder.iterdir() if file.suffix != ".new"]
        return []

    def _read(self, seed: str) -> tuple[int, str]:
        if self._folder is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                told = json.loads((self._folder / seed).read_text("ascii"))
                return int(told["deaths"]), str(told["how"])
        return 0, "beside others"

    def _write(self, seed: str, how: str) -> None:
        if self._folder is None:
            return
        told = {"deaths": self.deaths(seed), "how": how}
        draft = self._folder / f"{seed}.new"
        with suppress(OSError):
            draft.write_text(json.dumps(told), "ascii")
            os.replace(draft, self._folder / seed)  # noqa: PTH105 - atomic, and said so
