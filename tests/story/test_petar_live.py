"""A toy model over DICOM on real studies: words, numbers, flags and identity in the SR."""

import csv
import json
import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from engine import codes
from engine.finding import printed, printed_cm
from engine.report import walk
from engine.report.check import groups_of
from engine.report.read import ReadFinding, read_findings
from engine.report.style import ReportStyle, sr_uid
from pacsnode.assembly.seed import report_seed
from pacsnode.errors import BadSettings
from pacsnode.jobs import describers
from pacsnode.jobs.describers import Runnable
from pacsnode.jobs.desk import Backoff
from pacsnode.jobs.keeping import words_path
from pacsnode.replay.cases import Ledger
from pacsnode.replay.manifest import manifest_of
from pacsnode.replay.run import Request, replay
from pacsnode.settings import Describe, Settings
from pacsnode.worker.running import working
from tests.model.checkpoints import make_checkpoint
from tests.peers import LOOPBACK, Receiver, encoded_dataset, storescu, wait_until
from tests.story.serve import Listening, port_of, serving
from tests.story.small import reports_at, settings_for, site, small_study
from tests.unit.judges import dciodvfy_errors, dsrdump_complaints, tid1500_groups, write

pytestmark = [pytest.mark.slow, pytest.mark.wire]

ANY_PORT = ("--port", "0", "--quiet-s", "1")

SAYS = "Intense uptake in the left thigh, measuring 9.1 x 8.7 cm with SUV max 5.3."
PROMPT = "What structure is highlighted by the mask?"
QUICK = Backoff(first_s=0.1, cap_s=0.3)
NUMBER = r"\d+(?:\.\d+)?"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_checkpoint(tmp_path_factory.mktemp("petar") / "toy-petar", says=SAYS)


def told(toy: Path, **more: Any) -> dict[str, Any]:
    return {"describer": "petar", "model": toy, "device": "cpu", **more}


def judged(report: Dataset, path: Path) -> Dataset:
    if not getattr(report, "file_meta", None):
        report.file_meta = FileMetaDataset()
        report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
        report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    written = write(report, path)
    assert dciodvfy_errors(written) == []
    assert dsrdump_complaints(written) == []
    assert tid1500_groups(written)
    return dcmread(written)


def algorithm(group: Dataset) -> list[str]:
    return [
        str(item.TextValue)
        for name in (codes.ALGORITHM_NAME, codes.ALGORITHM_VERSION, codes.ALGORITHM_PARAMETERS)
        for item in walk.named(group, name)
    ]


def has_only_measured_numbers(finding: ReadFinding) -> bool:
    values = finding.measured
    allowed = {
        printed(values["suv_max"], 1), printed_cm(values["long_axis_mm"]),
        printed_cm(values["short_axis_mm"]),
    }  # fmt: skip
    return set(re.findall(NUMBER, finding.text.split(" Flags:")[0])) <= allowed


def test_a_real_study_comes_back_in_the_models_words_with_measured_numbers(
    data: Path, toy: Path, tmp_path: Path
) -> None:
    study = data / "ibsi_sts" / "STS_003"
    files = [*(study / "PET").iterdir(), *(study / "CT").iterdir(), study / "RTSTRUCT_PET.dcm"]
    home = tmp_path / "home"
    with Receiver() as receiver:
        destination = f"{receiver.ae_title}@{LOOPBACK}:{receiver.port}"
        options = ("--model", str(toy), "--destination", destination)
        with serving(home, *ANY_PORT, *options, log_level="debug") as node:
            port, listening = port_of(node), Listening(node)
            assert storescu(port, files).returncode == 0
            wait_until(lambda: reports_at(receiver), within_s=90, what="the report")
            status = json.loads((home / "model.json").read_text())
            log = listening.said()
        (arrived,) = reports_at(receiver).values()
        encoded = next(
            one.encoded for one in receiver.arrived if one.sop_class_uid == Comprehensive3DSRStorage
        )
    report = judged(arrived, tmp_path / "sr.dcm")
    expected = json.loads((data / "ibsi_sts" / "expected_gtv_mass_pet.json").read_text())["STS_003"]
    (finding,) = read_findings(report).findings
    assert finding.measured["suv_max"] == pytest.approx(expected["max"], rel=1e-3)
    suv_max, size = (
        printed(finding.measured["suv_max"], 1),
        printed_cm(finding.measured["long_axis_mm"]),
    )
    assert f"with SUV max {suv_max}." in finding.text
    assert finding.text.startswith(f"Intense uptake in the left thigh, measuring {size} x ")
    assert has_only_measured_numbers(finding)
    assert finding.site is not None
    assert finding.site.meaning == "Thigh"
    assert codes.same(finding.laterality, codes.LEFT)
    assert set(finding.flags) == set()
    assert not {"model-unable"} & {question.value for question, _ in finding.evaluations}
    # who wrote it
    assert status["state"] == "ready"
    (group,) = groups_of(report)
    name, version, *parameters = algorithm(group)
    assert (name, version) == ("toy-petar", status["version"])
    assert parameters[:-1] == [
        f"weights sha256 {status['weights_sha256']}", "profile petar-release", "on cpu float32",
        f'asked "{PROMPT}"',
    ]  # fmt: skip
    # raw words lie beside the SR and nowhere else
    (file,) = (home / "archive" / "words").iterdir()
    words = json.loads(file.read_text())
    assert words["sr_sop_instance_uid"] == report.SOPInstanceUID
    (lesion,) = words["lesions"]
    assert lesion["raw_text"] == SAYS
    assert {span["raw"] for span in lesion["spans"]} == {"9.1 x 8.7 cm", "SUV max 5.3"}
    invented = (b"9.1 x 8.7", b"SUV max 5.3")
    elsewhere = [path for path in home.rglob("*") if path.is_file() and path != file]
    assert any(encoded in path.read_bytes() for path in elsewhere)
    for path in elsewhere:
        assert not any(number in path.read_bytes() for number in invented), path
    assert log.strip()
    assert not any(number.decode() in log for number in invented)
    assert SAYS not in log


