"""The durable steps, as the job engine knows them."""

import subprocess
import sys

from tests.conftest import ROOT


def test_no_two_steps_have_one_name() -> None:
    """The engine goes on where a name is taken, and says so on standard error."""
    ended = subprocess.run(
        [sys.executable, "-c", "import pacsnode.jobs.workflows"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert ended.stderr == ""
