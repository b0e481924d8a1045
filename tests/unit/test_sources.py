"""What the inputs of a replay come down to: folders, files, archives, DICOMDIRs, and traps."""

import bz2
import errno
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pacsnode.replay import unpacking
from pacsnode.replay.run import Outcome
from pacsnode.replay.sources import NotRead, Source, files_of
from pacsnode.replay.unpacking import BadArchive, kind_of_archive, unpack
from tests.conftest import find_peer
from tests.makers import make_pet, save


@pytest.fixture
def objects(tmp_path: Path) -> list[Path]:
    return save(make_pet(), tmp_path / "in" / "pet")


def _contents(found: list[Source | NotRead]) -> list[bytes]:
    return sorted(one.path.read_bytes() for one in found if isinstance(one, Source))


def _read(inputs: list[Path], tmp_path: Path) -> list[Source | NotRead]:
    return list(files_of(inputs, tmp_path / "out"))


def test_a_folder_a_file_and_every_archive_give_the_same_objects(
    objects: list[Path], tmp_path: Path
) -> None:
    expected = sorted(path.read_bytes() for path in objects)
    assert _contents(_read([tmp_path / "in"], tmp_path)) == expected
    assert _contents(_read(objects, tmp_path)) == expected
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in objects:
            archive.write(path, f"deep/er/{path.name}")
    for ending, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")):
        with tarfile.open(tmp_path / f"a{ending}", mode) as tar:
            tar.add(tmp_path / "in", arcname="study")
    for archive_path in sorted(tmp_path.glob("a.*")):
        found = _read([archive_path], tmp_path)
        assert _contents(found) == expected, archive_path
        origins = [one.origin for one in found]
        assert all(origin.startswith(f"{archive_path}!") for origin in origins)
        assert _read([archive_path], tmp_path) == found  # unpacked once, found again


def test_an_archive_within_a_folder_is_unpacked(objects: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in" / "more.zip", "w") as archive:
        archive.write(objects[0], "one.dcm")
    found = _read([tmp_path / "in"], tmp_path)
    assert sum(isinstance(one, Source) for one in found) == len(objects) + 1


def test_the_same_file_named_twice_counts_once(objects: list[Path], tmp_path: Path) -> None:
    found = _read([tmp_path / "in", objects[0], tmp_path / "in" / "pet"], tmp_path)
    assert len(found) == len(objects)


def test_the_output_folder_and_hidden_files_are_no_inputs(
    objects: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "in" / ".hidden").write_bytes(b"x")
    (tmp_path / "in" / ".folder").mkdir()
    (tmp_path / "in" / ".folder" / "one.dcm").write_bytes(b"x")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "in" / "pet")
    out = tmp_path / "in" / "out"
    out.mkdir()
    (out / "report.dcm").write_bytes(objects[0].read_bytes())
    found = list(files_of([tmp_path / "in"], out))
    assert sum(isinstance(one, Source) for one in found) == len(objects)
    passed = {Path(one.origin).name: one.kind for one in found if isinstance(one, NotRead)}
    assert passed == {".hidden": "hidden", ".folder": "hidden", "linked": "linked-folder"}
    assert all(one.reason for one in found if isinstance(one, NotRead))


