"""What deploy/ ships can be used as it stands."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from pacsnode.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_settings_are_valid() -> None:
    settings = read_settings(ROOT / "deploy" / "node.toml")
    assert [peer.ae_title for peer in settings.listen.peers] == ["SCANNER", "WORKSTATION"]
    assert settings.destinations[0].port == 104


def test_the_unit_starts_the_command_that_exists_and_guards_the_import_path() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy" / "pacsnode.service")
    assert unit["Service"]["ExecStart"].split()[1:3] == ["serve", "--config"]
    assert unit["Service"]["Environment"] == "PYTHONSAFEPATH=1"
    assert unit["Service"]["StateDirectory"] == "pacsnode"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "pacsnode.service"
    text = (ROOT / "deploy" / "pacsnode.service").read_text("utf-8")
    unit.write_text(text.replace("/opt/pacsnode/.venv/bin/pacsnode", "/bin/true"), "utf-8")
    verdict = subprocess.run(
        [program, "verify", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in verdict.stderr.splitlines() if "pacsnode.service" in line]
    assert complaints == []
