"""The part of the demo that shows a model: its words beside numbers and truth."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from engine.case import Case
from engine.cohort.world import WorldOptions
from engine.pipeline import report_case
from engine.report.read import read_findings
from engine.report.style import ReportStyle
from pacsnode.demo import tour
from pacsnode.demo.words import described, draw_with_words, in_words, make_patient
from pacsnode.jobs.describers import describing
from pacsnode.settings import read_settings
from tests.model.shipped import ship_toy

torch.set_num_threads(1)
SAYS = "Intense uptake in the liver."
OPTIONS = WorldOptions(spacing_mm=(8.0, 6.0, 6.0), findings=(3, 3))


def test_words_stand_beside_what_was_measured_and_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_toy(tmp_path / "demonstration", monkeypatch, says=SAYS)
    told = {"describer": "petar", "model": "demo", "allow_demonstration": True}
    settings = read_settings(None, {"describe": told})
    patient = make_patient(tmp_path / "patient", OPTIONS)
    seconds = draw_with_words(patient, settings.describe, tmp_path / "words.png")
    assert len(seconds) == len(patient.study.records)
    assert (tmp_path / "words.png").read_bytes().startswith(b"\x89PNG")

    files = {part: tuple((tmp_path / "patient" / part).iterdir()) for part in ("PET", "CT")}
    with describing(settings.describe) as describer:
        case = Case(pet=files["PET"], ct=files["CT"], mask=patient.seg)
        made = report_case(case, describer, ReportStyle(seed="1" * 64))
    lesions = tuple(described(read_findings(made.sr).findings, patient))
    for each, record in zip(lesions, patient.study.records, strict=True):
        assert each.text.startswith(SAYS)  # without the sentence that stands before every text
        assert str(record.site) in each.made
        assert ("organ" in each.wrong) == (record.organ_group != "Liver")
        assert each.measured["suv_max"] == pytest.approx(record.measured["suv_max"], rel=0.01)

    console = Console(record=True, width=100)
    words = tour.Words(tmp_path / "sr.dcm", tmp_path / "words.png", lesions, seconds)
    tour._print_words(words, console)
    said = " ".join(console.export_text().split())
    assert "demonstration trained on synthetic phantoms, not for clinical use" in said
    assert f"SUVmax {lesions[0].measured['suv_max']:.1f}" in said
    assert in_words(seconds) in said


def test_the_time_of_a_lesion_is_told() -> None:
    assert in_words([1.0, 2.0]).startswith("A lesion took 1.5 s, the slowest 2.0 s")
    assert in_words([]) == "No lesion was described."


def test_the_demo_lets_the_demonstration_write_and_no_other_node(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    told = tour._settings(tmp_path, folder).describe
    assert (told.describer, told.model, told.allow_demonstration) == ("petar", folder, True)
    assert tour._settings(tmp_path, None).describe.describer == "template"