def _make_media(objects: list[Path], folder: Path) -> None:
    (folder / "PET").mkdir(parents=True)
    for number, path in enumerate(objects):
        (folder / "PET" / f"IM{number:06d}").write_bytes(path.read_bytes())
    made = subprocess.run(
        [find_peer("dcmmkdir"), "+r", "-Pgp", "-W", "PET"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (folder / "DICOMDIR").is_file(), made.stderr


def test_a_dicomdir_names_its_files(objects: list[Path], tmp_path: Path) -> None:
    _make_media(objects, tmp_path / "media")
    found = _read([tmp_path / "media" / "DICOMDIR"], tmp_path)
    assert len(found) == len(objects)
    assert all(isinstance(one, Source) for one in found)
    found[0].path.unlink()  # type: ignore[union-attr]
    again = _read([tmp_path / "media" / "DICOMDIR"], tmp_path)
    assert [one.reason for one in again if isinstance(one, NotRead)] == [
        "is named in the DICOMDIR and is not there"
    ]
    walked = _read([tmp_path / "media"], tmp_path)
    assert sum(isinstance(one, Source) for one in walked) == len(objects) - 1


@pytest.mark.parametrize("content", [b"", b"DICM" * 100, b"\x00" * 128 + b"DICM"])
def test_a_false_dicomdir_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(content)
    [found] = _read([tmp_path / "DICOMDIR"], tmp_path)
    assert isinstance(found, NotRead)


def test_no_member_leaves_the_folder(tmp_path: Path) -> None:
    names = ["../../escaped", "/etc/escaped-absolute", "a/../../escaped", "C:\\escaped", "ok"]
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"evil")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        device = tarfile.TarInfo("device")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    for archive_path, kind in ((tmp_path / "evil.zip", "zip"), (tmp_path / "evil.tar", "tar")):
        members = list(unpack(archive_path, kind, tmp_path / "out"))
        assert {member.path.read_bytes() for member in members} == {b"evil"}
        for member in members:
            assert member.path.resolve().is_relative_to((tmp_path / "out").resolve())
            assert not member.path.is_symlink()
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before


def test_a_bomb_is_stopped_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "RATIO_COUNTS_FROM", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\x00" * (16 << 20))
    with pytest.raises(BadArchive, match="zip bomb"):
        list(unpack(tmp_path / "bomb.zip", "zip", tmp_path / "out"))
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert written <= 8 << 20
    [found] = _read([tmp_path / "bomb.zip"], tmp_path)
    assert isinstance(found, NotRead)


def test_limits_on_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(4):
            archive.writestr(str(number), b"1234")
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 3)
    with pytest.raises(BadArchive, match="more than 3"):
        list(unpack(tmp_path / "many.zip", "zip", tmp_path / "out"))
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 9)
    monkeypatch.setattr(unpacking, "LARGEST_MEMBER", 3)
    with pytest.raises(BadArchive, match="more bytes"):
        list(unpack(tmp_path / "many.zip", "zip", tmp_path / "out"))
    monkeypatch.undo()
    monkeypatch.setattr(unpacking, "FREE_SPACE_LEFT", 1 << 62)
    with pytest.raises(BadArchive, match="fill the disk"):
        list(unpack(tmp_path / "many.zip", "zip", tmp_path / "out"))


@pytest.mark.parametrize("keep", [10, 0.5, 0.9])
@pytest.mark.parametrize("ending", ["zip", "tar.gz", "tar.xz"])
def test_a_damaged_archive_is_told_not_raised(
    keep: float, ending: str, objects: list[Path], tmp_path: Path
) -> None:
    whole = tmp_path / f"whole.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(whole, "w") as archive:
            archive.write(objects[0])
    else:
        with tarfile.open(whole, f"w:{ending[4:]}") as tar:
            tar.add(objects[0])
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(content[: int(keep if keep > 1 else len(content) * keep)])
    found = _read([cut], tmp_path)
    assert len(found) == 1
    assert isinstance(found[0], NotRead)


def test_shards_that_meet_at_one_archive_both_have_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [f"{number}".encode() for number in range(40)]
    with zipfile.ZipFile(tmp_path / "shared.zip", "w") as archive:
        for content in expected:
            archive.writestr(content.decode(), content)
    copied = unpacking._copy

    def slowly(*told: Any) -> int:
        time.sleep(0.002)
        return copied(*told)

    monkeypatch.setattr(unpacking, "_copy", slowly)
    together = threading.Barrier(4)

    def read(shard: int) -> list[bytes]:
        together.wait()
        time.sleep(0.01 * shard)
        found = unpack(tmp_path / "shared.zip", "zip", tmp_path / "out")
        return [member.path.read_bytes() for member in found]

    with ThreadPoolExecutor(4) as shards:
        assert list(shards.map(read, range(4))) == [expected] * 4
    assert not list((tmp_path / "out").glob("*.part"))


def test_what_a_killed_run_left_half_unpacked_is_not_taken_and_does_not_stay(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(str(number), b"x")
    killed_at_the_second = (
        "import os, sys; from pathlib import Path; from pacsnode.replay import unpacking\n"
        "copied, number = unpacking._copy, iter(range(9))\n"
        "unpacking._copy = lambda *told: copied(*told) if next(number) < 1 else os._exit(9)\n"
        "list(unpacking.unpack(Path(sys.argv[1]), 'zip', Path(sys.argv[2])))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", killed_at_the_second, tmp_path / "a.zip", tmp_path / "out"],
        check=False,
    )
    assert ended.returncode == 9
    assert list((tmp_path / "out").glob("*.part"))
    assert len(list(unpack(tmp_path / "a.zip", "zip", tmp_path / "out"))) == 3
    assert not list((tmp_path / "out").glob("*.part"))


