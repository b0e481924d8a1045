"""A source asked for what is missing: a real PACS by every way, and one that misbehaves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from pacsnode.asking.fetching import Fetched, fetch, greet
from pacsnode.assembly.needs import Needs
from pacsnode.errors import PeerFailed, PeerRefused
from pacsnode.intake.association import Listener
from storage.archive import Archive
from tests.pacs import WAYS, Pacs, asking
from tests.peers import LOOPBACK, Receiver, free_port, scripted_peer
from tests.web_server import Asked, Reply, WebServer, part10

pytestmark = pytest.mark.wire

Images = dict[str, list[Path]]


@pytest.fixture(scope="module")
def images(data: Path) -> Images:
    """A few slices of a real PET and CT."""
    study = data / "ibsi_sts" / "STS_002"
    return {name: sorted((study / name).glob("*.dcm"))[:9] for name in ("PET", "CT")}


@pytest.fixture(scope="module")
def node_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def pacs(
    images: Images, node_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pacs]:
    with Pacs(tmp_path_factory.mktemp("pacs"), node_port) as running:
        running.hold([*images["PET"], *images["CT"]])
        yield running


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_missing_is_asked_for(
    way: str,
    images: Images,
    pacs: Pacs,
    node_port: int,
    archive: Archive,
    tmp_path: Path,
) -> None:
    pet, ct = images["PET"], images["CT"]
    for path in pet[::2]:
        archive.keep_file(path)
    settings = asking(tmp_path, node_port, [pacs.asked_by(way)])
    listener = Listener(archive, settings.listen)
    listener.start()
    header = dcmread(pet[0], stop_before_pixels=True)
    try:
        for frame, lacking in (("2.25.1", len(pet) - len(pet[::2])), (None, len(ct)), (None, 0)):
            needs = Needs(
                str(header.StudyInstanceUID), frozenset({str(header.SeriesInstanceUID)}), frame
            )
            fetched = fetch(settings.sources[0], needs, archive, settings)
            # in another frame of reference only the series that is named is needed
            series, listed = (1, len(pet)) if frame else (2, len(pet) + len(ct))
            assert fetched == Fetched("PACS", series, listed, lacking, lacking)
    finally:
        listener.stop()
    assert archive.counts()["kept"] == len(pet) + len(ct)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_source_does_not_have_is_said(
    way: str, pacs: Pacs, node_port: int, archive: Archive, tmp_path: Path
) -> None:
    settings = asking(tmp_path, node_port, [pacs.asked_by(way)])
    needs = Needs("2.25.404", frozenset({"2.25.405"}), None)
    fetched = fetch(settings.sources[0], needs, archive, settings)
    assert fetched == Fetched("PACS", 0, 0, 0, 0)
    assert "lists no series" in fetched.sentence


def test_a_series_of_another_study_is_found_by_its_name(
    images: Images, pacs: Pacs, node_port: int, archive: Archive, tmp_path: Path
) -> None:
    for path in images["CT"]:
        archive.keep_file(path)
    ct = dcmread(images["CT"][0], stop_before_pixels=True)
    for way in ("dicomweb", "get"):
        settings = asking(tmp_path, node_port, [pacs.asked_by(way)])
        needs = Needs("2.25.404", frozenset({str(ct.SeriesInstanceUID)}), None)
        fetched = fetch(settings.sources[0], needs, archive, settings)
        assert fetched == Fetched("PACS", 1, len(images["CT"]), 0, 0)


def test_a_source_that_does_not_know_our_title_is_told_with_the_fix(
    images: Images, pacs: Pacs, node_port: int, archive: Archive, tmp_path: Path
) -> None:
    settings = asking(tmp_path, node_port, [pacs.asked_by("move")])
    listen = settings.listen.model_copy(update={"ae_title": "STRANGER"})
    settings = settings.model_copy(update={"listen": listen})
    header = dcmread(images["CT"][0], stop_before_pixels=True)
    needs = Needs(str(header.StudyInstanceUID), frozenset(), None)
    with pytest.raises((PeerRefused, PeerFailed), match="C-MOVE"):
        fetch(settings.sources[0], needs, archive, settings)


def test_a_peer_that_only_stores_is_no_source(archive: Archive, tmp_path: Path) -> None:
    with Receiver() as receiver:
        there = {"name": "S", "ae_title": "RECEIVER", "host": LOOPBACK, "port": receiver.port}
        settings = asking(tmp_path, 0, [there])
        with pytest.raises(PeerRefused, match="no presentation context"):
            fetch(settings.sources[0], Needs("2.25.1", frozenset(), None), archive, settings)
    with scripted_peer(("close", None)) as port:
        settings = asking(tmp_path, 0, [there | {"port": port}])
        with pytest.raises(PeerFailed):
            fetch(settings.sources[0], Needs("2.25.1", frozenset(), None), archive, settings)


@pytest.mark.parametrize("way", WAYS)
def test_a_source_is_greeted(way: str, pacs: Pacs, node_port: int, tmp_path: Path) -> None:
    settings = asking(tmp_path, node_port, [pacs.asked_by(way)])
    greet(settings.sources[0], settings)


# a source that misbehaves

ROW = {"0020000D": {"Value": ["2.25.1"]}, "0020000E": {"Value": ["2.25.2"]},
       "00080060": {"Value": ["PT"]}}  # fmt: skip


def listing(uids: list[str], give: Callable[[str], Reply]) -> Callable[[Asked], Reply]:
    """A DICOMweb source of one PET series, which gives instances by `give`."""

    def answer(asked: Asked) -> Reply:
        if "/instances/" in asked.path:
            return give(asked.path.rpartition("/")[2])
        if "/instances" in asked.path:
            rows = [] if "offset" in asked.path else [{"00080018": {"Value": [u]}} for u in uids]
            return Reply(200, json.dumps(rows).encode())
        return Reply(200, json.dumps([ROW]).encode())

    return answer


@pytest.mark.parametrize(
    "reply",
    [Reply(404), Reply(200), Reply(200, b"x" * 400), part10(b"\0" * 128 + b"DICM"), "another"],
    ids=["gone", "empty", "nonsense", "cut", "another object"],
)
def test_what_was_not_asked_for_is_not_kept(
    reply: Reply | str, images: Images, archive: Archive, tmp_path: Path
) -> None:
    given = part10(images["CT"][0].read_bytes()) if isinstance(reply, str) else reply
    with WebServer(listing(["2.25.3"], lambda uid: given)) as server:
        settings = asking(tmp_path, 0, [{"name": "W", "url": server.url}])
        needs = Needs("2.25.1", frozenset(), None)
        fetched = fetch(settings.sources[0], needs, archive, settings)
    assert fetched == Fetched("W", 1, 1, 1, 0)
    assert archive.counts()["kept"] == 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(401), PeerRefused), (Reply(403), PeerRefused), (Reply(302), PeerRefused),
        (Reply(503), PeerFailed), (Reply(200, b"<html>"), PeerFailed),
        (Reply(200, b"{}"), PeerFailed),
    ],
)  # fmt: skip
def test_a_source_that_answers_no_search_is_tried_again_or_told(
    reply: Reply, error: type[Exception], archive: Archive, tmp_path: Path
) -> None:
    with WebServer(lambda asked: reply) as server:
        settings = asking(tmp_path, 0, [{"name": "W", "url": server.url}])
        with pytest.raises(error):
            fetch(settings.sources[0], Needs("2.25.1", frozenset(), None), archive, settings)


def test_rows_that_hold_no_uids_are_passed_over(archive: Archive, tmp_path: Path) -> None:
    odd = [3, {}, {"0020000E": {"Value": ["../../etc"]}}, {"0020000E": 3}]
    with WebServer(lambda asked: Reply(200, json.dumps(odd).encode())) as server:
        settings = asking(tmp_path, 0, [{"name": "W", "url": server.url}])
        needs = Needs("2.25.1", frozenset(), None)
        assert fetch(settings.sources[0], needs, archive, settings).series == 0
    assert all("etc" not in asked.path for asked in server.asked)
