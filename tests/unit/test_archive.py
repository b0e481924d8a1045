"""Keeping: byte for byte, once, by many at a time, whatever a peer sends and wherever we die."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from sqlalchemy import select

from pacsnode import log
from storage.archive import Archive
from storage.errors import IndexFault, Mismatch, Unkeepable
from storage.header import Header
from storage.header.part10 import open_part10
from storage.records import Kept, Reference
from storage.tables import metadata, reading
from tests.encoded import encoded, part10_bytes
from tests.makers import make_pet

ROOT = Path(__file__).resolve().parents[2]
SLICES = make_pet()
BODIES = [encoded(one) for one in SLICES]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


def keep(archive: Archive, body: bytes, syntax: str = ExplicitVRLittleEndian) -> Kept:
    return archive.keep(body, transfer_syntax_uid=syntax, calling_ae="SENDER")


def objects_of(archive: Archive) -> list[Path]:
    return sorted((archive.root / "objects").rglob("*.dcm"))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_objects_are_kept_byte_for_byte(archive: Archive, syntax: str) -> None:
    body = encoded(SLICES[0], syntax)
    kept = keep(archive, body, syntax)
    assert kept.outcome == "new"
    whole = kept.instance.path.read_bytes()
    part10 = open_part10(whole)
    assert whole[part10.dataset_start :] == body
    assert part10.transfer_syntax_uid == syntax
    found = archive.instance(SLICES[0].SOPInstanceUID)
    assert found is not None
    assert (found.sha256, found.calling_ae, found.standing) == (
        kept.instance.sha256, "SENDER", "kept",
    )  # fmt: skip
    assert found.received_at == kept.instance.received_at
    assert dict(found.attributes) == dict(kept.instance.attributes)
    assert found.references == kept.instance.references


def test_a_judge_sees_the_header_before_anything_is_kept(archive: Archive) -> None:
    def judge(header: Header) -> None:
        raise LookupError(header.sop_instance_uid)

    with pytest.raises(LookupError, match=SLICES[0].SOPInstanceUID):
        archive.keep(BODIES[0], transfer_syntax_uid=ExplicitVRLittleEndian, judge=judge)
    assert (objects_of(archive), archive.counts()["kept"]) == ([], 0)


def test_the_same_again_is_a_no_op_through_either_door(archive: Archive, tmp_path: Path) -> None:
    keep(archive, BODIES[0])
    before = {path: path.stat().st_mtime_ns for path in objects_of(archive)}
    (tmp_path / "file.dcm").write_bytes(part10_bytes(SLICES[0]))
    (tmp_path / "bare.dcm").write_bytes(BODIES[0])
    outcomes = [
        keep(archive, BODIES[0]).outcome,
        archive.keep_file(tmp_path / "file.dcm").outcome,
        archive.keep_file(tmp_path / "bare.dcm").outcome,
    ]
    assert outcomes == ["same"] * 3
    assert {path: path.stat().st_mtime_ns for path in objects_of(archive)} == before
    assert archive.counts() == {"kept": 1, "header-differs": 0, "quarantined": 0, "studies": 1}


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_storing_twice_equals_once(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    with Archive.open(tmp_path_factory.mktemp("archive")) as archive:
        outcomes = Counter(keep(archive, BODIES[index]).outcome for index in order)
        assert outcomes["new"] == len(set(order)) == archive.counts()["kept"]
        assert outcomes["same"] == len(order) - len(set(order))


def test_a_lost_file_is_put_back_by_the_next_sender(archive: Archive) -> None:
    kept = keep(archive, BODIES[0])
    before = kept.instance.path.read_bytes()
    kept.instance.path.unlink()
    assert keep(archive, BODIES[0]).outcome == "same"
    assert kept.instance.path.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "rotten", "head", "empty"])
def test_a_damaged_file_is_put_right_by_the_next_sender(archive: Archive, damage: str) -> None:
    path = keep(archive, BODIES[0]).instance.path
    before = path.read_bytes()
    rotten = {
        "cut": before[:-300], "rotten": before[:-300] + b"\x01" + before[-299:],
        "head": bytes(200) + before[200:], "empty": b"",
    }[damage]  # fmt: skip
    assert rotten != before
    path.write_bytes(rotten)
    assert keep(archive, BODIES[0]).outcome == "same"
    assert path.read_bytes() == before
    assert len(objects_of(archive)) == 1


@pytest.mark.parametrize("wrong", ["sop_class_uid", "sop_instance_uid"])
def test_the_command_must_name_what_the_dataset_is(archive: Archive, wrong: str) -> None:
    named = {
        "sop_class_uid": SLICES[0].SOPClassUID,
        "sop_instance_uid": SLICES[0].SOPInstanceUID,
    }
    right, other = Reference(**named), Reference(**(named | {wrong: "1.2.3"}))
    with pytest.raises(Mismatch):
        archive.keep(BODIES[0], transfer_syntax_uid=ExplicitVRLittleEndian, expected=other)
    assert objects_of(archive) == []
    archive.keep(BODIES[0], transfer_syntax_uid=ExplicitVRLittleEndian, expected=right)


def test_cuts_are_never_kept(archive: Archive) -> None:
    dice = random.Random(7)
    body = encoded(make_pet(SeriesDescription="x" * 64)[0])
    for length in sorted(dice.sample(range(len(body)), 400)):
        with pytest.raises(Unkeepable):
            keep(archive, body[:length])
    assert objects_of(archive) == []
    assert archive.counts()["kept"] == 0


def _hostile_uids() -> list[str]:
    dice = random.Random(11)
    pieces = [
        "..", "/", "\\", "1", "2.25", "\0", "~", "C:", "%2e", "\u0661", "\u202e", "a", ".", "-",
        "*", "'", ";touch x", "$(id)", "|", "\n", "\r", " ", "\x1b[2J", "etc", "é",
    ]  # fmt: skip
    fixed = ["../../etc/passwd", "../../../../tmp/evil", "/abs/path", "1.2.3;touch x", "1" * 65]
    made = ["".join(dice.choices(pieces, k=dice.randint(1, 12))) for _ in range(1400)]
    return [*fixed, *(one for one in made if one.strip(" \0"))][:1000]


def test_no_uid_of_a_peer_ever_becomes_a_path(archive: Archive, tmp_path: Path) -> None:
    outside = sorted(path for path in tmp_path.rglob("*") if archive.root not in path.parents)
    above = sorted(tmp_path.parent.iterdir())
    hostile = _hostile_uids()
    assert len(hostile) == 1000
    keywords = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID")
    for number, text in enumerate(hostile):
        value = str(SLICES[0][keywords[number % 4]].value)
        tag = {0: b"\x08\x00\x18\x00", 1: b"\x20\x00\x0d\x00", 2: b"\x20\x00\x0e\x00",
               3: b"\x08\x00\x16\x00"}[number % 4]  # fmt: skip
        raw = text.encode("utf-8")
        raw += b"\0" * (len(raw) % 2)
        at = BODIES[0].index(tag + b"UI")
        old = 8 + len(value) + len(value) % 2
        body = (
            BODIES[0][:at] + tag + b"UI" + len(raw).to_bytes(2, "little") + raw
            + BODIES[0][at + old :]
        )  # fmt: skip
        said = ""
        try:
            keep(archive, body)
        except Unkeepable as exc:
            said = str(exc)
        assert said.isprintable()
        assert said.isascii()
    assert sorted(p for p in tmp_path.rglob("*") if archive.root not in p.parents) == outside
    assert sorted(tmp_path.parent.iterdir()) == above
    assert all(len(path.stem) == 64 for path in objects_of(archive))


def test_many_senders_of_the_same_objects(archive: Archive) -> None:
    with ThreadPoolExecutor(20) as senders:
        outcomes = Counter(
            kept.outcome for kept in senders.map(lambda n: keep(archive, BODIES[n % 8]), range(160))
        )
    assert outcomes == {"new": 8, "same": 152}
    assert archive.counts() == {"kept": 8, "header-differs": 0, "quarantined": 0, "studies": 1}
    assert len(objects_of(archive)) == 8
    assert archive.changed_since(0) == (8, (SLICES[0].StudyInstanceUID,))


def test_several_processes_share_an_archive(archive: Archive, tmp_path: Path) -> None:
    for number, body in enumerate(BODIES):
        (tmp_path / f"{number}.bin").write_bytes(body)
    code = (
        "import sys, pathlib\n"
        "from storage.archive import Archive\n"
        "with Archive.open(pathlib.Path(sys.argv[1])) as archive:\n"
        "    for path in sys.argv[2:]:\n"
        "        body = pathlib.Path(path).read_bytes()\n"
        "        kept = archive.keep(body, transfer_syntax_uid='1.2.840.10008.1.2.1')\n"
        "        print(kept.outcome)\n"
    )
    paths = [str(tmp_path / f"{number}.bin") for number in range(8)]
    command = [sys.executable, "-c", code, str(archive.root)]
    running = [
        subprocess.Popen([*command, *order], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for order in (paths, paths[::-1], paths[4:] + paths[:4])
    ]
    outcomes = Counter(line for one in running for line in one.communicate(timeout=60)[0].split())
    assert [one.returncode for one in running] == [0, 0, 0]
    assert outcomes == {"new": 8, "same": 16}
    assert archive.counts()["kept"] == 8


def test_a_file_without_a_row_is_adopted_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(tmp_path) as archive:
        with monkeypatch.context() as dying:
            dying.setattr(archive._catalog, "add", lambda _entry: (_ for _ in ()).throw(KeyError))
            with pytest.raises(KeyError):
                keep(archive, BODIES[0])
        assert archive.instance(SLICES[0].SOPInstanceUID) is None
        assert len(objects_of(archive)) == 1
    with Archive.open(tmp_path) as archive:
        found = archive.instance(SLICES[0].SOPInstanceUID)
        assert found is not None
        assert found.calling_ae == "SENDER"
        assert keep(archive, BODIES[0]).outcome == "same"


def test_a_number_beyond_what_the_index_holds_is_none(tmp_path: Path) -> None:
    body = encoded(make_pet(SeriesNumber="11111111111")[0])
    body = body.replace(b"IS\x0c\x0011111111111 ", b"IS\x14\x00" + b"9" * 20)
    with Archive.open(tmp_path) as archive:
        assert keep(archive, body).outcome == "new"
    (tmp_path / "index.sqlite").unlink()
    with Archive.open(tmp_path) as archive:
        found = archive.instance(SLICES[0].SOPInstanceUID)
        assert found is not None
        assert "SeriesNumber" not in found.attributes


def test_a_damaged_file_is_not_adopted(tmp_path: Path) -> None:
    with Archive.open(tmp_path) as archive:
        path = keep(archive, BODIES[0]).instance.path
    (tmp_path / "index.sqlite").unlink()
    rotten = bytearray(path.read_bytes())
    rotten[-100] ^= 1
    path.write_bytes(rotten)
    stream = io.StringIO()
    log.set_up(stream=stream)
    with Archive.open(tmp_path) as archive:
        (line,) = (json.loads(one) for one in stream.getvalue().splitlines())
        assert (line["event"], line["sha256"]) == ("object-not-adopted", path.stem)
        assert "damaged" in line["reason"]
        assert archive.counts()["kept"] == 0
        assert keep(archive, BODIES[0]).outcome == "new"


SENDER = """
import sys, pathlib
from storage.archive import Archive
with Archive.open(pathlib.Path(sys.argv[1])) as archive:
    for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
        kept = archive.keep(path.read_bytes(), transfer_syntax_uid="1.2.840.10008.1.2.1")
        print(kept.instance.sha256, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    dice = random.Random(3)
    (tmp_path / "in").mkdir()
    for number in range(8):
        for k, one in enumerate(make_pet(series=f"pet {number}")):
            one.SOPInstanceUID = f"2.25.1{number}{k}"
            (tmp_path / "in" / f"{number}{k}").write_bytes(encoded(one))
    acknowledged: set[str] = set()
    for _ in range(4):
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, str(tmp_path / "archive"), str(tmp_path / "in")],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert sender.stdout is not None
        acknowledged.add(sender.stdout.readline().strip())
        time.sleep(dice.random() * 0.2)
        sender.send_signal(signal.SIGKILL)
        acknowledged.update(sender.stdout.read().split())
        sender.wait()
        sender.stdout.close()
    assert acknowledged
    with Archive.open(tmp_path / "archive") as archive:
        known = {
            instance.sha256: instance
            for row in archive.studies()
            for study in [archive.study(row.study_instance_uid)]
            if study is not None
            for series in study.series
            for instance in series.instances
        }
        assert acknowledged <= set(known)
        assert {path.stem for path in objects_of(archive)} == set(known)
        assert list((archive.root / "incoming").iterdir()) == []
        for instance in known.values():
            assert archive.keep_file(instance.path).outcome == "same"


