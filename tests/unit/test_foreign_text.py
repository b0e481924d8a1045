"""Text that is not ours is printed as it is, whatever a terminal's markup would make of it."""

from pathlib import Path

import pytest
from pydicom import Dataset
from typer.testing import CliRunner

import pacsnode.cli.application
from pacsnode.cli import app
from pacsnode.demo import tour
from pacsnode.demo.truth import Compared
from tests import makers
from tests.unit.reports import STYLE, Study

HU = "[hnsf'U]"  # UCUM's Hounsfield unit
CLOSES_NOTHING = "[/y]"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (pacsnode.cli.application.console, pacsnode.cli.application.errors):
        monkeypatch.setattr(console, "_width", 200)


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def groups_items(item: Dataset) -> list[Dataset]:
    found = [item]
    for child in item.get("ContentSequence", ()):
        found += groups_items(child)
    return found


@pytest.mark.parametrize("foreign", [HU, CLOSES_NOTHING, "[bold]", ":warning:", "[link=x]"])
def test_show_prints_units_and_names_as_they_are(foreign: str, tmp_path: Path) -> None:
    from engine.report.sr import build_sr

    study = Study(tmp_path, lesions=1)
    sr = makers.written(build_sr(study.report(), study.case, STYLE))
    numbers = [item for item in groups_items(sr) if item.get("ValueType") == "NUM"]
    assert numbers
    for item in numbers:
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = foreign
        item.ConceptNameCodeSequence[0].CodeMeaning = f"Of {foreign} named"
    sr.save_as(tmp_path / "sr.dcm")
    lines = printed("show", tmp_path / "sr.dcm").splitlines()
    rows = [line for line in lines if f"Of {foreign} named" in line]
    assert len(rows) == len(numbers)
    assert all(row.rstrip().endswith(foreign) for row in rows)


@pytest.mark.parametrize("name", ["[bold]", ":warning:", "[hnsf'U]"])
def test_paths_are_printed_as_they_are(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    out = tmp_path / name
    said = printed("replay", tmp_path / "in", "--out", out)
    assert f"{out}/findings.csv" in said.replace("\n", "")
    assert f"{out}/run.json" in said.replace("\n", "")


def test_marks_of_our_own_are_still_colours(tmp_path: Path) -> None:
    said = printed("check", "--home", tmp_path)
    assert "ok   settings: read from" in said
    compared = Compared(1, "suv_max", 4.0, 4.0, 0.1)
    assert tour._cell(compared).plain == "4.00\n4.00"
    assert str(tour._cell(compared).spans[0].style) == "green"
