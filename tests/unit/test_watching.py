"""When a study is due: after a change has settled, and once everything it needs is quiet."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from pacsnode.worker.watching import FETCH_SILENT_S, IMPATIENT_S, Watch

BEGIN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
QUIET_S = 60.0


@dataclass
class ChangingArchive:
    """The change counter of an archive, turned by hand."""

    changes: list[str] = field(default_factory=list)
    received: dict[str, datetime] = field(default_factory=dict)

    def arrive(self, study: str, at: datetime = BEGIN) -> None:
        self.changes.append(study)
        self.received[study] = at

    def changed_since(self, cursor: int) -> tuple[int, tuple[str, ...]]:
        return len(self.changes), tuple(dict.fromkeys(self.changes[cursor:]))

    def last_received_at(self, study: str) -> datetime | None:
        return self.received.get(study)


@dataclass
class Clocks:
    """A monotonic and a wall clock, which need not agree."""

    monotonic_s: float = 1000.0
    wall: datetime = BEGIN

    def pass_s(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall += timedelta(seconds=seconds)


@pytest.fixture
def archive() -> ChangingArchive:
    return ChangingArchive()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def watching(
    archive: ChangingArchive, clocks: Clocks, cursor: int = 0, fetched: Collection[str] = ()
) -> Watch:
    watch = Watch(
        archive,  # type: ignore[arg-type]
        QUIET_S,
        cursor=cursor,
        fetched=lambda: fetched,
        clock_s=lambda: clocks.monotonic_s,
        now=lambda: clocks.wall,
    )
    watch.poll()
    return watch


def due_after(watch: Watch, clocks: Clocks, seconds: float) -> tuple[str, ...]:
    clocks.pass_s(seconds)
    watch.poll()
    return watch.due()


def test_a_change_is_due_once_it_has_settled(archive: ChangingArchive, clocks: Clocks) -> None:
    watch = watching(archive, clocks)
    archive.arrive("a")
    assert due_after(watch, clocks, 0) == ()
    assert due_after(watch, clocks, 0.6) == ("a",)
    watch.looked_at("a")
    assert due_after(watch, clocks, 1000) == ()


def test_a_study_that_never_stops_is_looked_at_all_the_same(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    watch = watching(archive, clocks)
    looks = 0
    for _ in range(100):
        archive.arrive("a")
        if due_after(watch, clocks, 0.2):
            looks += 1
            watch.looked_at("a")
    assert 2 <= looks <= 20 / IMPATIENT_S


def test_waiting_ends_when_everything_it_needs_is_quiet(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    watch = watching(archive, clocks)
    archive.arrive("a")
    assert due_after(watch, clocks, 0) == ()
    assert due_after(watch, clocks, 1) == ("a",)
    watch.looked_at("a", waits_for=["a", "b"])
    assert due_after(watch, clocks, 50) == ()
    archive.arrive("b", clocks.wall)
    assert due_after(watch, clocks, 0) == ("a",)  # at once: what it needs has changed
    watch.looked_at("a", waits_for=["a", "b"])
    watch.looked_at("b")
    assert due_after(watch, clocks, 30) == ()  # a has been quiet for 81 s, b for 30 s
    assert due_after(watch, clocks, 31) == ("a",)


def test_a_study_is_not_quiet_while_its_images_are_fetched(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    fetched = {"a", "b"}
    watch = watching(archive, clocks, fetched=fetched)
    archive.arrive("a")
    archive.arrive("b")
    assert due_after(watch, clocks, 1) == ()
    assert due_after(watch, clocks, 1) == ("a", "b")
    watch.looked_at("a", waits_for=["a"])
    watch.looked_at("b", waits_for=["b"])
    assert due_after(watch, clocks, 2 * QUIET_S) == ()
    fetched.remove("a")
    assert due_after(watch, clocks, 0) == ("a",)
    assert not watch.is_quiet("b")
    assert due_after(watch, clocks, FETCH_SILENT_S) == ("a", "b")  # that fetch brings nothing more


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=1), timedelta(hours=1)])
def test_a_wall_clock_that_jumps_neither_hurries_nor_holds_up(
    archive: ChangingArchive, clocks: Clocks, jump: timedelta
) -> None:
    watch = watching(archive, clocks)
    archive.arrive("a")
    due_after(watch, clocks, 0)
    assert due_after(watch, clocks, 1) == ("a",)
    watch.looked_at("a", waits_for=["a"])
    clocks.wall += jump
    assert due_after(watch, clocks, 55) == ()
    assert due_after(watch, clocks, 10) == ("a",)


def test_what_came_before_the_start_is_dated_by_the_archive(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    archive.arrive("long ago", BEGIN - timedelta(hours=1))
    archive.arrive("just now", BEGIN - timedelta(seconds=10))
    archive.arrive("in the future", BEGIN + timedelta(days=1))
    watch = watching(archive, clocks)
    assert watch.is_quiet("long ago")
    assert not watch.is_quiet("just now")
    assert not watch.is_quiet("in the future")
    clocks.pass_s(51)
    assert watch.is_quiet("just now")
    assert not watch.is_quiet("in the future")
    clocks.pass_s(10)
    assert watch.is_quiet("in the future")  # stamped by a clock that ran ahead: the full time


def test_what_is_put_off_stays_due_and_holds_the_cursor(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    watch = watching(archive, clocks)
    archive.arrive("a")
    archive.arrive("b")
    watch.poll()
    assert due_after(watch, clocks, 1) == ("a", "b")
    watch.put_off("a", 10.0)
    watch.looked_at("b")
    assert due_after(watch, clocks, 5) == ()
    assert watch.settled_cursor == 0
    assert due_after(watch, clocks, 5) == ("a",)
    watch.looked_at("a", waits_for=["a"])
    assert due_after(watch, clocks, 60) == ("a",)  # quiet at last
    watch.put_off("a", 10.0)
    assert due_after(watch, clocks, 5) == ()
    assert due_after(watch, clocks, 5) == ("a",)
    watch.looked_at("a")
    assert watch.settled_cursor == 2


def test_the_settled_cursor_never_passes_a_study_that_was_not_looked_at(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    watch = watching(archive, clocks)
    archive.arrive("a")
    watch.poll()
    archive.arrive("b")
    watch.poll()
    watch.looked_at("b")
    assert watch.settled_cursor == 0
    again = watching(archive, clocks, cursor=watch.settled_cursor)
    assert due_after(again, clocks, 1) == ("a", "b")
    watch.looked_at("a")
    assert watch.settled_cursor == 2


def test_a_change_that_waits_holds_the_cursor(archive: ChangingArchive, clocks: Clocks) -> None:
    watch = watching(archive, clocks)
    archive.arrive("a")
    watch.poll()
    watch.looked_at("a", waits_for=["a"])
    assert (watch.settled_cursor, watch.looked_cursor) == (0, 1)
    archive.arrive("b")
    watch.poll()
    watch.looked_at("b")
    watch.looked_at("a", waits_for=["a"])  # again, for another reason
    assert (watch.settled_cursor, watch.looked_cursor) == (0, 2)
    again = watching(archive, clocks, cursor=watch.settled_cursor)
    assert "a" in due_after(again, clocks, 1)
    watch.looked_at("a")
    assert watch.settled_cursor == 2


def test_what_a_change_calls_for_holds_the_cursor_as_the_change_does(
    archive: ChangingArchive, clocks: Clocks
) -> None:
    watch = watching(archive, clocks)
    archive.arrive("images")
    watch.poll()
    watch.again(["masks"])  # looked at for another reason before
    archive.arrive("other")
    watch.poll()
    watch.looked_at("other")
    watch.again(["masks", "more masks"], caused_by="images")
    watch.looked_at("images")
    watch.looked_at("masks")
    assert watch.settled_cursor == 0
    watch.put_off("more masks", 10.0)
    assert watch.settled_cursor == 0
    watch.looked_at("more masks")
    assert watch.settled_cursor == 2
