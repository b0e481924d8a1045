"""Key images that follow a report, and a PDF of it on request."""

from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
)
from typer.testing import CliRunner

from pacsnode.cli import app
from pacsnode.jobs import bringing
from pacsnode.jobs.pictures import standing_reports
from pacsnode.settings import Settings
from pacsnode.web.server import WebServer
from storage.archive import Archive
from tests.peers import Receiver
from tests.story.small import settings_for, site, small_study

pytestmark = [pytest.mark.slow, pytest.mark.wire]

TAKEN = (Comprehensive3DSRStorage, SecondaryCaptureImageStorage)


def program(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_who_wants_key_images_gets_them_after_the_report_and_the_study_has_a_pdf(
    tmp_path: Path,
) -> None:
    study = small_study("pictures")
    with (
        Receiver(ae_title="WANTS", sop_class_uids=TAKEN) as wants,
        Receiver(ae_title="REFUSES") as refuses,
        Receiver(ae_title="PLAIN", sop_class_uids=TAKEN) as plain,
    ):
        settings = settings_for(tmp_path, wants, refuses, plain, quiet_s=0.3)
        with_pictures = tuple(
            one.model_copy(update={"key_images": one.name != "PLAIN"})
            for one in settings.destinations
        )
        settings = settings.model_copy(update={"destinations": with_pictures})
        with site(settings) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: here.state(study) == "delivered", what="the deliveries")
            here.send(study.pet[-1:])
            here.work_until(lambda: len(plain.arrived) == 2, what="the revision")
            here.work_until(lambda: here.state(study) == "delivered", what="its deliveries")
            lines = here.lines(study)
            images = [here.archive.instance(one.sop_instance_uid) for one in wants.arrived]
            (standing,) = standing_reports(study.study_uid, here.archive)
    classes = [one.sop_class_uid for one in wants.arrived]
    assert classes == [TAKEN[0], TAKEN[1], TAKEN[1]] * 2
    assert [one.sop_class_uid for one in plain.arrived] == [TAKEN[0]] * 2
    assert [one.sop_class_uid for one in refuses.arrived] == [TAKEN[0]] * 2
    for one, kept in zip(wants.arrived, images, strict=True):
        assert kept is not None
        assert kept.path.read_bytes().endswith(one.encoded)
    image = dcmread(BytesIO(wants.arrived[-1].encoded), force=True)
    assert image.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == standing.sop_instance_uid
    assert standing.sop_instance_uid == wants.arrived[3].sop_instance_uid
    told = [line for line in lines if line.facts.get("destination") == "REFUSES"][-1]
    assert told.code == "delivered-to"
    assert [answer["outcome"] for answer in told.facts["answers"]] == [
        "stored", "not taken", "not taken",
    ]  # fmt: skip
    _draws_a_pdf(tmp_path, study.study_uid, standing.sop_instance_uid)


def _draws_a_pdf(home: Path, study_uid: str, sr_uid: str) -> None:
    assert program("pdf", study_uid, "--home", home, "--out", home / "pdf")[0] == 0
    document = dcmread(home / "pdf" / f"{sr_uid}.dcm")
    assert document.SOPClassUID == EncapsulatedPDFStorage
    assert document.SourceInstanceSequence[0].ReferencedSOPInstanceUID == sr_uid
    assert program("pdf", study_uid, "--home", home, "--out", home / "pdf", "--plain")[0] == 0
    assert (home / "pdf" / f"{sr_uid}.pdf").read_bytes().startswith(b"%PDF")
    _is_offered(home, study_uid, sr_uid, (home / "pdf" / f"{sr_uid}.pdf").read_bytes())
    code, said = program("pdf", "1.2.3", "--home", home)
    assert code == 1
    assert "no report of ours" in said


def _is_offered(home: Path, study_uid: str, sr_uid: str, expected: bytes) -> None:
    """By the web side, where a child draws it: the same bytes."""
    settings = Settings(home=home, web={"port": 0})
    with Archive.open(home / "archive") as archive:
        server = WebServer(archive, settings)
        server.start()
        try:
            root = server.url.removesuffix("/dicom-web")
            reports = f"{root}/studies/{study_uid}/reports"
            got = httpx.get(f"{reports}/{sr_uid}/pictures.pdf", timeout=100, trust_env=False)
            absent = httpx.get(f"{reports}/1.2.3/pictures.pdf", timeout=20, trust_env=False)
        finally:
            server.stop(grace_s=2)
    assert (got.status_code, got.headers["content-type"]) == (200, "application/pdf")
    assert got.headers["content-disposition"] == f'attachment; filename="{sr_uid}.pdf"'
    assert got.content.rstrip(b"\0") == expected.rstrip(b"\0")
    assert absent.status_code == 404


def test_a_report_whose_pictures_cannot_be_drawn_goes_without_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*told: object) -> list[Path]:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(bringing, "kept_key_images", broken)
    study = small_study("broken")
    with Receiver(sop_class_uids=TAKEN) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        (there,) = settings.destinations
        wants = there.model_copy(update={"key_images": True})
        with site(settings.model_copy(update={"destinations": (wants,)})) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            told = next(line for line in here.lines(study) if line.code == "delivered-to")
    assert [one.sop_class_uid for one in receiver.arrived] == [TAKEN[0]]
    assert "It got no key images: the program failed, ZeroDivisionError" in " ".join(told.reasons)
