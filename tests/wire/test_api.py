"""The API: what it tells, what it refuses, and a document that describes all of it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pacsnode.settings import Settings
from pacsnode.web.server import WebServer
from storage.archive import Archive
from tests.makers import make_pet, save
from tests.peers import LOOPBACK
from tests.wire.visitor import MACHINE, tokens, users

pytestmark = pytest.mark.wire

PET = make_pet(PatientName="Doe^Jane", PatientID="J-1")
STUDY = str(PET[0].StudyInstanceUID)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("api")
    with Archive.open(home / "archive") as archive:
        for path in save(PET, home / "sent"):
            archive.keep_file(path)
        web = {"port": 0, "users": users(), "tokens": tokens()}
        server = WebServer(archive, Settings(home=home, web=web))
        server.start()
        try:
            url = f"http://{LOOPBACK}:{server.address[1]}/api"
            with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
                yield client
        finally:
            server.stop(grace_s=1)


def as_machine(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {MACHINE[name]}"}


def test_the_document_describes_every_answer(api: httpx.Client) -> None:
    told: dict[str, Any] = api.get("/openapi.json", headers=as_machine("reading")).json()
    assert told["openapi"] == "3.1.0"
    names = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert sorted(names) == [
        "accept", "cancel", "destinations", "person", "quarantine", "quarantined", "reject",
        "requeue", "retry", "settings", "studies", "study", "verify",
    ]  # fmt: skip
    for reference in _references(told):
        assert reference.removeprefix("#/components/schemas/") in told["components"]["schemas"]
    reject = told["paths"]["/studies/{study}/reports/{sr}/reject"]["post"]
    body = reject["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["reason"]
    assert [*body["properties"]] == ["reason", "observer", "findings"]
    assert [one["name"] for one in reject["parameters"]] == ["study", "sr"]


def _references(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        for name, value in told.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(told, list):
        for one in told:
            yield from _references(one)


def test_a_machine_reads_the_worklist_and_a_study(api: httpx.Client) -> None:
    page = api.get("/studies", params={"q": "doe"}, headers=as_machine("reading")).json()
    (entry,) = page["entries"]
    assert (entry["patient_name"], entry["study_instance_uid"]) == ("Doe, Jane", STUDY)
    shown = api.get(f"/studies/{STUDY}", headers=as_machine("reading")).json()
    assert shown["series"][0]["part"] == "PET"
    assert "Doe" not in str(shown)


@pytest.mark.parametrize("path", ["/destinations", "/quarantine", "/settings", "/person"])
def test_the_rest_is_told_and_no_secret(api: httpx.Client, path: str) -> None:
    answer = api.get(path, headers=as_machine("reading"))
    assert answer.status_code == 200
    assert "scrypt$" not in answer.text
    assert tokens()[0]["sha256"] not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/studies/1.2.3", None, 404, "Nothing of that name"),
        ("GET", "/studies/no-uid", None, 404, "Nothing of that name"),
        ("GET", "/studies?page=0x", None, 400, "page"),
        ("GET", "/studies?group=all", None, 400, "attention"),
        ("GET", "/studies?since=today", None, 400, "since"),
        ("GET", "/nothing", None, 404, "Not Found"),
        ("POST", f"/studies/{STUDY}/requeue", b"", 409, "requeue"),
        ("POST", f"/studies/{STUDY}/masks/1.2/cancel", b"{}", 409, "reason"),
        ("POST", f"/studies/{STUDY}/masks/1.2/cancel", b"{", 400, "JSON"),
        ("POST", f"/studies/{STUDY}/masks/1.2/cancel", b"[]", 400, "object"),
        ("POST", f"/studies/{STUDY}/masks/x/retry", b"", 404, "UID"),
        ("POST", f"/studies/{STUDY}/reports/1.2/verify", b"", 403, "'verify'"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    api: httpx.Client, method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    answer = api.request(method, path, content=body, headers=as_machine("storing"))
    assert answer.status_code == status
    assert said in answer.json()["reason"]


def test_who_is_not_known_and_who_may_only_read_change_nothing(api: httpx.Client) -> None:
    assert api.get("/studies").status_code == 401
    answer = api.post(f"/studies/{STUDY}/requeue", headers=as_machine("reading"))
    assert answer.status_code == 403
    assert "'operate'" in answer.json()["reason"]
