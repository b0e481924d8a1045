"""Batches without end: blocks of studies, the examples of a block shuffled.

What a batch holds depends on the recipe's seed and its place in the stream alone, so a run that was
cut off goes on with the very examples it would have had.
"""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import forkserver
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from engine.errors import EngineError, UnusableCase
from engine.petar.config import VisionConfig
from engine.training.questions import Bundle, bundle_of
from engine.training.recipe import Recipe, Stage
from engine.training.studies import Studies

Picked = list[tuple[Bundle, int]]  # examples: a bundle and a row of it
_BARREN = 20  # blocks without an example, one after another, before it is given up


class NothingToLearn(UnusableCase):
    """No study gave an example that the network could see."""

    code = "nothing-to-learn"


@dataclass(frozen=True, slots=True)
class Place:
    """The next batch: a block of studies, and how many of its batches are done."""

    block: int = 0
    done: int = 0


class Bundles(Dataset[Bundle | EngineError]):
    """The examples of a study by its number; made in worker processes.

    What is wrong with a study is handed over: raised there, it would come with a traceback as text.
    """

    def __init__(
        self, studies: Studies, recipe: Recipe, stage: Stage, vision: VisionConfig
    ) -> None:
        self.studies, self.recipe, self.vision = studies, recipe, vision
        self.stage = stage

    def __getitem__(self, number: int) -> Bundle | EngineError:
        try:
            return self._made(number)
        except EngineError as exc:
            return exc

    def _made(self, number: int) -> Bundle:
        rng = np.random.default_rng([self.recipe.run.seed, 3, number])
        study = self.studies.study(number)
        alone = self.recipe.data.regions_per_study
        return bundle_of(
            study, self.recipe, self.vision, self.stage.asks, alone, rng,
            facts=self.stage.asks_facts,
        )  # fmt: skip


class _From(Sampler[int]):
    """Numbers from one on."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        number = self.first
        while True:
            yield number
            number += 1


@dataclass(slots=True)
class Stream:
    """Iterates over a batch and the place behind it; `skipped` counts what could not be seen."""

    bundles: Bundles
    batch: int
    place: Place = field(default_factory=Place)
    skipped: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[tuple[Picked, Place]]:
        run = self.bundles.recipe.run
        if run.workers:
            _begin_deaf_to_ctrl_c()
        made = iter(self._loader(self.place.block * run.block))
        block, done, barren = self.place.block, self.place.done, 0
        while True:
            held = [_whole(one) for one in islice(made, run.block)]
            if not done:
                for bundle in held:
                    self.skipped.update(bundle.skipped)
            rows = [(bundle, row) for bundle in held for row in range(len(bundle))]
            barren = 0 if rows else barren + 1
            if barren == _BARREN:
                raise NothingToLearn(f"{barren * run.block} studies gave no example")
            batches = self._cut(rows, block)
            for at in range(done, len(batches)):
                is_last = at + 1 == len(batches)
                yield batches[at], Place(block + 1) if is_last else Place(block, at + 1)
            block, done = block + 1, 0

    def _cut(self, rows: Picked, block: int) -> list[Picked]:
        """Shuffled for each pass and cut into batches that are even, none too large."""
        if not rows:
            return []
        run = self.bundles.recipe.run
        rng = np.random.default_rng([run.seed, 4, block])
        batches = []
        for _ in range(run.passes):
            order = rng.permutation(len(rows))
            parts = np.array_split(order, -(-len(rows) // self.batch))
            batches += [[rows[at] for at in part] for part in parts]
        return batches

    def _loader(self, first: int) -> DataLoader[Bundle | EngineError]:
        run = self.bundles.recipe.run
        several: dict[str, Any] = {}
        if run.workers:
            several = {
                "num_workers": run.workers,
                "prefetch_factor": -(-run.block // run.workers) + 1,
                "multiprocessing_context": "forkserver",  # torch's threads do not survive a fork
            }
        return DataLoader(
            self.bundles,
            batch_size=None,
            sampler=_From(first),
            generator=torch.Generator(),  # else it would draw from the run's own
            **several,
        )


def _whole(made: Bundle | EngineError) -> Bundle:
    if isinstance(made, EngineError):
        raise made
    return made


def _begin_deaf_to_ctrl_c() -> None:
    """Start what starts the workers so that they all ignore it, from their first moment.

    It reaches every process of a terminal, and a run that saves and ends still waits for examples.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may set it
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
