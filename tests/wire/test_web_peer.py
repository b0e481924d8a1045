"""What a conversation with a DICOMweb peer may cost: time, memory, and no secret of ours."""

import time
from pathlib import Path

import pytest

from pacsnode import web_peer
from pacsnode.addresses import WebDestination
from pacsnode.delivery.stow import send
from pacsnode.errors import PeerFailed, PeerRefused
from pacsnode.web_peer import conversation
from tests.peers import free_port, scripted_peer
from tests.web_server import Reply, WebServer, make_certificate, told

pytestmark = pytest.mark.wire

SECRET = "canary-of-the-tests"  # noqa: S105 no secret


def at(url: str, **more: object) -> WebDestination:
    return WebDestination.model_validate({"name": "test", "url": url} | more)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_never_carries_credentials_elsewhere(
    report_3d: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_TOKEN", SECRET)
    with WebServer() as elsewhere:
        away = Reply(status, headers={"Location": elsewhere.url + "/studies"})
        with (
            WebServer(lambda asked: away) as server,
            pytest.raises(PeerRefused, match="redirects"),
        ):
            send([report_3d], at(server.url, secret_env="THE_TOKEN"))  # noqa: S106 its name
    assert elsewhere.asked == []
    assert server.asked[0].headers["Authorization"] == f"Bearer {SECRET}"


def test_a_question_is_put_again_where_a_kept_connection_was_closed_meanwhile() -> None:
    replies = iter([Reply(200, b"[]"), Reply(none=True), Reply(200, b"[1]")])
    with (
        WebServer(lambda asked: next(replies)) as server,
        conversation(at(server.url)) as peer,
    ):
        assert peer.search_studies(1).json() == []
        assert peer.search_studies(1).json() == [1]
    assert len(server.asked) == 3


def test_a_question_that_nobody_answers_is_put_twice_and_an_object_sent_once(
    report_3d: Path,
) -> None:
    with WebServer(lambda asked: Reply(none=True)) as server:
        with conversation(at(server.url)) as peer, pytest.raises(PeerFailed, match="closed before"):
            peer.search_studies(1)
        assert len(server.asked) == 2
        with pytest.raises(PeerFailed, match="closed before"):
            send([report_3d], at(server.url))
    assert len(server.posts()) == 1


def test_an_answer_that_breaks_off_is_tried_again(report_3d: Path) -> None:
    reply = told(200, stored=["2.25.1"], cut=5)
    with (
        WebServer(lambda asked: reply) as server,
        pytest.raises(PeerFailed, match="broke off"),
    ):
        send([report_3d], at(server.url))


def test_an_answer_that_comes_too_slowly_ends(
    report_3d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_peer, "ANSWER_TIMEOUT_S", 0.5)
    reply = told(200, stored=["2.25.1"], pause_s=0.1)
    began = time.monotonic()
    with WebServer(lambda asked: reply) as server, pytest.raises(PeerFailed, match="in time"):
        send([report_3d], at(server.url))
    assert time.monotonic() - began < 5


def test_an_answer_without_end_is_cut(report_3d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_peer, "LARGEST_ANSWER", 1000)
    with (
        WebServer(lambda asked: Reply(200, b"x" * 200_000)) as server,
        pytest.raises(PeerFailed, match="too large"),
    ):
        send([report_3d], at(server.url))


@pytest.mark.parametrize(
    "script",
    [
        [("close", None)],
        [("wait", 30)],
        [("send", b"HTTP/1.1 200"), ("wait", 30)],
        [("send", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), ("wait", 30)],
        [("send", b"\x04\x00\x00 not HTTP\r\n\r\n"), ("close", None)],
    ],
    ids=["gone", "silence", "half a status", "no body", "another protocol"],
)
def test_a_peer_that_stops_in_mid_word_never_holds_a_delivery_for_ever(
    script: list[tuple[str, object]], report_3d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_peer, "TIMEOUTS_S", (0.5, 0.5))
    began = time.monotonic()
    with scripted_peer(*script) as port, pytest.raises(PeerFailed):
        send([report_3d], at(f"http://127.0.0.1:{port}"))
    assert time.monotonic() - began < 10


def test_nobody_there_is_tried_again(report_3d: Path) -> None:
    with pytest.raises(PeerFailed, match="no connection"):
        send([report_3d], at(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(PeerFailed, match="no connection"):
        send([report_3d], at("http://no-such-host.invalid"))


# credentials and certificates


def test_basic_authentication_and_a_token_file_that_changes(
    report_3d: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_PASSWORD", "pass:wörd")
    token = tmp_path / "token"
    with WebServer() as server:
        send([report_3d], at(server.url, user="anna", secret_env="THE_PASSWORD"))  # noqa: S106
        for word in ("first", "second\n"):
            token.write_text(word)
            send([report_3d], at(server.url, secret_file=token))
    sent = [asked.headers["Authorization"] for asked in server.asked]
    assert sent == ["Basic YW5uYTpwYXNzOnfDtnJk", "Bearer first", "Bearer second"]


def test_a_secret_that_is_not_there_is_said_without_it(
    report_3d: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(PeerRefused, match="NOT_SET") as refusal:
        send([report_3d], at(url, secret_env="NOT_SET"))  # noqa: S106
    assert "Set NOT_SET" in refusal.value.fix
    with pytest.raises(PeerFailed, match="secret_file"):
        send([report_3d], at(url, secret_file=tmp_path / "absent"))
    (tmp_path / "two-lines").write_text(f"{SECRET}\r\nX-Other: 1")
    with pytest.raises(PeerRefused, match="no header may hold") as refusal:
        send([report_3d], at(url, secret_file=tmp_path / "two-lines"))
    assert SECRET not in str(refusal.value) + refusal.value.fix


def test_a_variable_for_other_programs_is_not_obeyed(
    report_3d: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login someone password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with WebServer() as server:
        send([report_3d], at(server.url))
    assert "Authorization" not in server.asked[0].headers


def test_a_certificate_is_trusted_only_by_its_ca_file(report_3d: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate = make_certificate(tmp_path)
    other = make_certificate(tmp_path / "other")
    with WebServer(certificate=certificate) as server:
        (answer,) = send([report_3d], at(server.url, ca_file=certificate))
        for ca_file in (None, other):
            with pytest.raises(PeerRefused, match="certificate is not trusted") as refusal:
                send([report_3d], at(server.url, ca_file=ca_file))
            assert "ca_file" in refusal.value.fix
        with pytest.raises(PeerFailed, match="ca_file"):
            send([report_3d], at(server.url, ca_file=tmp_path / "absent.pem"))
    assert answer["outcome"] == "stored"
    assert len(server.asked) == 1
    with WebServer() as plain, pytest.raises(PeerFailed):
        send([report_3d], at(plain.url.replace("http:", "https:")))


def test_a_certificate_of_another_host_is_refused(report_3d: Path, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "DNS:pacs.example.org")
    with (
        WebServer(certificate=certificate) as server,
        pytest.raises(PeerRefused, match="certificate is not trusted"),
    ):
        send([report_3d], at(server.url, ca_file=certificate))
    assert server.asked == []
