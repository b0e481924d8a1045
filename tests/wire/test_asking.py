"""One try to fetch: who is asked, who is asked again, and what is written down."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.describing.template import Template
from pacsnode.assembly.words import explain
from pacsnode.jobs import asking, journal
from pacsnode.jobs.asking import ask
from pacsnode.jobs.desk import Backoff, Desk
from pacsnode.jobs.orders import FetchOrder
from storage.archive import Archive
from storage.records import Decision, Instance
from tests.makers import save
from tests.pacs import asking as asking_settings
from tests.story.small import small_study
from tests.web_server import Reply, WebServer

pytestmark = pytest.mark.wire

AT_ONCE = Backoff(first_s=0.0)


@pytest.fixture
def mask(archive: Archive, tmp_path: Path) -> Instance:
    """A SEG that came alone, and waits."""
    (path,) = save([small_study("asked").seg], tmp_path / "seg")
    kept = archive.keep_file(path).instance
    stand(archive, kept, "waiting")
    return kept


def stand(archive: Archive, mask: Instance, state: str, **facts: str) -> None:
    line = Decision(
        mask.study_instance_uid, mask.sop_instance_uid, state, state, ("So it is.",),  # type: ignore[arg-type]
        datetime.now(UTC), facts,
    )  # fmt: skip
    archive.write_down(line)


def order_for(mask: Instance, *refused: str) -> FetchOrder:
    return FetchOrder(
        study=mask.study_instance_uid, mask=mask.sop_instance_uid, first=1, refused=list(refused)
    )


@pytest.fixture
def empty() -> Iterator[WebServer]:
    """A source that has nothing."""
    with WebServer(lambda asked: Reply(200, b"[]")) as server:
        yield server


def desk_of(archive: Archive, *urls: str, backoff: Backoff = AT_ONCE) -> Desk:
    sources = [{"name": f"S{number}", "url": url} for number, url in enumerate(urls)]
    settings = asking_settings(archive.root, 0, sources)
    return Desk(archive, settings, Template(), backoff)


def test_a_source_that_refuses_is_named_with_the_fix_and_left_alone(
    archive: Archive, mask: Instance, empty: WebServer
) -> None:
    with WebServer(lambda asked: Reply(401)) as server:
        desk = desk_of(archive, server.url, empty.url)
        first = ask(order_for(mask), desk)
        second = ask(order_for(mask, *first["refused"]), desk)
        alone = ask(order_for(mask), desk_of(archive, server.url))
    assert first["outcome"] == second["outcome"] == "again"
    assert first["refused"] == second["refused"] == ["S0"]
    refusal, nothing = first["sentences"]
    assert refusal.startswith("S0 refuses: ")
    assert "To fix: Set secret_env" in refusal
    assert second["sentences"] == [nothing]
    assert alone["outcome"] == "over"  # nobody is left to ask
    assert len(server.asked) == 2


def test_a_source_that_is_down_is_asked_again(archive: Archive, mask: Instance) -> None:
    with WebServer(lambda asked: Reply(503)) as server:
        asked = ask(order_for(mask), desk_of(archive, server.url))
    assert (asked["outcome"], asked["refused"]) == ("again", [])
    assert "could not be asked now" in asked["sentences"][0]


@pytest.mark.parametrize("state", ["ready", "running", "reported", "delivered", "superseded"])
def test_nobody_is_asked_for_a_mask_that_waits_no_more(
    state: str, archive: Archive, mask: Instance, empty: WebServer
) -> None:
    stand(archive, mask, state)
    asked = ask(order_for(mask), desk_of(archive, empty.url))
    assert (asked["outcome"], asked["sentences"], empty.asked) == ("over", [], [])


def test_nobody_is_asked_while_the_study_is_being_sent(
    archive: Archive, mask: Instance, empty: WebServer
) -> None:
    asked = ask(order_for(mask), desk_of(archive, empty.url, backoff=Backoff(first_s=600)))
    assert (asked["outcome"], asked["sentences"], empty.asked) == ("again", [], [])


def test_a_series_that_may_lack_slices_is_worth_a_question(
    archive: Archive, mask: Instance, empty: WebServer, tmp_path: Path
) -> None:
    study = small_study("asked")
    for path in save([*study.pet, *study.ct], tmp_path / "images"):
        archive.keep_file(path)
    asked = ask(order_for(mask), desk_of(archive, empty.url))
    # the CT's headers state no number of slices
    in_study, elsewhere = (one.path.partition("?")[0] for one in empty.asked)
    assert in_study == f"/dicom-web/studies/{mask.study_instance_uid}/series"
    assert elsewhere == "/dicom-web/series"  # of the series that the mask names
    assert asked["sentences"] == ["S0 was asked, and lists no series that it needs."]


def test_a_defect_costs_no_mask_its_next_try(
    archive: Archive, mask: Instance, empty: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Phantom^Patient")

    monkeypatch.setattr(asking, "fetch", broken)
    asked = ask(order_for(mask, "S9"), desk_of(archive, empty.url))
    assert asked == {"outcome": "again", "sentences": [], "refused": ["S9"]}


def test_what_was_asked_is_told_once_and_changes_no_state(
    archive: Archive, mask: Instance, empty: WebServer
) -> None:
    desk = desk_of(archive, empty.url)
    for _ in range(3):
        journal.write_asked(archive, order_for(mask), ask(order_for(mask), desk))
        stand(archive, mask, "refused")
    lines = archive.decisions(mask.study_instance_uid, mask.sop_instance_uid)
    assert [(line.state, "asked" in line.facts) for line in lines] == [
        ("waiting", False), ("waiting", True), ("refused", False),
    ]  # fmt: skip
    told = "\n".join(explain(mask.study_instance_uid, lines))
    assert "Sources were asked for what it lacks:" in told
    assert told.count("S0 was asked, and lists no series that it needs.") == 1


def test_what_was_asked_while_the_mask_became_ready_is_told_beside_its_order(
    archive: Archive, mask: Instance
) -> None:
    def answer(_: object) -> Reply:  # what came before this try made it ready
        stand(archive, mask, "ready", seed="1")
        return Reply(200, b"[]")

    with WebServer(answer) as server:
        asked = ask(order_for(mask), desk_of(archive, server.url))
    journal.write_asked(archive, order_for(mask), asked)
    lines = archive.decisions(mask.study_instance_uid, mask.sop_instance_uid)
    assert asked["outcome"] == "over"
    assert [(one.state, one.facts.get("seed"), "asked" in one.facts) for one in lines] == [
        ("waiting", None, False), ("ready", "1", False), ("ready", "1", True),
    ]  # fmt: skip
