"""Where tests find real data and real peers, and what happens when they are absent."""

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_PEERS = os.environ.get("PACSNODE_TEST_REQUIRE_PEERS") == "1"
PEERS = (
    "storescu", "storescp", "dsrdump", "Orthanc", "openssl", "dciodvfy", "tid1500reader",
    "chromium",
)  # fmt: skip
DICOM_WEB = "libOrthancDicomWeb.so"
FROM_PACKAGES = ("dciodvfy", "dcentvfy", "hadolint", "tid1500reader")


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a command run inside a test does to the process: its log, its hook for threads."""
    root, own, hook = logging.getLogger(), logging.getLogger("pacsnode"), threading.excepthook
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    logging.captureWarnings(False)
    threading.excepthook = hook


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real test data (its own MANIFEST.md describes it), or a skip that says so."""
    folder = Path(os.environ.get("PACSNODE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.md").is_file():
        message = "real test data is absent: set PACSNODE_TEST_DATA to its folder"
        if REQUIRE_PEERS:
            pytest.fail(message)
        pytest.skip(message)
    return folder


def peer_path(program: str) -> str | None:
    """Where an independent tool lies: beside this Python if it came with a package, else on PATH.

    pynetdicom puts programs named like DCMTK's beside this Python; those are no independent tools.
    """
    beside = str(Path(sys.executable).parent)
    if program in FROM_PACKAGES:
        return shutil.which(program, path=beside) or shutil.which(program)
    folders = [each for each in os.get_exec_path() if each != beside]
    return shutil.which(program, path=os.pathsep.join([*folders, "/usr/sbin", "/usr/local/sbin"]))


def find_peer(program: str) -> str:
    """The path of an independent tool; absent, a skip here and a failure in CI."""
    return peer_path(program) or _absent(program)


def plugin_path(library: str) -> str | None:
    """Where a plugin of Orthanc lies."""
    folders = (Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))
    found = (folder / library for folder in folders if (folder / library).is_file())
    return next(map(str, found), None)


def find_plugin(library: str) -> str:
    """The path of a plugin of Orthanc; absent, a skip here and a failure in CI."""
    return plugin_path(library) or _absent(library)


def ohif_path() -> Path | None:
    """Where a built OHIF lies: the folder that PACSNODE_TEST_OHIF names, else one in the cache."""
    kept = Path.home() / ".cache" / "pacsnode" / "ohif" / "package" / "dist"
    folder = Path(os.environ.get("PACSNODE_TEST_OHIF", kept))
    return folder if (folder / "index.html").is_file() else None


def find_ohif() -> Path:
    """The folder of a built OHIF; absent, a skip here and a failure in CI."""
    return ohif_path() or _absent("a built OHIF (PACSNODE_TEST_OHIF)")


def pixelmed_jar() -> Path | None:
    """PixelMed's toolkit: named by PACSNODE_TEST_PIXELMED, else where Debian installs it."""
    jar = Path(os.environ.get("PACSNODE_TEST_PIXELMED", "/usr/share/java/pixelmed.jar"))
    return jar if jar.is_file() else None


def find_pixelmed() -> Path:
    """The jar; absent, a skip here and a failure in CI."""
    return pixelmed_jar() or _absent("PixelMed's toolkit (Debian's pixelmed-apps, or the jar that "
                                     "PACSNODE_TEST_PIXELMED names)")  # fmt: skip


def _absent(what: str) -> NoReturn:
    message = f"{what} is not installed; see CONTRIBUTING.md for the packages tests use"
    if REQUIRE_PEERS:
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def orthanc_dicomweb() -> Path:
    """Orthanc's DICOMweb plugin; absent, a skip here and a failure in CI."""
    find_peer("Orthanc")
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        message = "Orthanc's DICOMweb plugin is not installed: Debian's package orthanc-dicomweb"
        if REQUIRE_PEERS:
            pytest.fail(message)
        pytest.skip(message)
    return plugin


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the files, give out the long ones first: all then end together."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which peers and judges this run uses, so that a log shows what was proven against what."""
    told = [f"peer {program}: {_version(program)}" for program in PEERS]
    told.append(f"peer {DICOM_WEB}: {plugin_path(DICOM_WEB) or 'absent'}")
    told.append(f"peer OHIF: {ohif_path() or 'absent'}")
    return [*told, f"peer pixelmed.jar: {pixelmed_jar() or 'absent'}"]


def _version(program: str) -> str:
    path = peer_path(program)
    if path is None:
        return "absent"
    asked = "version" if program == "openssl" else "--version"
    answer = subprocess.run([path, asked], capture_output=True, text=True, check=False, timeout=30)
    lines = (answer.stdout + answer.stderr).strip().splitlines()
    named = [line for line in lines if any(c.isdigit() for c in line) and "rror" not in line]
    return f"{named[0].strip('$ ')[:90] if named else 'present'} ({path})"