def test_a_file_says_of_which_kind_its_fault_is(
    objects: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and no more")
    damaged = bytearray(bz2.compress(objects[0].read_bytes()))
    damaged[len(damaged) // 2 :] = b"\xff" * 99
    (tmp_path / "bad.tar.bz2").write_bytes(damaged)
    for name in ("bad.zip", "bad.tar.bz2"):
        [found] = _read([tmp_path / name], tmp_path)
        assert isinstance(found, NotRead)
        assert found.kind == "bad-archive"
        assert "None" not in found.reason
    (tmp_path / "in" / "DICOMDIR").write_bytes(b"")
    (tmp_path / "in" / "directory of nothing").symlink_to(tmp_path / "nowhere")
    kinds = [one.kind for one in _read([tmp_path / "in"], tmp_path) if isinstance(one, NotRead)]
    assert kinds == ["not-dicom", "unreadable"]

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(unpacking, "_copy", full)
    with tarfile.open(tmp_path / "fine.tar", "w") as tar:
        tar.add(objects[0])
    [found] = _read([tmp_path / "fine.tar"], tmp_path)
    assert isinstance(found, NotRead)
    assert (found.kind, found.reason) == ("disk-fault", "cannot be read: No space left on device")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_an_archive_with_a_damaged_name_is_told(objects: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "named.zip", "w") as opened:
        opened.write(objects[0], "Kn\u00f6chel.dcm")
    content = (tmp_path / "named.zip").read_bytes()
    place = content.rindex("\u00f6".encode())
    (tmp_path / "named.zip").write_bytes(content[:place] + b"\xff\xff" + content[place + 2 :])
    [found] = _read([tmp_path / "named.zip"], tmp_path)
    assert isinstance(found, NotRead)
    assert found.kind == "bad-archive"


def test_a_path_that_is_not_utf_8_is_told_and_no_other_file_suffers(
    objects: list[Path], tmp_path: Path
) -> None:
    os.rename(objects[0], os.fsencode(objects[0].parent) + b"/Kn\xf6chel.dcm")  # noqa: PTH104 bytes
    found = _read([tmp_path / "in"], tmp_path)
    assert len(found) == len(objects)
    [told] = [one for one in found if isinstance(one, NotRead)]
    assert told.kind == "bad-path"
    assert told.origin == str(objects[0].parent / "Kn\\udcf6chel.dcm")
    with tarfile.open(tmp_path / "latin.tar", "w", encoding="latin-1") as tar:
        tar.add(objects[1], "Kn\u00f6chel.dcm")
    [member] = _read([tmp_path / "latin.tar"], tmp_path)
    assert isinstance(member, Source)
    member.origin.encode("utf-8")


def test_dicom_whose_preamble_says_zip_is_dicom(objects: list[Path], tmp_path: Path) -> None:
    content = bytearray(objects[0].read_bytes())
    content[:4] = b"PK\x03\x04"
    polyglot = tmp_path / "polyglot.dcm"
    polyglot.write_bytes(content)
    assert kind_of_archive(polyglot) is None


def test_pipes_and_links_to_nothing_are_told_and_waited_for_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "pipe")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "nowhere")
    found = _read([tmp_path / "in"], tmp_path)
    assert [type(one) for one in found] == [NotRead, NotRead]


def test_a_folder_that_cannot_be_listed_fails_the_run(
    objects: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = tmp_path / "in" / "ill"
    ill.mkdir()
    really = os.scandir

    def scandir(path: str) -> Any:
        if Path(path) == ill:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may list every folder
    found = _read([tmp_path / "in"], tmp_path)
    assert len(_contents(found)) == len(objects)
    (fault,) = (one for one in found if isinstance(one, NotRead))
    assert fault == NotRead(str(ill), "disk-fault", "cannot be read: Input/output error")
    request: Any = None
    outcome = Outcome(request, datetime.now(UTC))
    outcome.files.pass_over(fault)
    assert outcome.failed


@pytest.mark.parametrize("asked", ["is_file", "is_symlink", "is_dir"])
def test_what_cannot_be_looked_at_is_told_and_no_other_file_suffers(
    objects: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    shut = tmp_path / "in" / "shut"
    if asked == "is_file":
        shut.write_bytes(b"")
    else:
        shut.mkdir()
    really = getattr(Path, asked)

    def denied(path: Path) -> Any:
        if path == shut:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return really(path)

    monkeypatch.setattr(Path, asked, denied)  # root may look at every file
    inputs = [shut, *objects] if asked == "is_dir" else [tmp_path / "in"]
    found = _read(inputs, tmp_path)
    assert len(_contents(found)) == len(objects)
    told = [one for one in found if isinstance(one, NotRead)]
    assert told == [NotRead(str(shut), "disk-fault", "cannot be read: Permission denied")]
