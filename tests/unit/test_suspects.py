"""Who is blamed for the death of the process: the one that was alone, and nobody else."""

import threading
from contextlib import ExitStack
from pathlib import Path

from pacsnode.jobs.suspects import DEATHS, Suspects

_NEVER_CLOSED: list[ExitStack] = []


class Life:
    """One life of a worker process on a folder; it ends by `die` or `stop`."""

    def __init__(self, folder: Path, at_once: int = 3) -> None:
        self.suspects = Suspects(folder, at_once)
        self._stack = ExitStack()

    def begin(self, *seeds: str) -> "Life":
        for seed in seeds:
            self._stack.enter_context(self.suspects.under_way(seed))
        return self

    def die(self) -> None:
        _NEVER_CLOSED.append(self._stack.pop_all())  # that is what a death is

    def stop(self) -> None:
        self.suspects.acquit()
        self.die()


def deaths(folder: Path, *seeds: str) -> list[int]:
    found = Suspects(folder, 3)
    return [found.deaths(seed) for seed in seeds]


def test_a_case_that_ended_well_is_no_suspect(tmp_path: Path) -> None:
    with Suspects(tmp_path, 3).under_way("a"):
        assert (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == []


def test_the_only_case_under_way_is_to_blame(tmp_path: Path) -> None:
    for died in range(1, DEATHS + 2):
        Life(tmp_path).begin("a").die()
        assert Suspects(tmp_path, 3).is_given_up("a") == (died > DEATHS)


def test_of_several_nobody_is_blamed_until_one_was_alone(tmp_path: Path) -> None:
    Life(tmp_path).begin("innocent", "guilty").die()
    second = Life(tmp_path)
    assert [second.suspects.deaths(seed) for seed in ("innocent", "guilty")] == [0, 0]
    with second.suspects.under_way("innocent"):
        pass
    second.begin("guilty").die()
    assert deaths(tmp_path, "innocent", "guilty") == [0, 1]


def test_a_suspect_that_was_waiting_is_not_blamed(tmp_path: Path) -> None:
    Life(tmp_path).begin("a", "b").die()
    Life(tmp_path).begin("b").die()
    assert deaths(tmp_path, "a", "b") == [0, 1]


def test_a_suspect_has_the_room_for_itself_and_is_not_overtaken(tmp_path: Path) -> None:
    Life(tmp_path).begin("a", "b").die()
    suspects = Suspects(tmp_path, 3)
    order: list[str] = []
    may_go_on = threading.Event()

    def run(seed: str, wait: bool = False) -> None:
        with suspects.under_way(seed):
            order.append(f"{seed} begins")
            if wait:
                may_go_on.wait(10)
            order.append(f"{seed} ends")

    with suspects.under_way("beside"):
        alone = threading.Thread(target=run, args=("a", True))
        alone.start()
        alone.join(0.1)
        late = threading.Thread(target=run, args=("late",))
        late.start()
        late.join(0.1)
        assert order == []
    alone.join(0.2)
    assert order == ["a begins"]
    may_go_on.set()
    for thread in (alone, late):
        thread.join(10)
    assert order == ["a begins", "a ends", "late begins", "late ends"]


def test_an_end_in_good_order_blames_nobody_and_forgets_no_death(tmp_path: Path) -> None:
    Life(tmp_path).begin("a").die()
    Life(tmp_path).begin("a").stop()
    Life(tmp_path).begin("b").stop()
    assert deaths(tmp_path, "a", "b") == [1, 0]


def test_with_one_seat_every_case_is_alone(tmp_path: Path) -> None:
    Life(tmp_path, at_once=1).begin("a").die()
    assert deaths(tmp_path, "a") == [1]


def test_a_folder_that_cannot_be_used_costs_only_the_knowledge(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for suspects in (Suspects(tmp_path / "file" / "below", 2), Suspects()):
        with suspects.under_way("a"):
            pass
        suspects.acquit()
        assert suspects.deaths("a") == 0


def test_a_damaged_note_counts_as_a_case_under_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff{")
    (tmp_path / "b.new").write_text("half")
    assert deaths(tmp_path, "a", "b.new") == [1, 0]
