"""Delivery by STOW-RS as durable jobs: the same promises as by C-STORE."""

import json
import sqlite3
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage
from typer.testing import CliRunner

from pacsnode.addresses import WebDestination
from pacsnode.cli import app
from pacsnode.jobs.desk import Backoff
from pacsnode.settings import Settings
from tests.peers import Orthanc, Receiver
from tests.story.small import Site, SmallStudy, reports_at, settings_for, site, small_study
from tests.web_server import Asked, Reply, WebServer, told

pytestmark = [pytest.mark.slow, pytest.mark.wire]

QUICK = Backoff(first_s=0.1, cap_s=0.3)
SECRET = "canary-of-the-tests"  # noqa: S105 no secret


def _settings(home: Path, url: str, *receivers: Receiver, **more: str) -> Settings:
    settings = settings_for(home, *receivers, quiet_s=0.3)
    there = WebDestination.model_validate({"name": "WEB", "url": url} | more)
    return settings.model_copy(update={"destinations": (there, *settings.destinations)})


def _codes(here: Site, study: SmallStudy) -> list[str]:
    return [line.code for line in here.lines(study)]


def test_a_report_reaches_a_pacs_by_stow_and_another_by_c_store(tmp_path: Path) -> None:
    study = small_study("both ways")
    with Orthanc.with_dicom_web(tmp_path / "orthanc") as orthanc, Receiver() as receiver:
        settings = _settings(tmp_path / "home", orthanc.dicom_web, receiver)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="both deliveries")
            about = {line.facts.get("destination"): line for line in here.lines(study)}
        (instance,) = orthanc.instances()
        report = dcmread(BytesIO(orthanc.file(instance)))
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert list(reports_at(receiver)) == [report.SOPInstanceUID]
    stored = {"sop_instance_uid": report.SOPInstanceUID, "outcome": "stored"}
    assert [dict(answer) for answer in about["RECEIVER"].facts["answers"]] == [stored]
    code, told_of = _why(tmp_path / "home", study)
    assert code == 0
    assert stored in [
        answer for line in told_of["decisions"] for answer in line["facts"].get("answers", [])
    ]


def _why(home: Path, study: SmallStudy) -> tuple[int, Any]:
    told_of = CliRunner().invoke(app, ["why", study.study_uid, "--home", str(home), "--json"])
    return told_of.exit_code, json.loads(told_of.stdout)


def test_a_service_that_is_down_for_a_while_gets_the_report_once(tmp_path: Path) -> None:
    study = small_study("web down")
    asked: list[Asked] = []

    def busy_twice(one: Asked) -> Reply:
        asked.append(one)
        return Reply(503) if len(asked) <= 2 else told(200, stored=one.uids)

    with (
        WebServer(busy_twice) as server,
        site(_settings(tmp_path, server.url), backoff=QUICK) as here,
    ):
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
        here.work_for(1)
        assert _codes(here, study).count("delivery-postponed") == 1
    assert len({one.uids[0] for one in asked}) == 1
    assert len(asked) == 3


def test_a_refusal_is_parked_at_once_with_the_fix_and_taken_up_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study("web parked")
    monkeypatch.setenv("THE_TOKEN", SECRET)
    answers: list[Callable[[Asked], Reply]] = [lambda one: Reply(401)]
    with WebServer(lambda one: answers[-1](one)) as server:
        settings = _settings(tmp_path, server.url, secret_env="THE_TOKEN")  # noqa: S106 its name
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "failed", what="the refusal")
            here.work_for(1)
            last = here.lines(study)[-1]
        assert (last.code, len(server.asked)) == ("delivery-parked", 1)
        assert "To fix: Set secret_env" in " ".join(last.reasons)
        answers.append(lambda one: told(409, failed=dict.fromkeys(one.uids, 0x0111))
                       if one.method == "POST" else Reply(404))  # fmt: skip
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            there = [line for line in here.lines(study) if line.code == "delivered-to"]
        assert "already there" in " ".join(there[-1].reasons)
    for database in (tmp_path / "jobs.sqlite", tmp_path / "archive" / "index.sqlite"):
        assert SECRET not in _dump(database)


def _dump(path: Path) -> str:
    database = sqlite3.connect(path)
    try:
        return "\n".join(database.iterdump())
    finally:
        database.close()