@pytest.mark.parametrize("of_air", [False, True], ids=["refused", "of-air"])
def test_a_study_without_ct_says_so_and_is_described_as_configured(
    data: Path, toy: Path, tmp_path: Path, of_air: bool
) -> None:
    files = [path for path in (data / "qin0139").rglob("*") if path.suffix == ".dcm"]
    with Receiver() as receiver:
        # its PET names no tracer either
        describe = told(toy, ct_of_air=of_air, allow_untrained_tracers=of_air)
        settings = settings_for(tmp_path, receiver, describe=describe)
        with site(settings, backoff=QUICK) as here:
            assert storescu(here.listener.address[1], files).returncode == 0
            here.work_until(lambda: reports_at(receiver), within_s=90, what="the report")
            (kept,) = (one for one in here.archive.latest_decisions() if "sr" in one.facts)
            stored = here.archive.instance(kept.facts["sr"])
            assert stored is not None
            raw = words_path(here.archive.root, stored.sha256)
            assert raw.exists() == of_air
        (arrived,) = reports_at(receiver).values()
    report = judged(arrived, tmp_path / "sr.dcm")
    read = read_findings(report)
    assert len(read.findings) == 11
    assert "No CT: reported from the PET alone." in read.comments
    names = [algorithm(group)[0] for group in groups_of(report)]
    by_model = [one for one, name in zip(read.findings, names, strict=True) if name == "toy-petar"]
    if not of_air:
        assert names == ["template"] * 11
        assert all("no-ct" in finding.flags for finding in read.findings)
        assert any(
            "by the template" in one and "no-ct: The model sees PET and CT" in one
            for one in read.comments
        )
        return
    assert len(by_model) >= 10
    for finding in by_model:
        assert finding.text.startswith("Intense uptake")
        assert has_only_measured_numbers(finding)
        assert {"ct-of-air", "untrained-tracer"} <= set(finding.flags)
    # what the mask states of the site counts more than a model's words
    assert codes.same(read.findings[0].site, codes.Code("T-53131", "SRT", "base of tongue"))


