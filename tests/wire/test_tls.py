"""The web side for other machines: TLS of its own, host names, or a proxy before it."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.errors import BadSettings
from pacsnode.monitoring.probe import is_alive
from pacsnode.settings import Settings
from pacsnode.web.server import WebServer
from storage.archive import Archive
from tests.conftest import find_peer
from tests.peers import LOOPBACK, free_port
from tests.web_server import make_certificate
from tests.wire.visitor import House, house, log_in, tokens, users

pytestmark = pytest.mark.wire

NAME = "pacsnode.example.org"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder, f"IP:127.0.0.1,DNS:{NAME}").with_name("certificate.pem")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[House]:
    web = {
        "certificate": certificate, "key": certificate.with_name("key.pem"), "names": [NAME],
        "users": users(), "tokens": tokens(),
    }  # fmt: skip
    with house(tmp_path_factory.mktemp("secure"), trusted=certificate, **web) as told:
        yield told


def test_a_browser_logs_in_over_tls_by_name(secure: House) -> None:
    with secure.visitor(Host=NAME) as visitor:
        answer = log_in(visitor, "reader")
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-pacsnode=")
        assert "Secure" in cookie
        assert "Domain" not in cookie
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert visitor.get("/api/who").json()["scheme"] == "https"
    assert secure.server.url.startswith(f"https://{NAME}:")


def test_dicomweb_tells_its_addresses_as_https(secure: House) -> None:
    with secure.machine("reading") as machine:
        told = machine.get("/dicom-web", headers={"Accept": "application/vnd.sun.wadl+xml"}).text
        assert f'base="{secure.url}/dicom-web' in told


def test_the_probe_of_a_container_hears_a_node_with_tls_and_none_where_there_is_none(
    secure: House,
) -> None:
    assert is_alive(secure.server.address[1])
    assert not is_alive(free_port())


def test_another_name_is_refused(secure: House) -> None:
    for host in ("pacs.elsewhere.example", f"{NAME}.elsewhere.example", "", "192.0.2.1"):
        with secure.visitor(Host=host) as visitor:
            answer = visitor.get("/login")
            assert answer.status_code == 403, host
            assert "web.names" in answer.json()["reason"]


@pytest.mark.parametrize(("version", "spoken"), [("tls1_1", False), ("tls1_2", True)])
def test_tls_before_1_2_is_not_spoken(secure: House, version: str, spoken: bool) -> None:
    command = [
        find_peer("openssl"), "s_client", "-connect", f"{LOOPBACK}:{secure.server.address[1]}",
        f"-{version}", "-cipher", "DEFAULT@SECLEVEL=0",
    ]  # fmt: skip
    said = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=20)
    assert (b"Cipher is (NONE)" not in said.stdout) is spoken
    assert (said.returncode == 0) is spoken


def test_plain_http_and_stalled_handshakes_hold_up_nobody(secure: House) -> None:
    address = (LOOPBACK, secure.server.address[1])
    stalled = [socket.create_connection(address, 10) for _ in range(100)]
    try:
        stalled[0].sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not stalled[0].recv(100).startswith(b"HTTP")
        stalled[1].sendall(b"\x16\x03\x01")
        with secure.visitor() as visitor:
            assert visitor.get("/login").status_code == 200
    finally:
        for each in stalled:
            each.close()


def test_a_certificate_nobody_vouches_for_is_the_browsers_to_refuse(secure: House) -> None:
    context = ssl.create_default_context()
    with (
        socket.create_connection((LOOPBACK, secure.server.address[1]), 10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname=LOOPBACK)


def test_files_that_are_no_certificate_are_bad_settings(
    tmp_path: Path, certificate: Path, archive: Archive
) -> None:
    key = certificate.with_name("key.pem")
    other, locked, text = tmp_path / "other", tmp_path / "locked.pem", tmp_path / "text.pem"
    other.mkdir()
    make_certificate(other)
    text.write_text("no PEM")
    subprocess.run(
        [find_peer("openssl"), "pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:x"],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    cases = [
        (certificate, other / "key.pem", "Cannot use"),
        (text, key, "Cannot use"),
        (tmp_path / "absent.pem", key, "Cannot read 'web.certificate'"),
        (certificate, locked, "is encrypted"),
    ]
    for named, its_key, words in cases:
        web = {"port": 0, "certificate": named, "key": its_key}
        with pytest.raises(BadSettings, match=words):
            WebServer(archive, Settings(home=tmp_path, web=web))


# behind a proxy


def test_a_proxy_tells_who_asks_and_others_tell_nothing(tmp_path: Path) -> None:
    web = {"behind_proxy": True, "names": [NAME], "users": users(), "tokens": tokens()}
    with house(tmp_path, **web) as behind, behind.machine("reading") as machine:
        machine.headers["Host"] = NAME
        for told, client in (
            ("192.0.2.9", "192.0.2.9"),
            ("198.51.100.1, 192.0.2.9", "192.0.2.9"),
            ("192.0.2.9, 127.0.0.1", "192.0.2.9"),
            ("", LOOPBACK),
        ):
            answer = machine.get("/api/who", headers={"X-Forwarded-For": told}).json()
            assert (answer["client"], answer["scheme"]) == (client, "https")
        twice = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.9")]
        headers = [*machine.headers.items(), *twice]  # a client's own, and the proxy's below it
        assert machine.get("/api/who", headers=headers).json()["client"] == "192.0.2.9"
        wadl = machine.get("/dicom-web", headers={"Accept": "application/vnd.sun.wadl+xml"})
        assert f'base="https://{NAME}' in wadl.text
        with behind.visitor(Host=NAME) as visitor:
            answer = visitor.get("/login")
            assert "Secure" in answer.headers["set-cookie"]
            assert "strict-transport-security" in answer.headers


def test_a_proxy_over_ipv4_is_known_where_both_families_are_listened_on(tmp_path: Path) -> None:
    web = {
        "address": "::", "behind_proxy": True, "names": [NAME], "users": users(),
        "tokens": tokens(), "proxies": ["127.0.0.1"],
    }  # fmt: skip
    with house(tmp_path, **web) as behind, behind.machine("reading") as machine:
        machine.headers["Host"] = NAME
        told = machine.get("/api/who", headers={"X-Forwarded-For": "::ffff:192.0.2.9"})
        assert told.json()["client"] == "192.0.2.9"


def test_who_goes_round_the_proxy_is_refused(tmp_path: Path) -> None:
    web = {"behind_proxy": True, "names": [NAME], "users": users(), "proxies": ["192.0.2.0/24"]}
    with house(tmp_path, **web) as behind, behind.visitor(Host=NAME) as visitor:
        answer = visitor.get("/login", headers={"X-Forwarded-For": "192.0.2.1"})
        assert answer.status_code == 403
        assert "through its proxy" in answer.json()["reason"]


def test_without_a_proxy_what_one_would_tell_is_not_believed(tmp_path: Path) -> None:
    with house(tmp_path) as plain, plain.visitor() as visitor:
        headers = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
        told = visitor.get("/api/who", headers=headers).json()
        assert (told["client"], told["scheme"]) == (LOOPBACK, "http")
