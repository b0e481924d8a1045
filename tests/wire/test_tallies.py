"""Why a sender got no association, as it is counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from pacsnode.tallies import Tallies
from storage.archive import Archive
from tests.peers import wait_until
from tests.wire.sender import Rejected, Sender

pytestmark = pytest.mark.wire


@contextmanager
def counted(archive: Archive, **settings: Any) -> Iterator[tuple[int, Tallies]]:
    """The port of a listener, and what it counts."""
    tallies = Tallies()
    listener = Listener(archive, Listen(port=0, **settings), tallies)
    listener.start()
    try:
        yield listener.address[1], tallies
    finally:
        listener.stop(grace_s=1)


def refused(tallies: Tallies) -> dict[str, int]:
    return {reason: count for (reason,), count in tallies.all("associations_refused").items()}


def test_one_more_than_the_limit(archive: Archive) -> None:
    with counted(archive, maximum_associations=1) as (port, tallies):
        with Sender(port), pytest.raises(Rejected):
            Sender(port)
        wait_until(lambda: refused(tallies) == {"maximum-associations": 1}, what="the count")
        wait_until(lambda: tallies.all("associations_ended") == {("released",): 1}, what="its end")


def test_more_from_one_address_than_its_share(archive: Archive) -> None:
    with (
        counted(archive, maximum_associations_per_address=1) as (port, tallies),
        Sender(port),
        pytest.raises(ConnectionError),
    ):
        Sender(port)
    assert refused(tallies) == {"address-limit": 1}


def test_an_unknown_title_and_an_unknown_address(archive: Archive) -> None:
    peers = [{"ae_title": "SCANNER", "address": "127.0.0.1"}]
    with counted(archive, peers=peers, address="127.0.0.1") as (port, tallies):
        with pytest.raises(Rejected):
            Sender(port, calling="NOBODY")
        with pytest.raises(ConnectionError):
            Sender(port, calling="SCANNER", source="127.0.0.2")
        Sender(port, calling="SCANNER").connection.close()  # without a release
        wait_until(lambda: tallies.all("associations_ended"), what="its end")
    assert refused(tallies) == {"unknown-caller": 1, "unknown-address": 1}
    assert tallies.all("associations_accepted") == {("SCANNER",): 1}
    assert tallies.all("associations_ended") == {("aborted",): 1}