def test_replay_gives_what_the_live_node_gives_and_the_raw_words(
    data: Path, toy: Path, tmp_path: Path
) -> None:
    studies = (data / "ibsi_sts" / "STS_003", data / "ibsi_sts" / "STS_010")
    outcome = replay(Request(studies, tmp_path, Settings(describe=told(toy))))
    manifest = manifest_of(outcome)
    assert manifest["cases"]["reported"] == 4
    words = {report["sr"]: report["words"] for report in manifest["reports"]}
    assert manifest["model"]["name"] == "toy-petar"
    assert len(manifest["model"]["weights_sha256"]) == 64
    assert (manifest["model"]["profile"], manifest["model"]["prompt"]) == ("petar-release", PROMPT)
    with (tmp_path / "findings.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[-1] == "raw_text"
    for row in rows:
        assert row["raw_text"] == SAYS
        assert row["text"] != SAYS
        assert row["model"].startswith("toy-petar ")
        folder, uid = tmp_path / row["study_instance_uid"], row["sr_sop_instance_uid"]
        (lesion,) = json.loads((folder / f"{uid}.json").read_text())["lesions"]
        assert lesion["findings"] == row["text"]
        assert lesion["suv_max"] == float(printed(float(row["suv_max"]), 1))
        assert lesion["finding_site"]["meaning"] == "Thigh"
        assert lesion["model"]["weights_sha256"] == manifest["model"]["weights_sha256"]
        sr = f"{row['study_instance_uid']}/{uid}.dcm"
        digest = sha256(encoded_dataset(tmp_path / sr)[0]).hexdigest()  # as the live node names it
        assert words[sr] == f"{row['study_instance_uid']}/{digest}.words.json"
        (spoken,) = json.loads((tmp_path / words[sr]).read_text())["lesions"]
        assert spoken["raw_text"] == SAYS
    again = replay(Request(studies, tmp_path, Settings(describe=told(toy))))
    assert again.resumed == 4
    order = next(one for one in again.plan.ready if one.study_instance_uid in sr)
    assert Ledger(tmp_path).read(order) is not None
    for name in words.values():
        (tmp_path / name).unlink()
    assert Ledger(tmp_path).read(order) is None


def test_a_refused_folder_ends_serve_with_its_message(tmp_path: Path) -> None:
    def lose_a_key(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.norm.weight"]

    broken = make_checkpoint(tmp_path / "broken", change=lose_a_key)
    with serving(tmp_path / "home", *ANY_PORT, "--model", str(broken)) as node:
        _, said = node.communicate(timeout=90)
    assert node.returncode == 2
    assert "model.norm.weight" in said
    with pytest.raises(BadSettings, match=r"model\.norm\.weight"):
        replay(Request((tmp_path,), tmp_path / "out", Settings(describe=told(broken))))


def test_the_template_speaks_for_a_folder_that_is_refused_where_settings_say_so(
    tmp_path: Path,
) -> None:
    study = small_study("no model")
    describe = told(tmp_path / "absent", when_unable="template")
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.2, describe=describe)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the report")
        (report,) = reports_at(receiver).values()
    read = read_findings(report)
    (finding,) = read.findings
    assert "no-model" in finding.flags
    assert any(
        one.startswith("Not described by petar but by the template") for one in read.comments
    )


def test_reports_wait_for_a_model_that_went_away_and_status_says_why(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describers, "TRY_AGAIN_S", 0.5)
    study, folder = small_study("waits"), tmp_path / "models" / "toy"
    loaded: list[Runnable] = []
    load = describers.petar

    def noted(settings: Describe) -> Runnable:
        loaded.append(load(settings))
        return loaded[-1]

    monkeypatch.setattr(describers, "petar", noted)
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.2, describe=told(folder))
        with pytest.raises(BadSettings, match="is not there"), working(settings):
            pytest.fail("a model that never served is a wrong setting")
        with site(settings, backoff=QUICK, may_wait_for_model=True) as here:
            here.send(study.everything)
            here.work_until(
                lambda: here.lines(study) and here.lines(study)[-1].code == "report-postponed",
                what="the postponement",
            )
            here.work_for(2)  # more often than a faulty model is tried
            assert here.state(study) in ("ready", "running")
            assert any(
                "is not there" in reason for line in here.lines(study) for reason in line.reasons
            )
            assert json.loads((settings.home / "model.json").read_text())["state"] == "waiting"
            folder.parent.mkdir()
            folder.symlink_to(toy)
            here.work_until(lambda: here.state(study) == "delivered", what="the report")
            assert json.loads((settings.home / "model.json").read_text())["state"] == "ready"
            (ordered,) = (line for line in here.lines(study) if line.code == "ready")
        # what the UIDs derive from is the model that wrote, as in a replay
        inputs, (model,) = ordered.facts["inputs_sha256"], loaded
        assert ordered.facts["seed"] == report_seed(inputs, model.identity, settings)
        (uid,) = reports_at(receiver)
        assert uid == sr_uid(ReportStyle(seed=ordered.facts["seed"]))
        (finding,) = read_findings(next(iter(reports_at(receiver).values()))).findings
        assert finding.text.startswith("Intense uptake")


def test_lesions_of_several_studies_share_a_batch(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    load = describers.petar

    def watched(settings: Describe) -> Any:
        model: Any = load(settings)
        model._results.limit_bytes = 0  # these studies have the same pixels
        write = model._writer.write

        def written(batch: Any, *more: Any) -> Any:
            sizes.append(len(batch))
            time.sleep(0.5)  # the next batch gathers meanwhile
            return write(batch, *more)

        model._writer.write = written
        return model

    monkeypatch.setattr(describers, "petar", watched)
    studies = [small_study(f"shared {number}") for number in range(6)]
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.2, describe=told(toy))
        with site(settings, backoff=QUICK) as here:
            here.send([one for study in studies for one in study.everything])
            here.work_until(
                lambda: all(here.state(study) == "delivered" for study in studies),
                within_s=60, what="all reports",
            )  # fmt: skip
    assert sum(sizes) == len(studies)
    assert max(sizes) >= 2
