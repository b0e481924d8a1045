"""The Dockerfiles: what they install, as whom they run, and that they start a node."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import find_peer
from tests.peers import LOOPBACK, echoscu, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FILES = ("Dockerfile", "Dockerfile.cuda")
Instruction = tuple[str, str]


def instructions(file: str) -> list[Instruction]:
    """Each instruction with its words, its continued lines joined."""
    lines = (DEPLOY / file).read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    split = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [(name, " ".join(words.split())) for name, _, words in split]


def last(file: str, name: str) -> str:
    """The words of the last instruction of that name."""
    return [words for found, words in instructions(file) if found == name][-1]


def stated(file: str) -> Mapping[str, str]:
    """The variables of the image."""
    return dict(word.split("=", 1) for word in last(file, "ENV").split())


def base_version(file: str) -> tuple[int, ...]:
    """The version of Python that every stage begins from."""
    bases = {words.split()[0] for name, words in instructions(file) if name == "FROM"}
    (base,) = bases
    pinned = re.fullmatch(r"python:(\d+)\.(\d+)\.(\d+)-slim-\w+", base)
    assert pinned, base
    return tuple(map(int, pinned.groups()))


@pytest.mark.parametrize("file", FILES)
def test_the_image_is_pinned_and_runs_as_nobody_special(file: str) -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    least = tuple(map(int, required["requires-python"].removeprefix(">=").split(".")))
    assert base_version(file) >= least
    user = last(file, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    added = next(words for name, words in instructions(file) if "useradd" in words)
    assert f"--uid {user.partition(':')[0]} " in added
    assert stated(file)["PYTHONSAFEPATH"] == "1"
    volumes = json.loads(last(file, "VOLUME"))
    assert set(volumes) == {stated(file)["PACSNODE_HOME"], "/tmp"}  # noqa: S108 - the image's
    assert stated(file)["MPLCONFIGDIR"].startswith("/tmp/")  # noqa: S108
    assert last(file, "STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("file", FILES)
def test_pip_and_apt_do_what_readme_and_makefile_do(file: str) -> None:
    ran = " && ".join(words for name, words in instructions(file) if name == "RUN")
    installs = re.findall(r"pip install ([^&]*)", ran)
    # one call, as in the Makefile, so that whatever wants torch is resolved with its cap
    assert len(installs) == 1
    (options,) = installs
    assert options.split()[-1] == "."
    assert "--no-cache-dir" in options
    wanted = [word for word in options.split() if not word.startswith("-")]
    assert not [word for word in wanted if re.match(r"[a-z].*[<>=]", word)], "name it in pyproject"
    indexes = [words for name, words in instructions(file) if name == "ARG"]
    cpu = "CPU_WHEELS=https://download.pytorch.org/whl/cpu"
    assert indexes == ([cpu] if file == "Dockerfile" else [])
    assert ('--extra-index-url "$CPU_WHEELS"' in options) == (file == "Dockerfile")
    # the peers that CONTRIBUTING takes from Debian are for tests: the node needs none of them
    assert "apt" not in ran
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (torch,) = [each for each in project["dependencies"] if each.startswith("torch")]
    assert re.fullmatch(r"torch>=[\d.]+,<[\d.]+", torch)


@pytest.mark.parametrize("file", FILES)
def test_what_is_copied_exists_and_nothing_else_is_sent(file: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for name, words in instructions(file)
        if name == "COPY" and not words.startswith("--from")
        for source in words.split()[:-1]
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {*packages, "pyproject.toml", project["project"]["readme"]} <= copied
    # a pattern names files inside of a folder that is copied whole
    licenses = {path for path in project["project"]["license-files"] if "*" not in path}
    inside = set(project["project"]["license-files"]) - licenses
    assert licenses <= copied
    assert {path.partition("/")[0] for path in inside} <= copied


def test_both_images_and_the_unit_have_the_program_in_the_same_place() -> None:
    unit = (DEPLOY / "pacsnode.service").read_text("utf-8")
    for file in FILES:
        copied = next(words for name, words in instructions(file) if words.startswith("--from"))
        venv = copied.split()[-1]
        assert f"ExecStart={venv}/bin/pacsnode " in unit
        assert stated(file)["PATH"].startswith(f"{venv}/bin:")


@pytest.mark.slow
@pytest.mark.wire
def test_the_start_command_starts_a_node_that_is_healthy_and_stops(tmp_path: Path) -> None:
    variables = stated("Dockerfile")
    (tmp_path / "home").mkdir()
    port, web_port = free_port(), free_port()
    environment = {
        **variables,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),  # the program of this tree
        "HOME": "/nonexistent",
        "PACSNODE_HOME": str(tmp_path / "home"),
        "PACSNODE_WEB__PORT": str(web_port),
        "PACSNODE_LISTEN__PORT": str(port),
    }
    command = json.loads(last("Dockerfile", "ENTRYPOINT")) + json.loads(last("Dockerfile", "CMD"))
    probe = json.loads(last("Dockerfile", "HEALTHCHECK").partition("CMD ")[2])
    for same in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        assert last("Dockerfile", same) == last("Dockerfile.cuda", same)

    def asked() -> int:
        return subprocess.run(probe, env=environment, capture_output=True, check=False).returncode

    assert asked() != 0
    node = subprocess.Popen(
        [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]],
        env=environment, cwd=tmp_path / "home", stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: _is_ready(web_port), within_s=60, what="the node to be ready")
        assert asked() == 0
        assert echoscu(port).returncode == 0
        node.send_signal(getattr(signal, last("Dockerfile", "STOPSIGNAL")))
        assert node.wait(60) == 0
    finally:
        node.kill()
        node.wait()


def _is_ready(web_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{web_port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("file", FILES)
def test_hadolint_has_nothing_to_say(file: str) -> None:
    program = find_peer("hadolint")
    said = subprocess.run([program, DEPLOY / file], capture_output=True, text=True, check=False)
    assert said.stdout == ""
