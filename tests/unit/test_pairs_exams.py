"""The command that makes a dataset of examinations and reports: what it reads, keeps and counts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cohort.dataset import read_dataset
from engine.cohort.pairs_exams import listed_exams, open_exam
from engine.errors import Unreadable
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
    scan = open_exam(listed_exams(table)[0]).scan
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
    assert (again["before"], again["counts"]) == (1, {})
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


def test_of_several_series_none_is_guessed(exams: Path, tmp_path: Path) -> None:
    save(make_pet(series="late"), tmp_path / "exam" / "late")
    with pytest.raises(Unreadable, match="several pet series; name one in pet_series"):
        open_exam(listed_exams(exams)[0])
    late = str(make_pet(series="late")[0].SeriesInstanceUID)
    exams.write_text(f"folder,report,pet_series\nexam,report.txt,{late}\n")
    assert open_exam(listed_exams(exams)[0]).scan.pet.series_instance_uid == late


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("folder,text\nexam,report.txt\n", "needs the columns folder, report"),
        ("folder,report,name\nexam,report.txt,x\n", "may have study, patient"),
        ("folder,report\nexam,\n", "Line 2 names no folder or no report"),
        ("folder,report,split\nexam,report.txt,dev\n", "Line 2: split"),
        ("folder,report,study\nexam,report.txt,../x\n", "Line 2: study"),
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
