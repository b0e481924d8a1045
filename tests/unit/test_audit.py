"""The audit log: messages as PS3.15 A.5.1 has them, files that are only appended to."""

import base64
import os
import re
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pacsnode.access import LOCAL, Person
from pacsnode.access.audit import Audit, open_audit
from pacsnode.access.audit_message import EVENTS, Deed, message
from pacsnode.access.syslog import framed
from pacsnode.access.trail import MOST_AT_A_TIME, Place, Trail
from pacsnode.settings import Settings
from tests.audit_schema import complaints

NOW = datetime(2026, 11, 28, 18, 0, 0, 123456, UTC)
ANNA = Person("anna", frozenset({"read", "verify"}), "oidc")
DEEDS = [
    *(Deed(action, ANNA, study="1.2.3", address="192.0.2.7") for action in EVENTS),
    Deed("verify", ANNA, study="1.2.3", objects=("1.2.4", "1.2.5"), reason="seen & agreed"),
    Deed("reject", ANNA, objects=("1.2.4",), reason="not a lesion", outcome="failure"),
    Deed("query", ANNA, query="/dicom-web/studies?PatientName=&StudyDate="),
    Deed("cancel", LOCAL),
]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.action)
def test_a_message_is_as_the_schema_has_it(deed: Deed) -> None:
    assert complaints(message(deed, "PACSNODE", "a hospital", NOW)) == []


def test_the_judge_of_messages_judges() -> None:
    good = message(DEEDS[-2], "PACSNODE", "a hospital", NOW)
    for part, instead in (
        ('EventOutcomeIndicator="0"', 'EventOutcomeIndicator="1"'),
        ('EventActionCode="E"', 'EventActionCode="X"'),
        ('UserIsRequestor="true"', 'UserIsRequestor="yes"'),
        ("AuditSourceIdentification", "AuditSource"),
        ('csd-code="110112"', 'code="110112"'),
        ('EventDateTime="2026', 'EventDateTime="26'),
        ("<ParticipantObjectQuery>", "<ParticipantObjectQuery>*"),
        ('UserID="anna"', ""),
    ):
        assert part in good
        assert complaints(good.replace(part, instead)), part


def test_a_message_says_who_when_what_and_why() -> None:
    deed = Deed(
        "verify", ANNA, study="1.2.3", objects=("1.2.4",), reason=" seen\nit ", address="192.0.2.7"
    )
    root = ElementTree.fromstring(message(deed, "PACSNODE", None, NOW))  # noqa: S314  our own
    event = root.find("EventIdentification")
    assert event is not None
    assert event.attrib == {
        "EventActionCode": "U", "EventDateTime": "2026-11-28T18:00:00.123Z",
        "EventOutcomeIndicator": "0",
    }  # fmt: skip
    assert [one.get("csd-code") for one in event if one.tag != "EventOutcomeDescription"] == [
        "110103", "verify",
    ]  # fmt: skip
    assert event.findtext("EventOutcomeDescription") == "seen it"
    who, ours = root.findall("ActiveParticipant")
    assert (who.get("UserID"), who.get("AlternativeUserID")) == ("anna", "oidc:anna")
    assert (who.get("NetworkAccessPointID"), who.get("UserIsRequestor")) == ("192.0.2.7", "true")
    assert (ours.get("UserID"), ours.get("UserIsRequestor")) == ("PACSNODE", "false")
    told = root.find("ParticipantObjectIdentification")
    assert told is not None
    assert told.get("ParticipantObjectID") == "1.2.3"
    assert [one.get("UID") for one in told.iter("Instance")] == ["1.2.4"]


def test_hostile_words_stay_one_line_of_valid_xml() -> None:
    words = "</EventIdentification>\r\n\x00\x1b[31m\u2028\ud800]]>&\ufffe"
    person = Person(words, frozenset(), "password")
    line = message(Deed("login", person, reason=words, query=words), words, words, NOW)
    assert len(line.splitlines()) == 1
    assert complaints(line) == []
    assert len(message(Deed("login", ANNA, reason="x" * 10_000), "P", None, NOW)) < 2000


# files