def test_the_malformed_corpus_is_kept_or_refused(data: Path, archive: Archive) -> None:
    outcomes: Counter[str] = Counter()
    for path in sorted((data / "malformed").rglob("*")):
        if path.is_file():
            try:
                outcomes[archive.keep_file(path).outcome] += 1
            except Unkeepable:
                outcomes["refused"] += 1
    assert outcomes.total() >= 111
    assert archive.counts()["kept"] == outcomes["new"]


def test_big_objects_are_not_copied_many_times_over(archive: Archive) -> None:
    import numpy as np

    big = make_pet(np.zeros((1, 2048, 4096)))[0]
    body = encoded(big)
    tracemalloc.start()
    keep(archive, body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(body) / 4


def test_a_key_of_another_archive_is_noticed(tmp_path: Path) -> None:
    with Archive.open(tmp_path) as archive:
        first = keep(archive, BODIES[0]).instance
    assert first.patient_id_digest is not None
    assert (tmp_path / "digest.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "digest.key").write_bytes(os.urandom(32))
    with pytest.raises(IndexFault, match="reindex"):
        Archive.open(tmp_path)


def test_patients_are_compared_and_not_told(archive: Archive) -> None:
    def kept(name: str, **patient: str) -> tuple[str | None, str | None]:
        made: Dataset = make_pet(series=name, **patient)[0]
        made.SOPInstanceUID = f"2.25.{sum(name.encode())}"
        instance = keep(archive, encoded(made)).instance
        return instance.patient_id_digest, instance.patient_name_digest

    one = kept("a", PatientID="P1", PatientName="Doe^Jane", PatientBirthDate="19500101")
    assert kept("b", PatientID="P1 ", PatientName="DOE^Jane^^", PatientBirthDate="19500101") == one
    other = kept("c", PatientID="P2", PatientName="Doe^Jane", PatientBirthDate="19510101")
    assert other[0] != one[0]
    assert other[1] != one[1]
    assert kept("d", PatientID="", PatientName="Doe^Jane", PatientBirthDate="") == (None, None)
    # what queries ask of studies has a table of its own; nothing else names a patient
    with reading(archive._database) as connection:
        told = {
            table.name: str(connection.execute(select(table)).all())
            for table in metadata.sorted_tables
        }
    assert {name for name, rows in told.items() if "doe" in rows.lower()} == {"study"}
