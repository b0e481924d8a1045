"""The index rebuilt from the files alone says what the lost one said."""

import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from sqlalchemy import select

from storage.archive import Archive, reindex
from storage.archive.keeping import Keeper
from storage.errors import StorageFull
from storage.records import Decision, Instance, Kept
from storage.tables import instances, reading
from tests.encoded import encoded
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg

BLOCK = np.zeros((8, 32, 32), bool)
BLOCK[2:5, 10:20, 10:20] = True
SQUARE = [[-20.0, -20.0, 6.0], [4.0, -20.0, 6.0], [4.0, 12.0, 6.0], [-20.0, 12.0, 6.0]]


def _changed(dataset: Dataset, **attributes: Any) -> Dataset:
    copy = deepcopy(dataset)
    for keyword, value in attributes.items():
        setattr(copy, keyword, value)
    return copy


def _fill(archive: Archive) -> None:
    pet, ct = make_pet(PatientID="P1"), make_ct()
    masks = [make_seg({"lesion": BLOCK}, pet), make_rtstruct({"GTV": [SQUARE]}, pet)]
    for number, one in enumerate([*pet, *masks, *ct]):
        archive.keep(
            encoded(one), transfer_syntax_uid=ExplicitVRLittleEndian, calling_ae=f"SENDER {number}"
        )
    conflicts = [
        _changed(pet[0], SeriesDescription="edited"),
        _changed(pet[1], PatientID="P2"),
        _changed(pet[2], PixelData=bytes(len(pet[2].PixelData))),
        _changed(pet[0], SeriesDescription="edited twice"),
    ]
    outcomes = [
        archive.keep(encoded(one, RLELossless), transfer_syntax_uid=RLELossless).outcome
        for one in conflicts
    ]
    assert outcomes == ["header-differs", "quarantined", "quarantined", "header-differs"]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """One filled archive, closed, and its rows."""
    root = tmp_path_factory.mktemp("once") / "archive"
    with Archive.open(root) as archive:
        _fill(archive)
        return root, _rows(archive)


@pytest.fixture
def filled(once: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    shutil.copytree(once[0], tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def before(once: tuple[Path, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows that a rebuilt index must have."""
    return once[1]


def _rows(archive: Archive) -> list[dict[str, Any]]:
    with reading(archive._database) as connection:
        rows = connection.execute(select(instances)).mappings().all()
    return sorted(
        ({key: value for key, value in row.items() if key != "id"} for row in rows),
        key=lambda row: str(row["sha256"]),
    )


def _thawed(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _told(instance: Instance) -> dict[str, Any]:
    return {one.name: _thawed(getattr(instance, one.name)) for one in fields(instance)}


def test_a_rebuilt_index_has_the_same_rows(filled: Path, before: list[dict[str, Any]]) -> None:
    with Archive.open(filled) as archive:
        quarantined = [_told(one) for one in archive.quarantined()]
        masks = [_told(one) for one in archive.masks()]
    assert len(before) == 22
    counted = reindex(filled)
    assert counted == {
        "kept": 18, "header-differs": 2, "quarantined": 2, "studies": 1, "unreadable": 0,
        "decisions": 0,
    }  # fmt: skip
    with Archive.open(filled) as archive:
        assert _rows(archive) == before
        assert [_told(one) for one in archive.quarantined()] == quarantined
        assert sorted(str(_told(one)) for one in archive.masks()) == sorted(map(str, masks))


def test_a_lost_index_rebuilds_itself_at_the_next_start(
    filled: Path, before: list[dict[str, Any]]
) -> None:
    for piece in filled.glob("index.sqlite*"):
        piece.unlink()
    with Archive.open(filled) as archive:
        assert _rows(archive) == before


def test_times_and_senders_survive_a_copy_of_the_files(
    filled: Path, before: list[dict[str, Any]], tmp_path: Path
) -> None:
    restored = tmp_path / "restored"
    for path in (filled / "objects").rglob("*.dcm"):
        copy = restored / path.relative_to(filled)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())  # the times of the files are lost
    (restored / "digest.key").write_bytes((filled / "digest.key").read_bytes())
    reindex(restored)
    with Archive.open(restored) as archive:
        assert _rows(archive) == before


def test_the_journal_is_carried_over_where_it_can_be_read(tmp_path: Path) -> None:
    stamp = datetime(2024, 1, 2, tzinfo=UTC)
    lines = [
        Decision("1.2", "1.2.3", "waiting", "no-pet", ("Nothing yet.",), stamp),
        Decision("1.2", "1.2.3", "ready", "ready", ("All here.",), stamp, {"pet": "1.2.9"}),
    ]
    with Archive.open(tmp_path) as archive:
        for line in lines:
            archive.write_down(line)
    assert reindex(tmp_path)["decisions"] == 2
    with Archive.open(tmp_path) as archive:
        assert [one.code for one in archive.decisions("1.2")] == ["no-pet", "ready"]
        assert archive.decisions("1.2")[1].facts == {"pet": "1.2.9"}
    assert (tmp_path / "index.before.sqlite").is_file()
    (tmp_path / "index.sqlite").write_bytes(b"damaged " * 1000)
    assert reindex(tmp_path)["decisions"] == 0


def test_a_file_nobody_can_read_is_counted_and_left(filled: Path) -> None:
    cut, edited, *_ = sorted((filled / "objects").rglob("*.dcm"))
    cut.write_bytes(cut.read_bytes()[:-10])
    rotten = bytearray(edited.read_bytes())
    rotten[-1] ^= 1
    edited.write_bytes(rotten)
    counted = reindex(filled)
    assert counted["unreadable"] == 2
    assert counted["kept"] + counted["header-differs"] + counted["quarantined"] == 20
    assert cut.is_file()
    assert edited.read_bytes() == rotten


def test_a_file_that_the_program_fails_on_is_counted_and_left(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guilty, *_ = sorted((filled / "objects").rglob("*.dcm"))
    adopt = Keeper.adopt

    def failing(keeper: Keeper, sha256: str) -> Kept:
        if sha256 == guilty.stem:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return adopt(keeper, sha256)

    monkeypatch.setattr(Keeper, "adopt", failing)  # no object is known that breaks it
    counted = reindex(filled)
    assert counted["unreadable"] == 1
    assert counted["kept"] + counted["header-differs"] + counted["quarantined"] == 21
    assert guilty.is_file()


def test_a_full_disk_ends_a_rebuild(
    filled: Path, before: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Kept:
        raise StorageFull("No space for the index")

    with monkeypatch.context() as filling:
        filling.setattr(Keeper, "adopt", full)
        with pytest.raises(StorageFull):
            reindex(filled)
    with Archive.open(filled) as archive:
        assert _rows(archive) == before


def test_an_interrupted_rebuild_can_be_repeated(filled: Path, before: list[dict[str, Any]]) -> None:
    (filled / "index.rebuilding.sqlite").write_bytes(b"half a database")
    (filled / "index.rebuilding.sqlite-wal").write_bytes(b"half a log")
    assert reindex(filled)["kept"] == 18
    with Archive.open(filled) as archive:
        assert _rows(archive) == before


def test_an_index_of_nothing(tmp_path: Path) -> None:
    assert reindex(tmp_path / "new")["kept"] == 0
