"""What deploy/ ships can be used as it stands."""

import configparser
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from pacsnode.settings import Settings, known_keys, read_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def test_the_example_settings_are_valid() -> None:
    settings = read_settings(DEPLOY / "node.toml")
    assert [peer.ae_title for peer in settings.listen.peers] == ["SCANNER", "WORKSTATION"]
    assert settings.destinations[0].port == 104


def test_the_unit_starts_the_command_that_exists_and_guards_the_import_path() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "pacsnode.service")
    assert unit["Service"]["ExecStart"].split()[1:3] == ["serve", "--config"]
    assert unit["Service"]["Environment"] == "PYTHONSAFEPATH=1"
    assert unit["Service"]["StateDirectory"] == "pacsnode"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as systemd would find it, with a program that is there."""
    unit = tmp_path / "pacsnode.service"
    text = (DEPLOY / "pacsnode.service").read_text("utf-8")
    unit.write_text(text.replace("/opt/pacsnode/.venv/bin/pacsnode", "/bin/true"), "utf-8")
    return unit


def _systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("gpu", [False, True])
def test_systemd_accepts_the_unit(unit: Path, gpu: bool) -> None:
    if gpu:
        drop_in = unit.with_name("pacsnode.service.d") / "gpu.conf"
        drop_in.parent.mkdir()
        drop_in.write_text((DEPLOY / "pacsnode-gpu.conf").read_text("utf-8"), "utf-8")
    verdict = _systemd_analyze("verify", str(unit))
    complaints = [line for line in verdict.stderr.splitlines() if "pacsnode.service" in line]
    assert complaints == []


def test_systemd_calls_the_unit_well_guarded(unit: Path) -> None:
    """The figure that docs/guide/running.md tells, or better."""
    verdict = _systemd_analyze("security", "--offline=true", "--no-pager", str(unit))
    if "unrecognized option" in verdict.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit offline")
    exposure = re.search(r"Overall exposure level for pacsnode.service: ([\d.]+)", verdict.stdout)
    assert exposure, verdict.stderr
    page = (ROOT / "docs" / "guide" / "running.md").read_text("utf-8")
    told = re.search(r"exposure level ([\d.]+)", page)
    assert told
    assert float(exposure[1]) <= float(told[1])


def test_the_example_settings_explain_every_key() -> None:
    """Set or commented out, in its own section, with words beside or above it."""
    explained = set(_explained((DEPLOY / "node.toml").read_text("utf-8")))
    tables = {key for key in known_keys() if any(f"{key}." in other for other in known_keys())}
    missing = sorted(set(known_keys()) - tables - explained)
    assert missing == [], f"deploy/node.toml does not explain: {', '.join(missing)}"
    unknown = sorted(explained - set(known_keys()))
    assert unknown == [], f"deploy/node.toml explains what is no setting: {', '.join(unknown)}"


def _explained(text: str) -> Iterator[str]:
    section, above = "", ""
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if match := re.fullmatch(r"\[{1,2}([\w.]+)\]{1,2}", bare.strip()):
            section = match[1] + "."
        elif (match := re.match(r"(\w+) = ", bare)) and ("#" in bare or above.startswith("#")):
            yield section + match[1]
        above = line


def test_a_commented_default_is_the_default() -> None:
    """Or an example, where there is none."""
    defaults = dict(_defaults(Settings()))
    wrong = []
    for key, value in _commented((DEPLOY / "node.toml").read_text("utf-8")):
        default = defaults.get(key)
        if default not in (None, (), value):
            wrong.append(f"{key} = {value!r}, but the default is {default!r}")
    assert wrong == []


def _defaults(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _defaults(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _commented(text: str) -> Iterator[tuple[str, object]]:
    section = ""
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if match := re.fullmatch(r"\[{1,2}([\w.]+)\]{1,2}", bare.strip()):
            section = match[1] + "."
        elif line.startswith("# ") and re.match(r"\w+ = ", bare):
            ((name, value),) = tomllib.loads(bare).items()
            yield section + name, value
