"""Who may connect and who may send, by AE title and by address."""

import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from pacsnode.errors import BadSettings, Unavailable
from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive
from tests.peers import LOOPBACK, echoscu
from tests.story.serve import serving
from tests.wire.node import Node, listening
from tests.wire.sender import Rejected, Sender, pdu

pytestmark = pytest.mark.wire

CALLING_AE_NOT_RECOGNISED = (1, 1, 3)
LOCAL_LIMIT = (2, 3, 2)


def said_to(port: int, calling: str, source: str) -> object:
    """The status of a C-ECHO, or why the association was rejected."""
    try:
        with Sender(port, calling=calling, source=source) as sender:
            return sender.echo()
    except Rejected as rejection:
        return rejection.args[0]


@pytest.mark.parametrize(
    ("calling", "source", "allowed"),
    [
        ("SCANNER", "127.0.0.1", True),
        ("SCANNER", "127.0.0.2", False),
        ("VIEWER", "127.0.0.1", False),
        ("VIEWER", "127.0.0.2", True),
        ("VIEWER", "127.0.0.3", True),
        ("ANYWHERE", "127.0.0.1", True),
        ("ANYWHERE", "127.0.0.9", True),
        ("STRANGER", "127.0.0.1", False),
    ],
)
def test_title_and_address_must_belong_together(
    archive: Archive, calling: str, source: str, allowed: bool
) -> None:
    peers = [
        {"ae_title": "SCANNER", "address": "127.0.0.1"},
        {"ae_title": "VIEWER", "address": "127.0.0.2/31"},
        {"ae_title": "ANYWHERE"},
    ]
    with listening(archive, peers=peers, address=LOOPBACK) as node:
        said = said_to(node.port, calling, source)
    assert said == (0 if allowed else CALLING_AE_NOT_RECOGNISED)


def test_dcmtk_is_told_why_it_is_refused(archive: Archive) -> None:
    peers = [{"ae_title": "SCANNER", "address": "127.0.0.1"}]
    with listening(archive, peers=peers, address=LOOPBACK) as node:
        refused = echoscu(node.port, calling="STRANGER")
        assert refused.returncode != 0
        assert "Calling AE Title Not Recognized" in refused.stdout + refused.stderr
        assert echoscu(node.port, calling="SCANNER").returncode == 0


def test_an_address_of_no_peer_is_cut_before_it_says_a_word(archive: Archive) -> None:
    peers = [{"ae_title": "SCANNER", "address": "127.0.0.1"}]
    with listening(archive, peers=peers, address=LOOPBACK) as node:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            Sender(node.port, calling="SCANNER", source="127.0.0.2")
        assert time.monotonic() - began < 2
        assert said_to(node.port, "SCANNER", "127.0.0.1") == 0


def test_without_peers_only_loopback_is_bound(node: Node, archive: Archive) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: asks the system for its own address
        own = probe.getsockname()[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, node.port), 5)
    with pytest.raises(BadSettings, match=r"listen\.peers"):
        Listener(archive, Listen(address="0.0.0.0", port=0))  # noqa: S104


def test_a_port_in_use_may_be_free_later(node: Node, archive: Archive) -> None:
    with pytest.raises(Unavailable, match=r"listen\.port"):
        Listener(archive, Listen(port=node.port)).start()


def test_what_time_may_mend_ends_a_node_so_that_it_is_started_again(
    node: Node, tmp_path: Path
) -> None:
    """The unit of systemd leaves one alone that ends with 2."""
    (tmp_path / "node.toml").write_text(
        '[[listen.peers]]\nae_title = "SCANNER"\naddress = "no such host"\n'
    )
    for options in (["--config", str(tmp_path / "node.toml")], ["--port", str(node.port)]):
        with serving(tmp_path / "home", *options) as process:
            assert process.wait(timeout=100) == 1, options


def test_one_association_too_many_is_rejected_for_now(archive: Archive) -> None:
    with listening(archive, maximum_associations=2) as node:
        first, second = Sender(node.port), Sender(node.port)
        with pytest.raises(Rejected) as rejection:
            Sender(node.port)
        assert rejection.value.args[0] == LOCAL_LIMIT
        assert first.echo() == second.echo() == 0
        first.release()
        second.release()
        time.sleep(0.2)
        with Sender(node.port) as third:
            assert third.echo() == 0


def test_stopping_lets_an_association_end_and_then_listens_no_more(archive: Archive) -> None:
    listener = Listener(archive, Listen(port=0))
    listener.start()
    port = listener.address[1]
    with Sender(port) as sender:
        assert sender.echo() == 0
    held = [Sender(port), Sender(port)]  # never released: closed after the grace
    held[1].connection.sendall(pdu(4, bytes(100))[:40])
    began = time.monotonic()
    listener.stop(grace_s=0.5)
    assert 0.4 < time.monotonic() - began < 5
    for sender in held:
        with closing(sender.connection):
            assert sender.connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        Sender(port)
    again = Listener(archive, Listen(port=port))
    again.start()
    with Sender(port) as sender:
        assert sender.echo() == 0
    again.stop()
    again.stop()
