"""The durable steps, as the job engine knows them."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dbos import DBOS

from engine.describing.template import Template
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.reviving import Reviver
from pacsnode.settings import Describe, Settings
from tests.conftest import ROOT


def test_no_two_steps_have_one_name() -> None:
    """The engine goes on where a name is taken, and says so on standard error."""
    ended = subprocess.run(
        [sys.executable, "-c", "import pacsnode.jobs.workflows"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("name", "lesions", "hours", "stuck"),
    [
        ("deliver", 0, 3, True), ("deliver", 0, 1, False), ("fetch", 0, 3, True),
        ("report", 1, 4, True), ("report", 200, 4, False),
    ],
)  # fmt: skip
def test_a_job_is_stuck_by_the_measure_of_its_own_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, lesions: int, hours: float, stuck: bool,
) -> None:  # fmt: skip
    order: dict[str, Any] = {"lesion_numbers": [0] * lesions} if name == "report" else {}
    began_ms = int((time.time() - hours * 3600) * 1000)
    job = SimpleNamespace(name=name, dequeued_at=began_ms, input={"args": (order, 1)})
    monkeypatch.setattr(DBOS, "list_workflows", lambda **_: [job])  # a job file takes a node
    settings = Settings(home=tmp_path, describe=Describe(describer="petar", model=tmp_path))
    archive: Any = None  # not asked
    assert Reviver(Desk(archive, settings, Template())).stuck() is stuck
