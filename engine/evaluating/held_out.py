"""Lesions of the phantom world that no training sees: fixed seeds, made as they are asked for."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count

from engine.cohort.dataset import Example
from engine.cohort.world import WorldOptions, make_world_study

FIRST_SEED = 9_000_000  # recipes of training that ship keep below 1,000,000
LESIONS = 500
MAKERS = min(2, os.cpu_count() or 1)  # studies are made while earlier ones are described


def held_out(*, is_shifted: bool = False, first_seed: int = FIRST_SEED) -> Iterator[Example]:
    """Every lesion of one study after the other, without end; a few studies in memory at a time."""
    options = WorldOptions(is_shifted=is_shifted, split="test")
    context = multiprocessing.get_context("spawn")  # the caller may have threads
    pool = ProcessPoolExecutor(MAKERS, mp_context=context)
    coming: deque[Future[list[Example]]] = deque()
    try:
        for seed in count(first_seed):
            coming.append(pool.submit(_study, seed, options))
            if len(coming) > MAKERS:
                yield from coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def name_of_world(*, is_shifted: bool) -> str:
    """What a report calls these lesions."""
    world = "shifted phantom world" if is_shifted else "phantom world"
    return f"the {world}, seeds from {FIRST_SEED}"


def _study(seed: int, options: WorldOptions) -> list[Example]:
    return list(make_world_study(seed, options).examples())
