"""Lesions of the phantom world that no training sees: fixed seeds, made as they are asked for."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count, islice

from engine.cohort.dataset import Example
from engine.cohort.world import WorldOptions, make_world_study

FIRST_SEED = 9_000_000  # no recipe of training may reach them
LESIONS = 500
MAKERS = min(2, os.cpu_count() or 1)  # studies are made while earlier ones are described
A_FEW = 30  # lesions that are not worth processes of their own


def held_out(lesions: int = LESIONS, *, is_shifted: bool = False) -> Iterator[Example]:
    """The first lesions, study by study; a few studies in memory at a time."""
    options = WorldOptions(is_shifted=is_shifted, split="test")
    made = _here(options) if lesions <= A_FEW else _ahead(options)
    return islice(made, lesions)


def name_of_world(*, is_shifted: bool) -> str:
    """What a report calls these lesions."""
    world = "shifted phantom world" if is_shifted else "phantom world"
    return f"the {world}, seeds from {FIRST_SEED}"


def _here(options: WorldOptions) -> Iterator[Example]:
    for seed in count(FIRST_SEED):
        yield from _study(seed, options)


def _ahead(options: WorldOptions) -> Iterator[Example]:
    context = multiprocessing.get_context("spawn")  # the caller may have threads
    pool = ProcessPoolExecutor(MAKERS, mp_context=context)
    coming: deque[Future[list[Example]]] = deque()
    try:
        for seed in count(FIRST_SEED):
            coming.append(pool.submit(_study, seed, options))
            if len(coming) > MAKERS:
                yield from coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _study(seed: int, options: WorldOptions) -> list[Example]:
    return list(make_world_study(seed, options).examples())