def test_lines_are_appended_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        audit = Audit(tmp_path / "audit")
        audit.write("login", ANNA)
        audit.write("logout", ANNA)
    finally:
        os.umask(before)
    (file,) = (tmp_path / "audit").iterdir()
    assert re.fullmatch(r"\d{4}-\d{2}\.log", file.name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [complaints(line) for line in file.read_text().splitlines()] == [[], []]


def test_two_that_write_at_a_time_mix_no_lines(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(20):
            Trail(tmp_path).append(str(number) * 5000, NOW)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "2026-11.log").read_text().splitlines()
    assert len(lines) == 80
    assert {len(line) for line in lines} == {5000}
    assert all(len({*line}) == 1 for line in lines)


def test_a_line_broken_off_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.append("first", NOW)
    with (tmp_path / "2026-11.log").open("a") as file:
        file.write("bro")
    assert trail.unsent() == (["first"], Place("2026-11.log", 6))
    trail.append("second", NOW)
    assert (tmp_path / "2026-11.log").read_text() == "first\nbro\nsecond\n"


def test_a_line_of_any_length_is_sent(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.append("x" * (3 * MOST_AT_A_TIME), NOW)
    trail.append("behind it", NOW)
    seen = []
    while (found := trail.unsent()) is not None:
        seen += found[0]
        trail.sent(found[1])
    assert [len(line) for line in seen] == [3 * MOST_AT_A_TIME, 9]


def test_what_was_sent_is_passed_over_month_by_month(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    assert trail.unsent() is None
    trail.append("november", NOW)
    trail.append("december", NOW.replace(month=12))
    seen = []
    while (found := trail.unsent()) is not None:
        seen += found[0]
        trail.sent(found[1])
    assert seen == ["november", "december"]
    trail.append("later", NOW.replace(month=12))
    assert Trail(tmp_path).unsent() == (["later"], Place("2026-12.log", 15))
    (tmp_path / "2026-11.log").unlink()  # put away
    assert trail.unsent() == (["later"], Place("2026-12.log", 15))
    (tmp_path / "sent.json").write_text("{")
    found = trail.unsent()
    assert found is not None
    assert found[0] == ["december", "later"]


def test_a_disk_that_fails_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file is in the way")
    Audit(tmp_path / "audit").write("login", ANNA)
    Audit().write("login", ANNA)


def test_looking_at_many_frames_is_told_once_in_a_while(tmp_path: Path) -> None:
    now = [0.0]
    audit = Audit(tmp_path, clock=lambda: now[0])
    for study in ("1.2", "1.2", "1.3"):
        audit.write_once("access", ANNA, study=study, address="")
    audit.write_once("access", LOCAL, study="1.2", address="")
    now[0] = 601
    audit.write_once("access", ANNA, study="1.2", address="")
    (file,) = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) == 4


def test_the_settings_name_the_node(tmp_path: Path) -> None:
    open_audit(Settings(home=tmp_path)).started()
    told = {"source": "node 7", "site": "north"}
    open_audit(Settings(home=tmp_path, audit=told)).stopped()  # type: ignore[arg-type]
    (file,) = (tmp_path / "audit").iterdir()
    first, second = file.read_text().splitlines()
    assert 'AuditSourceID="PACSNODE"' in first
    assert 'csd-code="110120"' in first
    assert 'AuditEnterpriseSiteID="north" AuditSourceID="node 7"' in second


def test_a_syslog_message_is_framed_by_its_length_in_bytes() -> None:
    line = message(Deed("login", Person("ä", frozenset(), "oidc")), "P", None, NOW)
    length, _, rest = framed(line, "host").partition(b" ")
    assert int(length) == len(rest)
    head = "<85>1 2026-11-28T18:00:00.123Z host pacsnode - DICOM+RFC3881 - \ufeff<AuditMessage>"
    assert rest.decode().startswith(head)
    failed = message(Deed("login", ANNA, outcome="failure"), "P", None, NOW)
    assert b" <84>1 " in b" " + framed(failed, "host").partition(b" ")[2]


def test_a_query_is_told_without_what_was_searched() -> None:
    line = message(Deed("query", ANNA, query="/dicom-web/studies?PatientName="), "P", None, NOW)
    root = ElementTree.fromstring(line)  # noqa: S314  our own
    told = base64.b64decode(next(root.iter("ParticipantObjectQuery")).text or "")
    assert told == b"/dicom-web/studies?PatientName="
