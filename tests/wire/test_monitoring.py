"""Numbers and health of a running node: real objects in, every number looked up."""

import fcntl
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from pacsnode.monitoring.table import BY_NAME, METRICS, sample_names
from pacsnode.node import Node
from pacsnode.settings import Settings
from pacsnode.web.health import ALIVE, READY
from pacsnode.web.statement import as_html, statement
from tests.conftest import find_peer
from tests.encoded import encoded, part10_bytes
from tests.makers import make_ct, save
from tests.peers import LOOPBACK, Receiver, echoscu, storescu, wait_until
from tests.story.small import SmallStudy, small_study
from tests.wire.browser import RELATED, related
from tests.wire.sender import Sender

pytestmark = [pytest.mark.wire, pytest.mark.slow]

CT_CLASS, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


@dataclass
class Watched:
    """A running node, and what it tells of itself."""

    node: Node
    home: Path
    study: SmallStudy

    def get(self, path: str, accept: str = "*/*", body: bytes | None = None) -> tuple[Any, ...]:
        """Status, content type and text."""
        assert self.node.web_url is not None
        root = self.node.web_url.removesuffix("/dicom-web")
        headers = {"Accept": accept} | ({"Content-Type": RELATED} if body is not None else {})
        request = urllib.request.Request(root + path, body, headers)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def number(self, name: str, **labels: str) -> float:
        """One sample; 0 where it is not told."""
        assert name in sample_names()
        told = plain_text(self.get("/metrics")[2])
        samples = [sample for family in told for sample in family.samples]
        found = [one.value for one in samples if one.name == name and one.labels == labels]
        return found[0] if found else 0.0

    def checks(self) -> tuple[int, Mapping[str, Any]]:
        """Status of /readyz, and its checks."""
        status, _, text = self.get("/readyz")
        return status, json.loads(text)["checks"]


