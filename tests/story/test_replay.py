"""Replay: files in, SR files and numbers out; resumed, sharded, and never stopped by one case."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from pacsnode.errors import BadSettings
from pacsnode.replay import workers
from pacsnode.replay.cases import COLUMNS, CaseResult, Order
from pacsnode.replay.run import Outcome, Request, replay
from pacsnode.replay.workers import run_all
from pacsnode.settings import read_settings
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg, save
from tests.peers import wait_until

HOT = np.zeros((8, 32, 32), bool)
HOT[3:6, 12:18, 12:18] = True


def run(*inputs: Path, out: Path, **more: Any) -> Outcome:
    return replay(Request(inputs, out, read_settings(None), **more))


def rows_of(out: Path, name: str = "findings.csv") -> list[dict[str, str]]:
    with (out / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def manifest_of(out: Path, name: str = "run.json") -> dict[str, Any]:
    return json.loads((out / name).read_text("utf-8"))  # type: ignore[no-any-return]


def documents(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*.dcm")}


def make_case(folder: Path, name: str, **attributes: Any) -> Path:
    """A study of its own: PET, CT and a SEG with two lesions."""
    pet = make_pet(study=name, series=f"{name} pet", frame_of_reference=name, **attributes)
    ct = make_ct(study=name, series=f"{name} ct", frame_of_reference=name, **attributes)
    seg = make_seg({"Hot": HOT, "Hotter": np.roll(HOT, 1, 0)}, pet, series=f"{name} seg")
    save([*pet, *ct, seg], folder / name)
    return folder / name


@pytest.fixture
def three_cases(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        make_case(tmp_path / "in", name)
    return tmp_path / "in"


def test_a_replay_writes_what_it_promises(three_cases: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in three_cases.rglob("*.dcm")}
    out = tmp_path / "out"
    outcome = run(three_cases, out=out)
    assert not outcome.failed
    assert {path: path.read_bytes() for path in three_cases.rglob("*.dcm")} == before
    with (out / "findings.csv").open() as stream:
        assert stream.readline().rstrip("\n").split(",") == list(COLUMNS)
    rows = rows_of(out)
    assert len(rows) == 6
    for row in rows:
        sr = dcmread(out / row["study_instance_uid"] / f"{row['sr_sop_instance_uid']}.dcm")
        assert sr.SOPInstanceUID == row["sr_sop_instance_uid"]
        assert sr.StudyInstanceUID == row["study_instance_uid"]
        assert repr(float(row["suv_max"])) == row["suv_max"]
        assert row["suv_refusal"] == ""
        assert Path(row["input_path"]).is_file()
    manifest = manifest_of(out)
    assert manifest["files"]["found"] == manifest["files"]["new"] == len(before)
    assert manifest["cases"]["reported"] == manifest["cases"]["found"] == 3
    assert manifest["versions"]["pacsnode"]
    assert len(manifest["reports"]) == 3
    assert not list(out.rglob("*.part"))


def test_a_second_run_does_nothing_twice_and_another_folder_gives_the_same_uids(
    three_cases: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(three_cases, out=out)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    again = run(three_cases, out=out)
    assert again.resumed == 3
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")} == written
    assert len(rows_of(out)) == 6
    run(three_cases, out=tmp_path / "elsewhere", workers=2)
    assert documents(tmp_path / "elsewhere") == documents(out)
    assert rows_of(tmp_path / "elsewhere") == rows_of(out)
    next(iter(written)).unlink()  # what was lost is made again
    assert run(three_cases, out=out).resumed == 2
    assert documents(out) == documents(tmp_path / "elsewhere")


def test_an_archive_gives_the_same_documents_as_its_folder(
    three_cases: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz") as tar:
        tar.add(three_cases, arcname="in")
    run(three_cases, out=tmp_path / "a")
    run(tmp_path / "in.tar.gz", out=tmp_path / "b")
    assert documents(tmp_path / "a") == documents(tmp_path / "b")
    assert {row["input_path"].split("!")[0] for row in rows_of(tmp_path / "b")} == {
        str(tmp_path / "in.tar.gz")
    }


def test_shards_share_the_cases_without_overlap(three_cases: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(three_cases, out=whole)
    rows = []
    for number in (1, 2):
        outcome = run(three_cases, out=parts, shard=(number, 2))
        assert len(outcome.plan.ready) + outcome.plan.of_other_shards == 3
        rows += rows_of(parts, f"findings.{number}-of-2.csv")
    key = sorted(rows, key=lambda row: (row["input_path"], int(row["segment_number"])))
    assert key == sorted(
        rows_of(whole), key=lambda row: (row["input_path"], int(row["segment_number"]))
    )
    assert documents(parts) == documents(whole)


def test_a_refused_suv_still_makes_a_row_and_a_refused_case_a_reason(tmp_path: Path) -> None:
    make_case(tmp_path / "in", "weightless", PatientWeight=None)
    make_case(tmp_path / "in", "fine")
    [mask] = [
        path
        for path in make_case(tmp_path / "lonely", "lonely").iterdir()
        if dcmread(path, specific_tags=["Modality"]).Modality == "SEG"
    ]
    out = tmp_path / "out"
    outcome = run(tmp_path / "in", mask, out=out)
    assert not outcome.failed
    by_refusal = {row["suv_refusal"]: row for row in rows_of(out)}
    assert set(by_refusal) == {"", "missing-weight"}
    refused = by_refusal["missing-weight"]
    assert refused["suv_max"] == refused["suv_mean"] == refused["tlg_g"] == ""
    assert float(refused["volume_cm3"]) > 0
    [refusal] = manifest_of(out)["refusals"]
    assert refusal["code"] == "no-pet"
    assert refusal["reasons"]
    assert refusal["input_path"] == str(mask)


def test_the_patient_is_in_no_output_but_the_reports(tmp_path: Path) -> None:
    make_case(tmp_path / "in", "named", PatientName="Canary^Yellow", PatientID="CANARY-77")
    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-m", "pacsnode", "replay", tmp_path / "in", "--out", out, "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(ended.stdout)["cases"]["reported"] == 1
    outputs = [path.read_bytes() for path in out.rglob("*") if path.suffix in (".csv", ".json")]
    outputs += [path.read_bytes() for path in (out / "index").iterdir() if path.is_file()]
    for said in (*outputs, ended.stdout.encode(), ended.stderr.encode()):
        assert b"canary" not in said.lower()


def test_an_archive_that_cannot_be_unpacked_fails_the_run_and_costs_no_other_case(
    tmp_path: Path,
) -> None:
    make_case(tmp_path / "in", "one")
    (tmp_path / "in" / "lost.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "in" / "notes.txt").write_text("no DICOM object: no failure")
    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-m", "pacsnode", "replay", tmp_path / "in", "--out", out],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert "bad-archive: " in ended.stdout
    manifest = manifest_of(out)
    assert manifest["cases"]["reported"] == 1
    kinds = {Path(one["origin"]).name: one["kind"] for one in manifest["files"]["not_read"]}
    assert kinds == {"lost.zip": "bad-archive", "notes.txt": "unreadable"}
    assert manifest["files"]["bad-archive"] == 1
    (tmp_path / "in" / "lost.zip").unlink()
    assert not run(tmp_path / "in", out=out).failed


def test_an_index_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "out" / "index").mkdir(parents=True)
    (tmp_path / "out" / "index" / "theirs.txt").write_text("precious")
    with pytest.raises(BadSettings, match="no index of ours"):
        run(make_case(tmp_path / "in", "one"), out=tmp_path / "out")
    assert (tmp_path / "out" / "index" / "theirs.txt").read_text() == "precious"


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadSettings, match="Another replay"):
            run(tmp_path / "in", out=tmp_path / "out")


def test_an_rtstruct_gets_the_seg_its_sr_refers_to(tmp_path: Path) -> None:
    pet = make_pet()
    square = [(-12.0, -12.0), (12.0, -12.0), (12.0, 12.0), (-12.0, 12.0)]
    contours = {"GTV": [[(x, y, z) for x, y in square] for z in (9.0, 12.0, 15.0)]}
    save([*pet, make_rtstruct(contours, pet)], tmp_path / "in")
    out = tmp_path / "out"
    run(tmp_path / "in", out=out)
    [report] = manifest_of(out)["reports"]
    seg, sr = dcmread(out / report["seg"]), dcmread(out / report["sr"])
    assert seg.Modality == "SEG"
    assert seg.SOPInstanceUID.encode() in (out / report["sr"]).read_bytes()
    [row] = rows_of(out)
    assert row["tracking_uid"] == seg.SegmentSequence[0].TrackingUID
    assert row["sr_sop_instance_uid"] == sr.SOPInstanceUID


def die(order: Order) -> CaseResult:
    """A worker function that kills its process on one case, hangs on another."""
    if order.mask_instance_uid == "1.1":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order.mask_instance_uid == "1.2":
        time.sleep(60)
    return CaseResult.of_order(order, "reported", "reported", "")


def test_a_case_that_kills_or_hangs_its_process_fails_alone(tmp_path: Path) -> None:
    order = Order("", "1", "1.0", "1", None, (), (), tmp_path, (), {"seed": ""}, 0.5, tmp_path)
    orders = [replace(order, mask_instance_uid=f"1.{number}") for number in range(6)]
    done = run_all(orders, die, workers=2, stop=threading.Event(), deadline_s=3)
    results = dict(iter_results(done))
    assert {uid: result.code for uid, result in results.items()} == {
        "1.0": "reported", "1.1": "process-died", "1.2": "took-too-long", "1.3": "reported",
        "1.4": "reported", "1.5": "reported",
    }  # fmt: skip


def start_slowly(pipe: Any, work: Any) -> None:
    """In place of a worker process: one that loads its libraries for ever."""
    time.sleep(60)


def test_a_process_that_does_not_start_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "START_WITHIN_S", 0.5)
    monkeypatch.setattr(workers, "_serve", start_slowly)
    order = Order("", "1", "1.0", "1", None, (), (), tmp_path, (), {"seed": ""}, 0.5, tmp_path)
    done = run_all([order], die, workers=1, stop=threading.Event(), deadline_s=1000)
    [(_, result)] = iter(done.get, None)
    assert result.code == "process-not-started"
    assert "did not start within 0.5 s" in result.sentence


def iter_results(done: Any) -> list[tuple[str, CaseResult]]:
    return [(order.mask_instance_uid, result) for order, result in iter(done.get, None)]


@pytest.mark.slow
def test_stopped_and_run_again_it_goes_on(tmp_path: Path) -> None:
    for number in range(6):
        make_case(tmp_path / "in", f"case {number}")
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "pacsnode", "replay", str(tmp_path / "in"), "--out", str(out),
        "--workers", "1",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, start_new_session=True,
        # a shell lets what it starts in the background ignore Ctrl-C, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    kept = out / ".cases"  # a report may lie there before the run itself knows of it
    wait_until(lambda: list(kept.glob("*.json")), within_s=60, what="the first result")
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C: the whole group gets it
    assert process.wait(30) == 1
    stopped = manifest_of(out)
    assert stopped["stopped"]
    done = stopped["cases"]["reported"]
    assert 1 <= done < 6
    assert stopped["cases"]["not_reached"] == 6 - done
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    finished = manifest_of(out)
    assert finished["cases"]["reported"] == 6
    assert finished["cases"]["done_before"] >= done
    assert len(rows_of(out)) == 12
    assert not list(out.rglob("*.part"))


def test_qin_head_neck_0139(data: Path, tmp_path: Path) -> None:
    outcome = run(data / "qin0139", out=tmp_path)
    assert not outcome.failed
    rows = rows_of(tmp_path)
    assert len(rows) == 11
    assert {row["suv_refusal"] for row in rows} == {""}
    # the published factor, found again between our SUVmax and the stored values of the PET
    images = [dcmread(path) for path in (data / "qin0139").rglob("*.dcm")]
    stored = {
        int(image.InstanceNumber): image.pixel_array * float(image.RescaleSlope)
        for image in images
        if image.Modality == "PT"
    }
    for row in rows:
        plane = stored[int(row["slice_instance_number"])]
        candidate = plane.flat[np.abs(plane * 0.000401664 - float(row["suv_max"])).argmin()]
        assert float(row["suv_max"]) / candidate == pytest.approx(0.000401664, rel=2e-6)


@pytest.mark.slow
def test_ibsi_soft_tissue_sarcomas(data: Path, tmp_path: Path) -> None:
    folder = data / "ibsi_sts"
    expected = json.loads((folder / "expected_gtv_mass_pet.json").read_text())
    outcome = run(folder, out=tmp_path, workers=2)
    assert not outcome.failed
    on_pet = {
        Path(row["input_path"]).parent.name: row
        for row in rows_of(tmp_path)
        if row["input_path"].endswith("RTSTRUCT_PET.dcm")
    }
    assert set(on_pet) == {"STS_002", "STS_003", "STS_010", "STS_035"}
    for study, row in on_pet.items():
        published = expected[study]
        image = dcmread(next((folder / study / "PET").glob("*.dcm")), stop_before_pixels=True)
        assert row["suv_refusal"] == ""
        assert float(row["volume_cm3"]) == pytest.approx(published["vol"], rel=1e-3)
        assert float(row["suv_mean"]) == pytest.approx(published["mean"], rel=1e-3)
        assert float(row["suv_max"]) == pytest.approx(published["max"], rel=1e-3)
        assert float(row["suv_median"]) == pytest.approx(published["p50"], rel=1e-3)
        seg = dcmread(tmp_path / manifest_seg(tmp_path, row))
        assert int(seg.pixel_array.sum()) == published["n"]
        assert image.Units == "GML"


def manifest_seg(out: Path, row: dict[str, str]) -> str:
    [report] = [
        report
        for report in manifest_of(out)["reports"]
        if report["mask_sop_instance_uid"] == row["mask_sop_instance_uid"]
    ]
    return str(report["seg"])


@pytest.mark.slow
def test_the_nine_digital_reference_objects(data: Path, tmp_path: Path) -> None:
    outcome = run(data / "suv_dro" / "dro_open.tar.xz", out=tmp_path, workers=2)
    assert not outcome.failed
    rows = rows_of(tmp_path)
    assert len(rows) == 9
    assert len({row["pet_series_instance_uid"] for row in rows}) == 9
    for row in rows:
        assert float(row["suv_max"]) == pytest.approx(4.0, abs=0.0025), row["input_path"]
        assert float(row["suv_median"]) == pytest.approx(1.0, abs=0.0025), row["input_path"]
        assert row["suv_refusal"] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder", ["malformed", "seg_variety", "rtstruct_variety", "sr_other_tools"]
)
def test_every_odd_file_is_accounted_for(folder: str, data: Path, tmp_path: Path) -> None:
    outcome = run(data / folder, out=tmp_path)
    assert not outcome.failed, [result.sentence for result in outcome.results]
    manifest = manifest_of(tmp_path)
    files = sum(
        path.is_file() and not any(part.startswith(".") for part in path.relative_to(data).parts)
        for path in (data / folder).rglob("*")
    )
    counts = manifest["files"]
    assert counts["found"] == files
    assert counts.get("unreadable", 0) + counts.get("not-dicom", 0) == len(counts["not_read"])
    assert all(file["reason"] for file in counts["not_read"])
    for state in ("refusals", "context"):
        assert all(case["code"] and case["reasons"] for case in manifest[state])
    cases = manifest["cases"]
    assert cases["found"] == cases["reported"] + cases["refused"] + cases["context"]
