"""Where tests find real data and real peers, and what happens when they are absent."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_PEERS = os.environ.get("PACSNODE_TEST_REQUIRE_PEERS") == "1"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real test data (its own MANIFEST.md describes it), or a skip that says so."""
    folder = Path(os.environ.get("PACSNODE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip("real test data is absent: set PACSNODE_TEST_DATA to its folder")
    return folder


def find_peer(program: str) -> str:
    """The path of an independent tool; absent, a skip here and a failure in CI."""
    path = shutil.which(program) or shutil.which(program, path=str(ROOT / ".venv" / "bin"))
    if path is None:
        message = f"{program} is not installed; see CONTRIBUTING.md for the packages tests use"
        if REQUIRE_PEERS:
            pytest.fail(message)
        pytest.skip(message)
    return path
