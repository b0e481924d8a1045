"""Batches form, halve, blame one, and end, whatever the function does that runs them."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from engine.errors import ModelFault, UnusableCase
from engine.finding import Unable
from engine.petar.batching import WELL_BEFORE_GROWING, Batches, is_out_of_memory


@contextmanager
def batches(
    run: Callable[[Sequence[int]], Sequence[int | Unable]], limit: int = 8, **more: object
) -> Iterator[Batches[int, int]]:
    made = Batches(run, limit=limit, gather_s=1.0, **more)
    try:
        yield made
    finally:
        made.stop()
        assert not made._thread.is_alive()


def hand_in(made: Batches[int, int], items: Sequence[int]) -> list[object]:
    with made.announced(len(items)) as give:
        waiting = [give(partial(int, item)) for item in items]
    return [future.result(timeout=20) for future in waiting]


class Run:
    """Doubles numbers; fails as told; remembers the sizes it was given."""

    def __init__(self, fits: int = 1000, poison: frozenset[int] = frozenset()) -> None:
        self.fits, self.poison = fits, poison
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        if len(items) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.poison.intersection(items):
            raise ValueError("poison")
        return [2 * item for item in items]


def test_items_of_many_threads_share_batches_and_each_gets_its_own_answer() -> None:
    run = Run()
    with batches(run) as made, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: hand_in(made, range(n, n + 5)), range(0, 800, 100)))
    assert answers == [[2 * i for i in range(n, n + 5)] for n in range(0, 800, 100)]
    assert sum(run.sizes) == 40
    assert max(run.sizes) > 1


def test_a_batch_waits_for_what_is_announced_and_no_longer() -> None:
    run = Run()
    with batches(run) as made:
        assert hand_in(made, range(8)) == [2 * n for n in range(8)]
        assert run.sizes == [8]
        with made.announced(2) as give:
            one = give(lambda: 1)
            time.sleep(0.05)  # the second is still being made
            two = give(lambda: 2)
        assert (one.result(5), two.result(5)) == (2, 4)
        assert run.sizes == [8, 2]
        with made.announced(2) as give:
            assert give(lambda: 3).result(5) == 6  # the second never comes while this one waits
        began = time.monotonic()
        assert hand_in(made, [4]) == [8]
        assert time.monotonic() - began < 0.8  # nothing else is announced: no waiting at all


def test_no_more_is_made_than_can_soon_run() -> None:
    gate, most, made_now = threading.Event(), [0], [0]

    def run(items: Sequence[int]) -> list[int]:
        gate.wait(10)
        made_now[0] -= len(items)
        return list(items)

    with batches(run, limit=2) as made, ThreadPoolExecutor(6) as pool:

        def counted(item: int) -> int:
            made_now[0] += 1
            most[0] = max(most[0], made_now[0])
            return item

        def one(item: int) -> object:
            with made.announced(1) as give:
                return give(partial(counted, item)).result(20)

        answers = [pool.submit(one, item) for item in range(12)]
        time.sleep(0.3)
        assert made_now[0] == 4  # twice the limit
        gate.set()
        assert sorted(int(str(a.result(20))) for a in answers) == list(range(12))
        assert most[0] <= 6  # those of a batch that has just run are given back a moment later


def test_out_of_memory_halves_the_batch_until_it_fits() -> None:
    run, freed = Run(fits=3), []
    with batches(run, limit=16, make_room=lambda: freed.append(1)) as made:
        assert hand_in(made, range(16)) == [2 * n for n in range(16)]
        assert run.sizes == [16, 8, 4, 2, 2, 4, 2, 2, 8, 4, 2, 2, 4, 2, 2]
        assert made.limit == 2
        assert freed
        before = len(run.sizes)
        assert hand_in(made, range(12)) == [2 * n for n in range(12)]
        assert max(run.sizes[before:]) == 2  # what did not fit is not tried again at once


def test_a_batch_grows_again_after_a_while_without_shortage() -> None:
    run = Run(fits=1)
    with batches(run, limit=4) as made:
        hand_in(made, range(4))
        assert made.limit == 1
        run.fits = 4
        for n in range(3 * WELL_BEFORE_GROWING):
            assert hand_in(made, [n]) == [2 * n]
        assert made.limit == 4


def test_an_item_that_never_fits_is_unable_alone() -> None:
    with batches(Run(fits=0)) as made:
        answers = hand_in(made, range(3))
    assert [getattr(answer, "code", None) for answer in answers] == ["out-of-memory"] * 3


@pytest.mark.parametrize("poison", [{0}, {3}, {7}, {1, 6}, set(range(8))])
def test_poison_fails_alone(poison: set[int]) -> None:
    with batches(Run(poison=frozenset(poison))) as made:
        answers = hand_in(made, range(8))
    for item, answer in enumerate(answers):
        if item in poison:
            assert isinstance(answer, Unable)
            assert answer.code == "model-fault"
            assert "ValueError" in answer.sentence
        else:
            assert answer == 2 * item


def test_an_error_of_ours_keeps_its_code() -> None:
    def run(items: Sequence[int]) -> list[int]:
        raise UnusableCase("Too long", code="too-long")

    with batches(run) as made:
        assert hand_in(made, [1]) == [Unable("too-long", "Too long")]


def test_a_lost_device_is_said_to_all_and_is_no_verdict_on_a_lesion() -> None:
    def run(items: Sequence[int]) -> list[int]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    with batches(run, is_alive=lambda: False) as made:
        for item in (1, 2):
            with pytest.raises(ModelFault) as caught:
                hand_in(made, [item])
            assert caught.value.code == "device-lost"


def test_stop_ends_the_thread_and_refuses_what_waits() -> None:
    entered, release = threading.Event(), threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        entered.set()
        release.wait(10)
        return list(items)

    made: Batches[int, int] = Batches(run, limit=1, gather_s=0.01)
    with made.announced(2) as give:
        running = give(lambda: 1)
        entered.wait(5)
        assert made.busy_s >= 0
        waiting = give(lambda: 2)
    stopper = threading.Thread(target=made.stop)
    stopper.start()
    release.set()
    stopper.join(5)
    assert running.result(0) == 1  # what was under way is answered
    with pytest.raises(ModelFault, match="stopped"):
        waiting.result(1)
    for _ in range(5):  # more than there is room for
        with pytest.raises(ModelFault, match="stopped"), made.announced(1) as give:
            give(lambda: 3)
    assert not made._thread.is_alive()
    assert made.busy_s == 0


def test_what_cannot_be_made_is_answered_and_takes_no_room() -> None:
    def fail() -> int:
        raise UnusableCase("No views", code="pet-empty")

    with batches(Run(), limit=1) as made:
        with made.announced(10) as give:  # more than there is room for
            failed = [give(fail).result(1) for _ in range(9)]
            good = give(lambda: 4)
        assert failed == [Unable("pet-empty", "No views")] * 9
        assert good.result(5) == 8
        with made.announced(3) as give:
            give(lambda: 5).result(5)
        began = time.monotonic()
        assert hand_in(made, [1]) == [2]
        assert time.monotonic() - began < 0.8  # nothing of an earlier call is still waited for


def test_a_device_lost_while_an_item_is_made_is_no_verdict_on_it() -> None:
    gate, running = threading.Event(), threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        running.set()
        gate.wait(10)
        return list(items)

    def fail() -> int:
        raise RuntimeError("CUDA error: unspecified launch failure")

    with batches(run, limit=1, is_alive=lambda: False) as made:
        with made.announced(2) as give:
            under_way = give(lambda: 1)
            assert running.wait(5)
            with pytest.raises(ModelFault) as caught:
                give(fail)
        assert caught.value.code == "device-lost"
        gate.set()
        assert under_way.result(5) == 1  # had been computed
        made._thread.join(5)
        assert not made._thread.is_alive()  # woken to end, though nothing else comes
        for _ in range(5):  # more than there is room for
            with pytest.raises(ModelFault) as caught, made.announced(1) as give:
                give(lambda: 2)
            assert caught.value.code == "device-lost"


@pytest.mark.parametrize("failure", [UnusableCase("No views"), torch.OutOfMemoryError("x")])
def test_what_says_nothing_of_the_device_does_not_end_the_thread(failure: Exception) -> None:
    def fail() -> int:
        raise failure

    with batches(Run(), is_alive=lambda: False) as made:
        with made.announced(1) as give:
            assert isinstance(give(fail).result(1), Unable)
        assert hand_in(made, [1]) == [2]


def test_what_fails_to_be_made_while_ending_is_refused() -> None:
    making, go_on = threading.Event(), threading.Event()

    def fail() -> int:
        making.set()
        go_on.wait(10)
        raise RuntimeError("the device went away under it")

    made: Batches[int, int] = Batches(Run(), limit=1, gather_s=0.01)
    with ThreadPoolExecutor(1) as pool:

        def one() -> object:
            with made.announced(1) as give:
                return give(fail).result(5)

        answer = pool.submit(one)
        assert making.wait(5)
        made.stop()
        go_on.set()
        with pytest.raises(ModelFault, match="stopped"):
            answer.result(5)


@pytest.mark.parametrize(
    ("exc", "is_short"),
    [
        (torch.OutOfMemoryError("x"), True),
        (torch.cuda.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_shortages_of_memory_are_told_from_other_failures(exc: Exception, is_short: bool) -> None:
    assert is_out_of_memory(exc) is is_short