@contextmanager
def _running(home: Path, receiver: Receiver) -> Iterator[Node]:
    settings = Settings(
        home=home,
        listen={
            "port": 0, "free_space_reserve_mb": 1, "other_objects": "reject",
            "peers": [{"ae_title": "SCANNER", "address": LOOPBACK}, {"ae_title": "SENDER"}],
            "address": LOOPBACK,
        },
        web={"port": 0},
        assembly={"quiet_s": 0.5},
        destinations=[
            {"name": "pacs", "ae_title": "RECEIVER", "host": LOOPBACK, "port": receiver.port}
        ],
    )  # fmt: skip
    with Node(settings) as node:
        yield node


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A node that got a study twice and has delivered its report."""
    home = tmp_path_factory.mktemp("monitored")
    study = small_study("monitored")
    files = save(study.everything, home / "outgoing")
    with Receiver() as receiver, _running(home / "node", receiver) as node:
        told = Watched(node, home / "node", study)
        for _ in range(2):
            assert storescu(node.address[1], files, calling="SCANNER").returncode == 0
        wait_until(lambda: receiver.arrived, within_s=60, what="the report")
        delivered = {"destination": "pacs", "outcome": "delivered"}
        wait_until(
            lambda: told.number("pacsnode_deliveries_total", **delivered), what="its delivery"
        )
        yield told


def test_objects_and_bytes_are_counted_by_sender_and_outcome(watched: Watched) -> None:
    bytes_sent = sum(len(encoded(one)) for one in watched.study.everything)
    for outcome in ("new", "same"):
        labels = {"peer": "SCANNER", "outcome": outcome}
        assert watched.number("pacsnode_instances_received_total", **labels) == 13
        told = watched.number("pacsnode_received_bytes_total", **labels)
        assert told == pytest.approx(bytes_sent, rel=0.01)  # storescu writes lengths its own way
    assert watched.number("pacsnode_associations_accepted_total", peer="SCANNER") == 2
    assert watched.number("pacsnode_associations_ended_total", how="released") >= 2


def test_what_is_refused_is_counted_by_door_and_reason(watched: Watched) -> None:
    port = watched.node.address[1]
    (one,) = make_ct(study="monitored refused")[:1]
    with Sender(port, {1: (CT_CLASS, [EXPLICIT])}) as sender:
        wait_until(lambda: watched.number("pacsnode_associations_open") == 1, what="it to be open")
        assert sender.store(encoded(one), CT_CLASS, "1.2.3.4") == 0xA900
    wait_until(lambda: watched.number("pacsnode_associations_open") == 0, what="it to be closed")
    assert echoscu(port, calling="NOBODY").returncode != 0
    body = related([part10_bytes(one), b"no object"])
    assert watched.get("/dicom-web/studies", "application/json", body)[0] == 202
    expected = {
        ("pacsnode_refusals_total", "dimse", "mismatch"): 1,
        ("pacsnode_refusals_total", "stow", "cannot-understand"): 1,
    }
    wait_until(
        lambda: watched.number("pacsnode_associations_refused_total", reason="unknown-caller"),
        what="the count",
    )
    for (name, door, reason), count in expected.items():
        assert watched.number(name, door=door, reason=reason) == count
    for peer, outcome in (("SENDER", "refused"), ("stow", "new"), ("stow", "refused")):
        told = watched.number("pacsnode_instances_received_total", peer=peer, outcome=outcome)
        assert told == 1, (peer, outcome)


def test_the_report_is_told_with_its_lesion_its_time_and_its_delivery(watched: Watched) -> None:
    assert watched.number("pacsnode_reports_total") == 1
    assert watched.number("pacsnode_lesions_described_total") == 1
    assert 0 < watched.number("pacsnode_reporting_seconds_total") < 30
    assert watched.number("pacsnode_masks", state="delivered", code="delivered") == 1
    assert watched.number("pacsnode_deliveries_waiting", destination="pacs") == 0
    name = "pacsnode_report_latency_seconds"
    assert watched.number(f"{name}_count", destination="pacs") == 1
    # the quiet time is part of it
    assert 0.5 < watched.number(f"{name}_sum", destination="pacs") < 60
    for stage in ("waiting", "ready", "running", "delivering"):
        assert watched.number("pacsnode_queue_age_seconds", stage=stage) == 0
        assert watched.number("pacsnode_queue_length", stage=stage) == 0
        assert watched.number("pacsnode_studies_stuck", stage=stage) == 0


def test_who_writes_and_how_much_room_is_left(watched: Watched) -> None:
    text = watched.get("/metrics")[2]
    assert re.search(r'pacsnode_model_info{[^}]*name="template"[^}]*} 1.0', text)
    assert watched.number("pacsnode_disk_reserve_bytes") == 1 << 20
    free = watched.number("pacsnode_disk_free_bytes")
    assert 0 < free < watched.number("pacsnode_disk_size_bytes")


def test_both_formats_are_what_parsers_expect_and_tell_the_table_alone(watched: Watched) -> None:
    status, kind, text = watched.get("/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    for family in plain_text(text):
        assert family.documentation
        for sample in family.samples:
            assert sample.name in sample_names()
    status, kind, text = watched.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in open_metrics(text)}
    told_of_a_report = {metric.name for metric in METRICS}
    assert families.keys() == told_of_a_report
    for name, family in families.items():
        assert family.type == BY_NAME[name].kind
        bucket = {"le"} if family.type == "histogram" else set()
        for sample in family.samples:
            assert set(sample.labels) <= {*BY_NAME[name].labels} | bucket


def test_promtool_finds_nothing_to_say(watched: Watched) -> None:
    program = find_peer("promtool")
    text = watched.get("/metrics")[2]
    said = subprocess.run(
        [program, "check", "metrics"],
        input=text, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_the_conformance_statement_is_served_as_a_page(watched: Watched) -> None:
    status, kind, text = watched.get("/conformance")
    assert (status, kind.partition(";")[0]) == (200, "text/html")
    assert text == as_html(statement())


def test_no_uid_and_no_patient_is_told(watched: Watched) -> None:
    told = "".join(watched.get(path)[2] for path in ("/metrics", ALIVE, READY))
    assert not re.search(r"\d+(\.\d+){4}", told)
    for one in watched.study.everything:
        for value in (str(one.PatientName), str(one.PatientID)):
            assert value
            assert value not in told


@contextmanager
def _held_back(home: Path) -> Iterator[None]:
    """Take the place of the worker that lives on a home once it dies; no other begins its work."""
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    about_to = threading.Event()

    def take() -> None:
        about_to.set()
        fcntl.flock(folder, fcntl.LOCK_EX)

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    about_to.wait()
    time.sleep(0.5)  # it stands first in the queue; a new worker imports for a second before it

    try:
        yield
    finally:
        taking.join(30)
        os.close(folder)


def test_health_is_told_and_a_worker_that_is_gone_or_silent(watched: Watched) -> None:
    assert json.loads(watched.get("/healthz")[2]) == {"status": "alive"}
    wait_until(lambda: watched.checks()[0] == 200, what="the node to be ready")
    checks = watched.checks()[1]
    assert set(checks) == {"archive", "index", "listener", "worker", "model"}
    assert checks["worker"] == {"passed": True}
    assert watched.number("pacsnode_ready") == 1
    pid = watched.node.worker_pid
    assert pid is not None
    with _held_back(watched.home):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: watched.checks()[0] == 503, what="the node to say that it is not ready")
        checks = watched.checks()[1]
        assert not checks["worker"]["passed"]
        assert "worker process" in checks["worker"]["reason"]
        assert checks["archive"]["passed"]
        assert watched.get("/healthz")[0] == 200
    wait_until(lambda: watched.checks()[0] == 200, within_s=60, what="a new worker to begin")
    assert watched.number("pacsnode_worker_starts_total") >= 2
    # whoever asked before and asks again learns of it, however short the time between was
    assert "started anew" in watched.checks()[1]["worker"]["reason"]
