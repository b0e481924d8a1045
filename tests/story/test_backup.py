"""The commands of the guide, on a node that runs: what is restored elsewhere is what was there."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.archive import Archive
from tests.encoded import encoded
from tests.makers import make_ct
from tests.peers import Receiver
from tests.story.small import settings_for, site, small_study
from tests.wire.browser import serving

pytestmark = [pytest.mark.slow, pytest.mark.wire]

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "running.md"
EXPLICIT = "1.2.840.10008.1.2.1"


def commands_under(heading: str) -> str:
    """The shell commands of a section of the guide."""
    section = GUIDE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


def run(commands: str, **places: Path) -> None:
    """As a person types them, with paths of ours in the place of the guide's."""
    for told, ours in places.items():
        commands = commands.replace(f"/{told.replace('_', '/')}", str(ours))
    commands = commands.replace("/opt/pacsnode/.venv/bin", str(Path(sys.executable).parent))
    commands = re.sub(r"^(systemctl|chown) .*$", "true", commands, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euc", commands], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def storing(archive: Archive) -> Iterator[list[bytes]]:
    """Objects that keep coming while the block runs; gives those that were acknowledged."""
    stopped, kept = threading.Event(), list[bytes]()

    def store() -> None:
        number = 0
        while not stopped.is_set():
            for one in make_ct(study=f"meanwhile {number}"):
                archive.keep(encoded(one), transfer_syntax_uid=EXPLICIT, calling_ae="SENDER")
                kept.append(encoded(one))
            number += 1

    thread = threading.Thread(target=store)
    thread.start()
    try:
        yield kept
    finally:
        stopped.set()
        thread.join(30)


def test_a_running_node_is_backed_up_and_goes_on_elsewhere(tmp_path: Path) -> None:
    home, backup, elsewhere = tmp_path / "home", tmp_path / "backup", tmp_path / "elsewhere"
    study = small_study("backed up")
    with Receiver() as receiver:
        with site(settings_for(home, receiver)) as before:
            before.send(study.everything)
            before.work_until(lambda: before.state(study) == "delivered", what="its delivery")
            lines = before.lines(study)
            with storing(before.archive) as kept:
                for _ in range(2):  # the second adds to the first
                    run(commands_under("Backup"), var_lib_pacsnode=home, backup_pacsnode=backup)
            assert kept, "nothing came meanwhile: the test proves less than it says"
            instances = [
                one for series in before.archive.study(study.study_uid).series  # type: ignore[union-attr]
                for one in series.instances
            ]  # fmt: skip
        delivered = len(receiver.arrived)
        assert not list(backup.rglob("*.part")), "objects in the making are none"
        run(commands_under("Restore"), var_lib_pacsnode=elsewhere, backup_pacsnode=backup)
        with site(settings_for(elsewhere, receiver)) as after:
            assert after.lines(study) == lines
            after.work_for(1.5)
            assert len(receiver.arrived) == delivered, "a report was sent once more"
            assert after.state(study) == "delivered"
    with Archive.open(elsewhere / "archive") as archive, serving(archive, elsewhere) as web:
        told = web.ask(f"/studies/{study.study_uid}/instances", "application/dicom+json").json()
        assert len(told) == len(instances) == 14  # and the report
        for one in instances:
            path = (
                f"/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
                f"/instances/{one.sop_instance_uid}"
            )
            answer = web.ask(path, "application/dicom; transfer-syntax=*")
            assert answer.status == 200
            assert answer.body.endswith(encoded_of(one.path))
        restored = archive.instance(study.mask_uid)
        assert restored is not None
        assert restored.patient_id_digest == instances[0].patient_id_digest


def encoded_of(path: Path) -> bytes:
    """The dataset of a kept file."""
    from storage.files import read_part10

    whole, part10 = read_part10(path)
    return whole[part10.dataset_start :]


def test_the_old_index_is_no_part_of_a_restore(tmp_path: Path) -> None:
    """Files alone are enough: `reindex` makes the index of them."""
    home, elsewhere, backup = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "backup"
    with Archive.open(home / "archive") as archive:
        for one in make_ct(study="without an index"):
            archive.keep(encoded(one), transfer_syntax_uid=EXPLICIT, calling_ae="SENDER")
        count = archive.counts()["kept"]
        run(commands_under("Backup"), var_lib_pacsnode=home, backup_pacsnode=backup)
    (backup / "archive" / "index.sqlite").unlink()
    run(commands_under("Restore"), var_lib_pacsnode=elsewhere, backup_pacsnode=backup)
    with Archive.open(elsewhere / "archive") as archive:
        assert archive.counts()["kept"] == count
