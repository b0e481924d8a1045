"""The guides for the three users, typed as they stand: route, replay, read."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread

from storage.archive import Archive
from tests.conftest import find_peer
from tests.makers import save
from tests.peers import LOOPBACK, Receiver
from tests.story.small import small_study

pytestmark = [pytest.mark.slow, pytest.mark.wire]

ROOT = Path(__file__).resolve().parents[2]


def commands_in(guide: str, *which: str) -> str:
    """Those lines of a guide's shell blocks that begin so."""
    page = (ROOT / "docs" / "guide" / guide).read_text("utf-8")
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines()
    found = [line for line in lines if line.startswith(which)]
    assert found, f"{guide} shows none of {which}"
    return "\n".join(found)


def typed(commands: str, folder: Path, **variables: str) -> str:
    """What the commands print, typed in a folder; a failed one fails the test."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, capture_output=True, text=True, check=False,
        timeout=110, env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_routing_guide(tmp_path: Path) -> None:
    home = tmp_path / "home"
    study = small_study("routed")
    with Archive.open(home / "archive") as archive:
        for path in save(study.everything, tmp_path / "study"):
            archive.keep_file(path)
    with Receiver() as receiver:
        example = (ROOT / "deploy" / "node.toml").read_text("utf-8")
        changed = example.replace("/var/lib/pacsnode", str(home))
        changed = changed.replace('host = "192.0.2.20"', f'host = "{LOOPBACK}"', 1)
        changed = re.sub(r"(?m)^port = 104\b", f"port = {receiver.port}", changed)
        (tmp_path / "node.toml").write_text(changed, "utf-8")
        said = typed(commands_in("routing.md", "pacsnode check"), tmp_path)
        assert "pacs" in said
    commands = commands_in("routing.md", "pacsnode status", "pacsnode why")
    said = typed(commands.replace("STUDY_UID", study.study_uid), tmp_path, PACSNODE_HOME=str(home))
    assert "13" in said


def test_the_replay_guide_and_the_reading_guide(tmp_path: Path) -> None:
    study = small_study("replayed")
    files = save(study.everything, tmp_path / "cohort")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(files[0], "0.dcm")
    with tarfile.open(tmp_path / "old.tar.xz", "w:xz") as archive:
        archive.add(files[1], "1.dcm")
    (tmp_path / "CD").mkdir()
    (tmp_path / "CD" / "IM000001").write_bytes(files[2].read_bytes())
    typed(f"{find_peer('dcmmkdir')} +r -Pgp -W IM000001", tmp_path / "CD")
    said = typed(commands_in("replay.md", "pacsnode replay"), tmp_path)
    assert "1 reported" in said
    (report,) = [
        path
        for path in (tmp_path / "results").glob("*/*.dcm")
        if dcmread(path, stop_before_pixels=True).Modality == "SR"
    ]
    shown = typed(commands_in("reading.md", "pacsnode show").replace("FILE", str(report)), tmp_path)
    assert "SUVbw" in shown
