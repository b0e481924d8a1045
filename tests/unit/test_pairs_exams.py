"""The command that makes a dataset of examinations and reports: what it reads, keeps and counts."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cohort.dataset import read_dataset
from engine.cohort.pairs_exams import find_exam, listed_exams, open_exam
from engine.errors import Unreadable
from engine.pipeline.reporting import read_scan
from pacsnode.cli import app
from tests.makers import make_ct, make_pet, save

REPORT = """FINDINGS:
Intense uptake in the liver with SUV max of {suv} (slice {slice}), suspicious.
The spleen is normal.
"""


@pytest.fixture
def exams(tmp_path: Path) -> Path:
    """One examination with a hot spot in its PET, and its table."""
    k, j, i = np.indices((14, 24, 24))
    square = (k - 6) ** 2 + (j - 11) ** 2 + (i - 12) ** 2
    values = 2000 + 40000 * np.exp(-square / 8)
    save(make_pet(values), tmp_path / "exam" / "pet")
    save(make_ct(), tmp_path / "exam" / "deep" / "ct")
    (tmp_path / "exam" / "note.txt").write_text("no DICOM")
    table = tmp_path / "exams.csv"
    table.write_text("folder,report,split\nexam,report.txt,test\n")
    (tmp_path / "report.txt").write_text(REPORT)
    scan = open_exam(find_exam(listed_exams(table)[0]))
    at = np.unravel_index(int(scan.pet.values.argmax()), scan.pet.values.shape)
    told = {"suv": f"{scan.pet.values[at]:.1f}", "slice": scan.pet.slices[at[0]].instance_number}
    (tmp_path / "report.txt").write_text(REPORT.format(**told))
    return table


def test_reports_become_a_dataset(exams: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["dataset", "pairs", str(exams), "--out", str(out), "--json"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["counts"] == {"matched": 1, "no-suv": 2}
    assert (told["exams"], told["sentences"], told["refused"]) == (1, 3, [])
    assert json.loads((out / "pairs.json").read_text()) == told
    (lesion,) = read_dataset(out)
    assert (lesion.record.site, lesion.record.interpretation) == ("liver", "malignant")
    assert (lesion.record.split, lesion.record.source) == ("test", "report")
    assert lesion.scan.ct is not None
    assert bool(lesion.mask.voxels[6, 11, 12])
    with (out / "dropped.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["code"] for row in rows] == ["no-suv", "no-suv"]
    assert rows[1]["sentence"] == "The spleen is normal."
    again = json.loads(CliRunner().invoke(app, command).stdout)
    assert again == told | {"before": 1}  # what an earlier run did is counted still
    assert json.loads((out / "pairs.json").read_text()) == again
    with (out / "dropped.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == rows
    shown = json.loads(CliRunner().invoke(app, ["dataset", "show", str(out), "--json"]).stdout)
    assert (shown["studies"], shown["lesions"], shown["organ_group"]) == (1, 1, {"Liver": 1})


def test_a_patient_is_told_nowhere(exams: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = CliRunner().invoke(app, ["dataset", "pairs", str(exams), "--out", str(out)])
    told = ran.output + "".join(path.name for path in out.rglob("*"))
    told += "".join(path.read_text() for path in out.rglob("*.json*"))
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID"):
        stated = str(make_pet()[0].get(keyword, "") or "absent")
        assert stated not in told, keyword


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nowhere,report.txt,test", "Line 2: its folder is not there"),
        ("exam/deep,report.txt,test", "no PET series"),
        ("exam,nothing.txt,test", "no text in UTF-8"),
    ],
)
def test_an_examination_that_cannot_be_read_is_counted(
    exams: Path, tmp_path: Path, line: str, says: str
) -> None:
    exams.write_text(f"folder,report,split\n{line}\nexam,report.txt,train\n")
    command = ["dataset", "pairs", str(exams), "--out", str(tmp_path / "out"), "--json"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 1
    told = json.loads(ran.stdout)
    assert told["counts"]["matched"] == 1
    assert len(told["refused"]) == 1
    assert says in told["refused"][0]["sentence"]


def a_second(exams: Path, **told: str) -> Path:
    """Another examination in the table, of a study of its own and a report without a lesion."""
    folder = exams.parent
    objects = make_pet(study="second", series="second")
    save(objects, folder / "second")
    (folder / "second.txt").write_text("The spleen is normal. Nothing else.")
    columns = {"folder": "second", "report": "second.txt", "split": "test", **told}
    names = ["study"] if "study" in told else []
    header = ["folder", "report", "split", *names]
    first = ["exam", "report.txt", "test", *(told["study"] for _ in names)]
    second = [columns[name] for name in header]
    exams.write_text("\n".join(",".join(one) for one in (header, first, second)) + "\n")
    return exams


def run(exams: Path, *more: str) -> dict[str, Any]:
    command = ["dataset", "pairs", str(exams), "--out", str(exams.parent / "out"), "--json", *more]
    told: dict[str, Any] = json.loads(CliRunner().invoke(app, command).stdout)
    return told


def test_runs_add_up(exams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(exams)
    both = run(a_second(exams))
    assert (both["before"], both["exams"], both["sentences"]) == (1, 2, 5)
    assert both["counts"] == {"matched": 1, "no-suv": 4}
    assert both["studies"].items() > first["studies"].items()
    with (exams.parent / "out" / "dropped.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    (second,) = set(both["studies"]) - set(first["studies"])
    told = [row["sentence"] for row in rows if row["study_id"] == second]
    assert told == ["The spleen is normal.", "Nothing else."]
    assert len(rows) == 4
    # one without a lesion is done as well, and neither's pixels are read to know it
    monkeypatch.setattr("engine.cohort.pairs_exams.read_scan", None)
    assert run(exams) == both | {"before": 2}


def test_a_run_that_broke_off_loses_no_count(exams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_second(exams)
    with monkeypatch.context() as broken:
        calls: list[object] = []

        def breaks(*told: object) -> object:
            calls.append(told)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return read_scan(*told)

        broken.setattr("engine.cohort.pairs_exams.read_scan", breaks)
        command = ["dataset", "pairs", str(exams), "--out", str(exams.parent / "out")]
        CliRunner().invoke(app, command)
        assert len(calls) == 2
    told = run(exams)
    assert (told["before"], told["counts"]) == (1, {"matched": 1, "no-suv": 4})


def test_a_study_whose_folder_is_gone_is_made_again(exams: Path) -> None:
    told = run(exams)
    (study,) = told["studies"]
    shutil.rmtree(exams.parent / "out" / study)
    assert run(exams) == told
    assert len(list(read_dataset(exams.parent / "out"))) == 1


def test_two_examinations_of_one_name_are_not_taken_for_one(exams: Path) -> None:
    told = run(a_second(exams, study="exam-1"))
    assert told["before"] == 0
    (refused,) = told["refused"]
    assert (refused["line"], refused["code"]) == (3, "duplicate-study")
    assert "Line 3: study exam-1 is that of line 2" in refused["sentence"]
    # nor in another run, from another table
    exams.write_text("folder,report,split,study\nsecond,second.txt,test,exam-1\n")
    again = run(exams)
    assert (again["before"], again["refused"][0]["code"]) == (0, "duplicate-study")
    assert again["counts"] == told["counts"]


def test_a_report_that_changed_is_not_taken_for_done(exams: Path) -> None:
    told = run(exams)
    (exams.parent / "report.txt").write_text("Nothing.")
    again = run(exams)
    assert [one["code"] for one in again["refused"]] == ["duplicate-study"]
    assert again["studies"] == told["studies"]


def test_a_study_that_something_else_put_there_is_left_alone(exams: Path) -> None:
    (exams.parent / "out" / "exam-1").mkdir(parents=True)
    exams.write_text("folder,report,split,study\nexam,report.txt,test,exam-1\n")
    told = run(exams)
    assert [one["code"] for one in told["refused"]] == ["study-there-already"]
    assert not list((exams.parent / "out" / "exam-1").iterdir())


def test_a_patient_is_of_one_split(exams: Path, tmp_path: Path) -> None:
    """Of two examinations of one patient one is not learnt and the other judged."""
    lines = "exam,report.txt,one,{}\nexam,report.txt,two,{}\n"
    exams.write_text("folder,report,study,split\n" + lines.format("test", "train"))
    (refused,) = run(exams)["refused"]
    assert (refused["line"], refused["code"]) == (3, "splits-differ")
    assert "that of line 2" in refused["sentence"]
    assert {one.record.study_id for one in read_dataset(tmp_path / "out")} == {"one"}
    exams.write_text("folder,report,study,split\n" + lines.format("test", "test"))
    assert run(exams)["refused"] == []


def test_examinations_that_name_nobody_are_not_one_patient(tmp_path: Path) -> None:
    table = tmp_path / "exams.csv"
    (tmp_path / "report.txt").write_text("No uptake.")
    patients = set()
    for study in ("one", "two"):
        save(make_pet(study=study, PatientID=""), tmp_path / study)
        save(make_ct(study=study, PatientID=""), tmp_path / study)
        table.write_text(f"folder,report\n{study},report.txt\n")
        patients.add(find_exam(listed_exams(table)[0]).patient)
    assert len(patients) == 2


def test_an_endpoint_that_fails_costs_one_examination(exams: Path) -> None:
    a_second(exams)
    (exams.parent / "report.txt").write_text("Lesion with SUV max 4.1.")  # no slice: it is asked
    told = run(exams, "--endpoint", "http://127.0.0.1:9/v1")
    assert [(one["line"], one["code"]) for one in told["refused"]] == [(2, "model-fault")]
    assert told["refused"][0]["sentence"].startswith("Line 2: The endpoint gave no answer")
    assert told["counts"] == {"matched": 0, "no-suv": 2}
    assert json.loads((exams.parent / "out" / "pairs.json").read_text()) == told
    after = run(exams)  # without the endpoint nothing stands in the way
    assert (after["refused"], after["before"]) == ([], 1)
    assert after["counts"] == {"matched": 0, "no-slice": 1, "no-suv": 2}


def test_of_several_series_none_is_guessed(exams: Path, tmp_path: Path) -> None:
    save(make_pet(series="late"), tmp_path / "exam" / "late")
    with pytest.raises(Unreadable, match="several pet series; name one in pet_series"):
        find_exam(listed_exams(exams)[0])
    late = str(make_pet(series="late")[0].SeriesInstanceUID)
    exams.write_text(f"folder,report,pet_series\nexam,report.txt,{late}\n")
    assert open_exam(find_exam(listed_exams(exams)[0])).pet.series_instance_uid == late


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("folder,text\nexam,report.txt\n", "needs the columns folder, report"),
        ("folder,report,name\nexam,report.txt,x\n", "may have study, patient"),
        ("folder,report\nexam,\n", "Line 2 names no folder or no report"),
        ("folder,report,split\nexam,report.txt,dev\n", "Line 2: split"),
        ("folder,report,study\nexam,report.txt,../x\n", "Line 2: study"),
        ("folder,report\nexam,report of 3,4.txt\n", "Line 2 has more cells"),
    ],
)
def test_a_table_that_is_none_is_refused(exams: Path, text: str, says: str) -> None:
    exams.write_text(text)
    with pytest.raises(Unreadable, match=says):
        listed_exams(exams)


def test_a_remote_endpoint_is_a_wrong_argument(exams: Path, tmp_path: Path) -> None:
    command = ["dataset", "pairs", str(exams), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*command, "--endpoint", "http://192.0.2.7/v1"])
    assert ran.exit_code == 2
    assert "not this machine" in ran.output
    assert not (tmp_path / "out").exists()
