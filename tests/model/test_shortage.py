"""Short of memory, everything is tried once more with room made, and nothing is remembered."""

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch

from engine.finding import Unable
from engine.petar import describe
from engine.petar.batching import Batches
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from tests.model.checkpoints import make_checkpoint
from tests.model.describing import Meddler, codes, one_by_one, petar
from tests.model.scans import make_lesions, make_scan

SHORT = torch.OutOfMemoryError("CUDA out of memory")


class Memory:
    """What fits until room is made for more."""

    def __init__(self, short_until: int = 1) -> None:
        self.rooms, self.tries, self.short_until = 0, 0, short_until

    def make_room(self) -> None:
        self.rooms += 1

    def take(self, item: int = 0) -> int:
        self.tries += 1
        if self.rooms < self.short_until:
            raise SHORT
        return item


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.set_num_threads(1)
    return load_checkpoint(make_checkpoint(tmp_path_factory.mktemp("toy"), seed=3))


def batches(run: Any, memory: Memory, limit: int = 1) -> Batches[int, int]:
    return Batches(run, limit=limit, gather_s=1.0, make_room=memory.make_room)


def answer_of(made: Batches[int, int], make: Any) -> object:
    with made.announced(1) as give:
        return give(make).result(20)


@pytest.mark.parametrize(("short_until", "tries"), [(1, 2), (9, 2)])
def test_a_lesion_alone_is_tried_again_with_room_made(short_until: int, tries: int) -> None:
    memory = Memory(short_until)
    made = batches(lambda items: [memory.take(item) for item in items], memory)
    answer = answer_of(made, lambda: 7)
    made.stop()
    assert memory.tries == tries
    if short_until == 1:
        assert answer == 7
    else:
        assert isinstance(answer, Unable)
        assert answer.code == "out-of-memory"


@pytest.mark.parametrize(("short_until", "rooms"), [(1, 1), (9, 1)])
def test_what_is_made_is_made_again_with_room(short_until: int, rooms: int) -> None:
    memory = Memory(short_until)
    made = batches(list, memory)
    answer = answer_of(made, partial(memory.take, 5))
    assert answer_of(made, lambda: 6) == 6
    made.stop()
    assert (memory.rooms, memory.tries) == (rooms, 2)
    assert answer == 5 if short_until == 1 else isinstance(answer, Unable)


def test_the_network_rests_while_room_is_made_for_views_and_what_waits_for_it_comes_first() -> None:
    at_work, seen, ends = threading.Event(), [], threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        at_work.set()
        time.sleep(0.02)
        at_work.clear()
        return list(items)

    def make_room() -> None:
        time.sleep(0.05)
        seen.append(at_work.is_set())

    made: Batches[int, int] = Batches(run, limit=2, gather_s=0.0, make_room=make_room)

    def keep_busy(first: int) -> None:
        for n in itertools.count(first):
            if ends.is_set():
                return
            answer_of(made, partial(int, n))

    first_try = [True] * 5

    def short(n: int) -> int:
        if first_try[n]:
            first_try[n] = False
            raise SHORT
        time.sleep(0.05)
        seen.append(at_work.is_set())
        return n

    with ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(keep_busy, 1000 * n) for n in range(1, 5)]
        assert at_work.wait(5)
        began = time.monotonic()
        try:
            answers = [answer_of(made, partial(short, n)) for n in range(5)]
        finally:
            ends.set()
        took_s = time.monotonic() - began
        for one in busy:
            one.result(20)
    made.stop()
    assert answers == list(range(5))
    assert seen == [False] * 10
    assert took_s < 5


def test_a_study_is_prepared_again_with_room_made(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lesions = make_scan(40), make_lesions(3)
    expected = one_by_one(checkpoint, scan, lesions)
    prepare, fail = describe.prepare, [0]

    def short(*given: Any, **more: Any) -> Any:
        if fail[0]:
            fail[0] -= 1
            raise SHORT
        return prepare(*given, **more)

    monkeypatch.setattr(describe, "prepare", short)
    with petar(checkpoint, batch_size=1) as made:
        assert codes(made.describe(make_scan(41), lesions[:1])) == [None]
        assert len(made._studies) == len(made._writer.ct_features) == 1
        fail[0] = 1
        assert made.describe(scan, lesions) == expected
        assert len(made._studies) == 1  # the other's room was given
        fail[0] = 2  # too little even so: no verdict on the lesions that come after
        scan = make_scan(42)
        told = made.describe(scan, lesions)
        assert codes(told) == ["out-of-memory", None, None]
        assert made.describe(scan, lesions[:1]) + told[1:] == one_by_one(checkpoint, scan, lesions)


def test_a_single_lesion_is_looked_at_again_with_room_made(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lesions = make_scan(43), make_lesions(1)
    expected = one_by_one(checkpoint, scan, lesions)
    with petar(checkpoint, batch_size=1) as made:
        meddler = Meddler(monkeypatch, made)
        meddler.fits = 0
        clear = made._writer.make_room
        monkeypatch.setattr(
            made._writer, "make_room", lambda: (clear(), setattr(meddler, "fits", 1))
        )
        assert made.describe(scan, lesions) == expected
        assert meddler.sizes == [1, 1]
