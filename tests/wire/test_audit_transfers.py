"""What the audit log hears of objects that come and go, and that it never holds one up."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from engine.describing.template import Template
from pacsnode.access.audit import FOLDER, MOST_STUDIES, Audit, open_audit
from pacsnode.access.audit_message import Partner, Transfer
from pacsnode.intake.association import Listener
from pacsnode.jobs.asking import ask
from pacsnode.jobs.bringing import bring
from pacsnode.jobs.desk import Backoff, Desk
from pacsnode.jobs.orders import DeliveryOrder
from pacsnode.settings import Listen, Settings
from storage.archive import Archive
from tests.audit_schema import complaints
from tests.encoded import encoded
from tests.makers import make_ct, save
from tests.peers import LOOPBACK, Receiver, free_port, storescu, wait_until
from tests.story.small import small_study
from tests.wire.browser import serving
from tests.wire.sender import Sender
from tests.wire.test_asking import order_for, stand
from tests.wire.test_audit_trail import lines_of

pytestmark = pytest.mark.wire

EXPLICIT = "1.2.840.10008.1.2.1"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
SOURCE, DESTINATION = "110153", "110152"
NAMED = {"PatientName": "Canary^Patient", "PatientID": "CANARY-ID"}
ONE = make_ct(study="audited one", **NAMED)[:3]
TWO = make_ct(study="audited two", series="two", **NAMED)[:2]


class Told(NamedTuple):
    """One message of a transfer, and what every one of them holds."""

    action: str
    outcome: str
    reason: str
    sender: str
    receiver: str
    requestor: str
    studies: dict[str, int]


def told(line: str) -> Told:
    assert complaints(line) == []
    root = ElementTree.fromstring(line)  # noqa: S314  our own
    event = root.find("EventIdentification")
    assert event is not None
    assert [one.get("csd-code") for one in event.findall("EventID")] == ["110104"]
    ends: dict[str, str] = {}
    for one in root.findall("ActiveParticipant"):
        (role,) = one.findall("RoleIDCode")
        address = one.get("NetworkAccessPointID")
        ends[str(role.get("csd-code"))] = f"{one.get('UserID')}{f' at {address}' * bool(address)}"
    (requestor,) = (
        str(one.get("UserID"))
        for one in root.findall("ActiveParticipant")
        if one.get("UserIsRequestor") == "true"
    )
    studies = {
        str(one.get("ParticipantObjectID")): int(str(kind.get("NumberOfInstances")))
        for one in root.findall("ParticipantObjectIdentification")
        for kind in one.iter("SOPClass")
    }
    return Told(
        str(event.get("EventActionCode")), str(event.get("EventOutcomeIndicator")),
        event.findtext("EventOutcomeDescription", ""), ends[SOURCE], ends[DESTINATION], requestor,
        studies,
    )  # fmt: skip


@contextmanager
def listening(archive: Archive, home: Path) -> Iterator[int]:
    listener = Listener(archive, Listen(port=0), audit=open_audit(Settings(home=home)))
    listener.start()
    try:
        yield listener.address[1]
    finally:
        listener.stop(grace_s=1)


def uid_of(dataset: Any) -> str:
    return str(dataset.StudyInstanceUID)


def test_one_message_an_association(archive: Archive, tmp_path: Path) -> None:
    files = save([*ONE, *TWO], tmp_path / "outgoing")
    with listening(archive, tmp_path) as port:
        for number in (1, 2):
            assert storescu(port, files, calling="SCANNER").returncode == 0
            wait_until(lambda: len(lines_of(tmp_path)) == number, what="its message")  # noqa: B023
    first, again = map(told, lines_of(tmp_path))
    assert first == Told(
        "C", "0", "", f"SCANNER at {LOOPBACK}", "PACSNODE", "SCANNER",
        {uid_of(ONE[0]): 3, uid_of(TWO[0]): 2},
    )  # fmt: skip
    assert again == first._replace(action="R")  # held before
    assert 'AlternativeUserID="AETITLES=SCANNER"' in lines_of(tmp_path)[0]
    assert "canary" not in "".join(lines_of(tmp_path)).lower()


def test_what_was_refused_or_broken_off_is_a_failure(archive: Archive, tmp_path: Path) -> None:
    one = ONE[0]
    uid = str(one.SOPInstanceUID)
    with listening(archive, tmp_path) as port:
        sender = Sender(port, {1: (CT_CLASS, [EXPLICIT])})
        assert sender.store(encoded(one), CT_CLASS, uid) == 0
        assert sender.store(encoded(one), CT_CLASS, f"{uid}.1") == 0xA900
        assert lines_of(tmp_path) == []  # not before its end
        sender.connection.close()
        wait_until(lambda: lines_of(tmp_path), what="its message")
        # who stored nothing has transferred nothing
        with Sender(port, {1: (CT_CLASS, [EXPLICIT])}) as nothing:
            assert nothing.store(encoded(one), CT_CLASS, f"{uid}.1") == 0xA900
    (line,) = map(told, lines_of(tmp_path))
    assert (line.outcome, line.reason) == ("4", "1 refused, aborted")
    assert line.studies == {uid_of(one): 1}


def test_an_audit_log_that_cannot_be_written_refuses_no_object(
    archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pacsnode")
    (tmp_path / FOLDER).write_text("no folder")
    with listening(archive, tmp_path) as port:
        for _ in range(2):
            assert storescu(port, save(ONE, tmp_path / "outgoing")).returncode == 0
        wait_until(lambda: caplog.messages.count("audit-failed") == 2, what="both failures")
    assert archive.counts()["kept"] == len(ONE)


def test_very_many_studies_are_told_in_several_messages(tmp_path: Path) -> None:
    studies = {f"2.25.{number}": 1 for number in range(2 * MOST_STUDIES + 1)}
    transfer = Transfer("received", Partner("SCANNER", LOOPBACK, "SCANNER"), studies)
    Audit(tmp_path / FOLDER).transferred(transfer)
    lines = [told(line) for line in lines_of(tmp_path)]
    assert [len(line.studies) for line in lines] == [MOST_STUDIES, MOST_STUDIES, 1]
    assert {uid for line in lines for uid in line.studies} == studies.keys()


# what goes out, and what is fetched


def _delivered(archive: Archive, home: Path, port: int, paths: list[Path]) -> str:
    kept = [archive.keep_file(path).instance for path in paths]
    destination = {"name": "pacs", "ae_title": "RECEIVER", "host": LOOPBACK, "port": port}
    settings = Settings(home=home, destinations=[{**destination, "fallback": []}])
    order = DeliveryOrder(
        study=kept[0].study_instance_uid, mask=kept[0].sop_instance_uid, seed="s",
        documents=[one.sop_instance_uid for one in kept], destination="pacs",
        destinations=["pacs"],
    )  # fmt: skip
    return bring(order, Desk(archive, settings, Template()))["outcome"]


def test_one_message_a_delivery(
    archive: Archive, segmentation: Path, report_3d: Path, tmp_path: Path
) -> None:
    study = str(dcmread(segmentation, stop_before_pixels=True).StudyInstanceUID)
    paths = [segmentation, report_3d]
    with Receiver() as receiver:
        assert _delivered(archive, tmp_path, receiver.port, paths) == "delivered"
    with Receiver(sop_class_uids=[SegmentationStorage]) as receiver:
        assert _delivered(archive, tmp_path, receiver.port, paths) == "parked"
    assert _delivered(archive, tmp_path, free_port(), paths) == "again"  # nothing went
    delivered, parked = map(told, lines_of(tmp_path))
    assert delivered == Told(
        "C", "0", "", "PACSNODE", f"RECEIVER at {LOOPBACK}", "PACSNODE", {study: 2}
    )
    assert (parked.outcome, parked.studies) == ("4", {study: 0})
    assert Comprehensive3DSRStorage in parked.reason


def test_what_a_source_gave_is_told(archive: Archive, tmp_path: Path) -> None:
    study = small_study("fetched")
    (path,) = save([study.seg], tmp_path / "seg")
    mask = archive.keep_file(path).instance
    stand(archive, mask, "waiting")
    with Archive.open(tmp_path / "elsewhere") as other, serving(other, tmp_path / "web") as site:
        for one in save([*study.pet, *study.ct], tmp_path / "images"):
            other.keep_file(one)
        settings = Settings(home=tmp_path, sources=[{"name": "PACS", "url": site.url}])
        ask(order_for(mask), Desk(archive, settings, Template(), Backoff(first_s=0.0)))
    (line,) = map(told, lines_of(tmp_path))
    count = len(study.pet) + len(study.ct)
    assert line == Told(
        "C", "0", "", f"{site.url} at {LOOPBACK}", "PACSNODE", "PACSNODE",
        {mask.study_instance_uid: count},
    )  # fmt: skip
