"""The index file: its steps, its damage, its locks, and who may not open it."""

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Connection, inspect

import storage
from storage.archive import Archive, reindex
from storage.errors import IndexFault, StorageFull
from storage.schema import NEWEST, open_database
from storage.tables import metadata, reading, writing
from tests.encoded import encoded
from tests.makers import make_pet

ROOT = Path(__file__).resolve().parents[2]
PET = make_pet()


def _steps() -> Config:
    config = Config()
    folder = Path(storage.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    return config


def _filled(root: Path) -> Path:
    with Archive.open(root) as archive:
        for one in PET:
            archive.keep(encoded(one), transfer_syntax_uid=ExplicitVRLittleEndian)
    return root / "index.sqlite"


def test_the_steps_build_what_the_tables_say(tmp_path: Path) -> None:
    database = open_database(tmp_path / "index.sqlite")
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.dispose()


def test_the_newest_step_is_the_one_the_program_knows() -> None:
    assert ScriptDirectory.from_config(_steps()).get_current_head() == NEWEST


def test_every_step_goes_down_and_up_again(tmp_path: Path) -> None:
    database = open_database(tmp_path / "index.sqlite")
    config = _steps()
    with writing(database) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(database).get_table_names() == ["alembic_version"]
    database.dispose()
    database = open_database(tmp_path / "index.sqlite")
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.dispose()


def test_stepping_leaves_the_programs_logging_alone(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger("storage").disabled
    open_database(tmp_path / "index.sqlite").dispose()
    assert (logging.getLogger().handlers[:], logging.getLogger("storage").disabled) == before


def test_commits_are_durable_and_readers_do_not_wait(tmp_path: Path) -> None:
    database = open_database(tmp_path / "index.sqlite")
    asked = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
    with reading(database) as connection:
        for pragma, value in asked.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    with writing(database), reading(database) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM instance").scalar() == 0
    database.dispose()


def test_an_index_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path / "index.sqlite").dispose()
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(IndexFault, match=r"9999.*newer.*reindex"):
        open_database(tmp_path / "index.sqlite")


@pytest.mark.parametrize("damage", ["garbage", "cut in the middle", "bits flipped", "empty page"])
def test_a_damaged_index_is_refused_and_reindex_cures_it(tmp_path: Path, damage: str) -> None:
    index = _filled(tmp_path)
    whole = bytearray(index.read_bytes())
    if damage == "garbage":
        whole[:] = b"this is no database " * 1000
    elif damage == "cut in the middle":
        del whole[len(whole) // 2 :]
    elif damage == "bits flipped":
        for at in range(4096, len(whole), 512):
            whole[at] ^= 0xFF
    else:
        whole[4096:8192] = bytes(4096)
    index.write_bytes(whole)
    with pytest.raises(IndexFault, match="reindex"):
        Archive.open(tmp_path)
    assert reindex(tmp_path)["kept"] == len(PET)
    with Archive.open(tmp_path) as archive:
        assert archive.counts()["kept"] == len(PET)


def test_a_lost_log_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    code = (
        "import sys, os, pathlib\n"
        "from storage.archive import Archive\n"
        "archive = Archive.open(pathlib.Path(sys.argv[1]))\n"
        "for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):\n"
        "    archive.keep(path.read_bytes(), transfer_syntax_uid='1.2.840.10008.1.2.1')\n"
        "os._exit(9)\n"  # no closing: the last rows are in the log alone
    )
    (tmp_path / "in").mkdir()
    for number, one in enumerate(PET):
        (tmp_path / "in" / str(number)).write_bytes(encoded(one))
    died = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "archive"), str(tmp_path / "in")],
        cwd=ROOT, check=False,
    )  # fmt: skip
    assert died.returncode == 9
    log = tmp_path / "archive" / "index.sqlite-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 3])
    with Archive.open(tmp_path / "archive") as archive:
        assert archive.counts()["kept"] == len(PET)


def test_a_locked_index_waits_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.schema.BUSY_MS", 300)
    with Archive.open(tmp_path) as archive:
        other = sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(IndexFault, match="locked") as caught:
            archive.keep(encoded(PET[0]), transfer_syntax_uid=ExplicitVRLittleEndian)
        assert caught.value.retryable
        held = threading.Timer(0.1, other.rollback)
        other_thread = sqlite3.connect(tmp_path / "index.sqlite", check_same_thread=False)
        other.rollback()
        other.close()
        other_thread.execute("BEGIN IMMEDIATE")
        held = threading.Timer(0.1, other_thread.rollback)
        held.start()
        kept = archive.keep(encoded(PET[0]), transfer_syntax_uid=ExplicitVRLittleEndian)
        held.join()
        other_thread.close()
        assert kept.outcome == "new"


def test_a_full_index_is_said_so(tmp_path: Path) -> None:
    database = open_database(tmp_path / "index.sqlite")
    with reading(database) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    table = "CREATE TABLE more AS SELECT zeroblob(1000000)"
    with pytest.raises(StorageFull), writing(database) as connection:
        _without_room(connection, pages).exec_driver_sql(table)
    database.dispose()


def _without_room(connection: Connection, pages: int | None) -> Connection:
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    return connection


def test_processes_that_start_together_make_one_index(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from storage.archive import Archive\n"
        "with Archive.open(pathlib.Path(sys.argv[1])) as archive:\n"
        "    print(archive.counts()['kept'])\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "new")],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    told = [one.communicate(timeout=60) for one in started]
    assert [(out, err) for out, err in told] == [("0\n", "")] * 4


def test_looking_at_an_index_of_today_loads_no_alembic(tmp_path: Path) -> None:
    _filled(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from storage.archive import Archive\n"
        "with Archive.open(pathlib.Path(sys.argv[1]), check=False) as archive:\n"
        "    print(archive.counts()['kept'], 'alembic' in sys.modules)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == [str(len(PET)), "False"]


def test_a_rebuild_wants_the_archive_alone(tmp_path: Path) -> None:
    _filled(tmp_path)
    with Archive.open(tmp_path), pytest.raises(IndexFault, match="stop the node"):
        reindex(tmp_path)
    began = time.monotonic()
    assert reindex(tmp_path)["kept"] == len(PET)
    assert time.monotonic() - began < 30
