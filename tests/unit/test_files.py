"""Objects on disk: what is written, in which order, and what a failing disk leaves behind."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from storage import files
from storage.archive import Archive
from storage.errors import DiskFault, StorageFull, Unkeepable
from storage.files import Objects, Receipt, part10_header, read_part10, read_receipt
from tests.conftest import find_peer
from tests.encoded import encoded, part10_bytes
from tests.makers import make_pet

DIGEST = "ab" * 32
PET = make_pet()[0]
POLYGLOTS = {
    "windows program": b"MZ\x90\x00",
    "linux program": b"\x7fELF\x02\x01\x01",
    "zip": b"PK\x03\x04",
    "web page": b"<html><script>alert(1)</script>",
    "shell script": b"#!/bin/sh\nexit 1\n",
    "tiff": b"II*\x00",
}


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    made = Objects(tmp_path)
    made.prepare()
    return made


def _everything_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _receipt(**changes: Any) -> Receipt:
    stated = {
        "received_at": datetime(2024, 1, 2, 3, 4, 5, 678901, UTC),
        "calling_ae": "SENDER",
        "standing": "quarantined",
        "remark": "its pixels differ from the first's",
    }
    return Receipt(**(stated | changes))


def test_a_file_is_private_and_whole(objects: Objects) -> None:
    relative = objects.write(DIGEST, b"meta", b"dataset")
    path = objects.root / relative
    assert path.read_bytes() == b"metadataset"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert _everything_below(objects.root) == [path]
    assert list(objects.digests()) == [DIGEST]


def test_nothing_is_told_before_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            what = name
            if name == "fsync":
                kind = os.fstat(args[0]).st_mode
                what = "fsync folder" if stat.S_ISDIR(kind) else "fsync file"
            result = real(*args, **named)
            told.append(what)
            return result

        return call

    with Archive.open(tmp_path / "archive") as archive:
        monkeypatch.setattr(os, "writev", noted("write", os.writev))
        monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
        monkeypatch.setattr(Path, "rename", noted("rename", Path.rename))
        catalog = archive._catalog
        monkeypatch.setattr(catalog, "add", noted("commit", catalog.add))
        archive.keep(encoded(PET), transfer_syntax_uid=ExplicitVRLittleEndian)
        told.append("told")
    assert told == ["write", "fsync file", "rename", "fsync folder", "commit", "told"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("step", ["writev", "fsync", "rename"])
def test_a_full_disk_is_said_so_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def fails(*_args: Any, **_named: Any) -> Any:
        raise OSError(number, os.strerror(number), "/a/secret/path")

    with Archive.open(tmp_path / "archive") as archive:
        with monkeypatch.context() as broken:
            broken.setattr(Path if step == "rename" else os, step, fails)
            with pytest.raises(StorageFull) as caught:
                archive.keep(encoded(PET), transfer_syntax_uid=ExplicitVRLittleEndian)
        assert caught.value.retryable
        assert "secret" not in str(caught.value)
        assert archive.counts()["kept"] == 0
        assert list((tmp_path / "archive" / "incoming").iterdir()) == []
        assert list((tmp_path / "archive" / "objects").rglob("*.dcm")) == []
        kept = archive.keep(encoded(PET), transfer_syntax_uid=ExplicitVRLittleEndian)
        assert kept.outcome == "new"
        assert kept.instance.path.is_file()


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES])
def test_another_fault_of_the_disk_is_no_lack_of_space(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_args: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DiskFault) as caught:
        objects.write(DIGEST, b"meta", b"dataset")
    assert caught.value.retryable
    assert _everything_below(objects.root) == []


def test_short_writes_are_continued(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev

    def three_bytes(descriptor: int, parts: list[bytes]) -> int:
        return real(descriptor, [bytes(parts[0])[:3]])

    monkeypatch.setattr(os, "writev", three_bytes)
    path = objects.root / objects.write(DIGEST, b"0123456789", b"abcdefgh")
    assert path.read_bytes() == b"0123456789abcdefgh"


def test_the_reserve_is_left_free(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with (
        Archive.open(tmp_path / "archive", reserve_bytes=2 * free) as archive,
        pytest.raises(StorageFull, match="reserve"),
    ):
        archive.keep(encoded(PET), transfer_syntax_uid=ExplicitVRLittleEndian)


def test_a_link_laid_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "new").symlink_to(victim)
    with pytest.raises(FileExistsError):
        files._write_new(tmp_path / "new", (b"theirs",))
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("start", POLYGLOTS.values(), ids=POLYGLOTS.keys())
def test_preambles_are_zeroed(tmp_path: Path, start: bytes) -> None:
    hostile = start.ljust(128, b"\x01") + part10_bytes(PET)[128:]
    (tmp_path / "sent.dcm").write_bytes(hostile)
    with Archive.open(tmp_path / "archive") as archive:
        kept = archive.keep_file(tmp_path / "sent.dcm")
    assert kept.instance.path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert kept.instance.path.read_bytes().endswith(encoded(PET))


@pytest.mark.parametrize(
    "receipt",
    [
        _receipt(),
        _receipt(calling_ae=None, standing="kept", remark=None),
        _receipt(calling_ae="A" * 16, remark="odd" * 33),
    ],
)
def test_group_2_is_read_by_others_and_by_us(objects: Objects, receipt: Receipt) -> None:
    meta = part10_header(PET.SOPClassUID, PET.SOPInstanceUID, ExplicitVRLittleEndian, receipt)
    path = objects.root / objects.write(DIGEST, meta, encoded(PET))
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.MediaStorageSOPInstanceUID == PET.SOPInstanceUID
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.file_meta.get("SourceApplicationEntityTitle") == receipt.calling_ae
    pydicom.dataset.validate_file_meta(dataset.file_meta, enforce_standard=True)
    stated = dataset.file_meta.FileMetaInformationGroupLength
    assert path.read_bytes()[132 + 12 + stated :] == encoded(PET)
    assert read_receipt(path.read_bytes()) == receipt


def test_dcmtk_reads_our_files_without_a_complaint(objects: Objects) -> None:
    meta = part10_header(PET.SOPClassUID, PET.SOPInstanceUID, ExplicitVRLittleEndian, _receipt())
    path = objects.root / objects.write(DIGEST, meta, encoded(PET))
    told = subprocess.run(
        [find_peer("dcmdump"), "+P", "PrivateInformation", "+P", "SOPInstanceUID", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert PET.SOPInstanceUID in told.stdout
    assert told.stderr == ""


def test_a_receipt_of_others_is_none(tmp_path: Path) -> None:
    assert read_receipt(part10_bytes(PET)) is None


def test_a_pipe_or_a_folder_is_no_object(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(Unkeepable):
            read_part10(tmp_path / name)
    with pytest.raises(DiskFault):
        read_part10(tmp_path / "absent")


def test_what_a_crash_left_in_the_making_is_swept_up(objects: Objects) -> None:
    fresh, old = (objects.root / "incoming" / f"{name}.part" for name in ("1-1", "1-2"))
    for piece in (fresh, old):
        piece.write_bytes(b"half an obj")
    os.utime(old, (0, 0))
    assert objects.sweep(alone=False) == 1
    assert fresh.exists()
    assert objects.sweep(alone=True) == 1
    assert not fresh.exists()
