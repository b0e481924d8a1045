"""Lesions of the phantom world that no training sees: fixed seeds, made as they are asked for."""

from collections.abc import Iterator
from itertools import count

from engine.cohort.dataset import Example
from engine.cohort.world import WorldOptions, make_world_study

FIRST_SEED = 9_000_000  # recipes of training that ship keep below 1,000,000
LESIONS = 500


def held_out(*, is_shifted: bool = False, first_seed: int = FIRST_SEED) -> Iterator[Example]:
    """Every lesion of one study after the other, without end; one study in memory at a time."""
    options = WorldOptions(is_shifted=is_shifted, split="test")
    for seed in count(first_seed):
        yield from make_world_study(seed, options).examples()


def name_of_world(*, is_shifted: bool) -> str:
    """What a report calls these lesions."""
    world = "shifted phantom world" if is_shifted else "phantom world"
    return f"the {world}, seeds from {FIRST_SEED}"
