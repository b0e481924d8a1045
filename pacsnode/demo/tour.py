"""The tour from start to end."""

import json
import queue
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pacsnode.addresses import Destination
from pacsnode.demo.peers import LOOPBACK, RECEIVER, NotSent, receiving, send_study
from pacsnode.demo.truth import Compared, compare
from pacsnode.demo.words import (
    Described,
    Patient,
    described,
    draw_with_words,
    in_words,
    make_patient,
)
from pacsnode.errors import BadSettings
from pacsnode.node import Node
from pacsnode.settings import Settings, read_settings

if TYPE_CHECKING:
    from engine.cohort.phantom import PhantomStudy
    from engine.report.read import ReadReport

STUDY, PATIENT, HOME, REPORT = "study", "patient", "home", "report"  # subfolders of what is kept
SHOWN = (
    ("suv_max", "SUVmax {:.1f}"), ("volume_cm3", "{:.1f} cm3"), ("long_axis_mm", "{:.0f} mm"),
)  # fmt: skip
QUIET_S = 2.0
REPORT_WITHIN_S = 300.0
NO_MODEL = "Without a model the template writes the words, of measurements alone."
DEMONSTRATION = (
    "PETAR's words, of images and mask alone, with the measured numbers put in. This model is a"
    " demonstration trained on synthetic phantoms, not for clinical use."
)


@dataclass(frozen=True, slots=True)
class Words:
    """What the model made of a study of the world it was trained on."""

    sr: Path
    picture: Path
    lesions: tuple[Described, ...]
    lesion_seconds: list[float]


@dataclass(frozen=True, slots=True)
class Toured:
    """What the tour produced."""

    sr: Path
    picture: Path
    report: "ReadReport"
    compared: tuple[Compared, ...]
    seconds: dict[str, float]
    sender: str
    words: Words | None  # where a model wrote

    @property
    def agrees(self) -> bool:
        return bool(self.compared) and all(each.agrees for each in self.compared)


def run_demo(keep: Path | None, model: Path | None, *, as_json: bool = False) -> int:
    """Run the tour and print it; exit code 0 when every number agrees with the truth.

    `model`: the checkpoint folder that writes the words; None lets the template write.
    """
    console = Console(stderr=as_json, highlight=False, markup=False, emoji=False)
    if keep is not None:
        _check_free(keep)
    out = keep or Path(tempfile.mkdtemp(prefix="pacsnode-demo-"))
    try:
        toured = _tour(out, model, console)
    except (NotSent, queue.Empty) as exc:
        said = str(exc) or f"No report came within {REPORT_WITHIN_S:.0f} s."
        console.print(said, style="red")
        return 1
    finally:
        if keep is None:
            for part in (STUDY, PATIENT, HOME):
                shutil.rmtree(out / part, ignore_errors=True)
    if as_json:
        typer.echo(_as_json(toured))
    else:
        _print(toured, console)
    return 0 if toured.agrees else 1


def _check_free(folder: Path) -> None:
    """What an earlier tour left would mix with this one's. Raises BadSettings."""
    if folder.exists() and not folder.is_dir():
        raise BadSettings(f"{folder} is a file: name a folder for --keep")
    for part in (STUDY, PATIENT, HOME, REPORT):
        if (folder / part).exists():
            raise BadSettings(f"{folder / part} is there already: name another folder for --keep")


def _tour(out: Path, model: Path | None, console: Console) -> Toured:
    from engine.cohort.phantom import make_study
    from engine.report.read import read_findings

    seconds: dict[str, float] = {}
    settings = _settings(out, model)
    patient = None
    with _timed(console, seconds, "Making a whole-body PET/CT with six lesions"):
        study = make_study(out / STUDY)
    if model is not None:
        with _timed(console, seconds, "Making a patient of the phantom world"):
            patient = make_patient(out / PATIENT)
    files = (*study.files, *(patient.files if patient else ()))
    studies = {study.study_instance_uid, *([patient.study_instance_uid] if patient else ())}
    with receiving(out / REPORT) as (port, arrived), Node(_sending_to(port, settings)) as node:
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        said = f"Sending {len(files)} objects, {megabytes:.0f} MB, over four associations"
        with _timed(console, seconds, said):
            sender = send_study(files, node.address, "PACSNODE")
        with _timed(console, seconds, "Waiting for the report"):
            srs = _reports(arrived, studies)
    with _timed(console, seconds, "Drawing the picture"):
        picture = _draw(study, out / REPORT / "lesions.png")
    words = None
    if patient is not None:
        with _timed(console, seconds, "Asking the model again, lesion by lesion"):
            words = _words(patient, srs[patient.study_instance_uid], settings)
    sr = srs[study.study_instance_uid]
    report = read_findings(dcmread(sr))
    compared = tuple(compare(report.findings, study.lesions))
    return Toured(sr, picture, report, compared, seconds, sender, words)


def _words(patient: Patient, sr: Path, settings: Settings) -> Words:
    from engine.report.read import read_findings

    picture = sr.parent / "words.png"
    lesion_seconds = draw_with_words(patient, settings.describe, picture)
    lesions = tuple(described(read_findings(dcmread(sr)).findings, patient))
    return Words(sr, picture, lesions, lesion_seconds)


@contextmanager
def _timed(console: Console, seconds: dict[str, float], doing: str) -> Iterator[None]:
    began = time.monotonic()
    with console.status(doing):
        yield
    seconds[doing] = time.monotonic() - began
    console.print(f"{doing}: {seconds[doing]:.1f} s")


def _settings(out: Path, model: Path | None) -> Settings:
    told = {"describer": "petar", "model": model, "allow_demonstration": True}
    return read_settings(
        None,
        {
            "home": out / HOME,
            "log_level": "warning",
            "listen": {"ae_title": "PACSNODE", "address": LOOPBACK, "port": 0, "peers": ()},
            "assembly": {"quiet_s": QUIET_S},
            "describe": {"describer": "template"} if model is None else told,
        },
    )


def _sending_to(port: int, settings: Settings) -> Settings:
    pacs = Destination(name="demo", ae_title=RECEIVER, host=LOOPBACK, port=port)
    return settings.model_copy(update={"destinations": (pacs,)})


def _reports(arrived: "queue.SimpleQueue[Path]", studies: set[str]) -> dict[str, Path]:
    """The first SR of each study that arrives. Raises queue.Empty when one does not in time."""
    deadline = time.monotonic() + REPORT_WITHIN_S
    srs: dict[str, Path] = {}
    while studies - set(srs):
        path = arrived.get(timeout=max(deadline - time.monotonic(), 0.01))
        document: Dataset = dcmread(path, specific_tags=["SOPClassUID", "StudyInstanceUID"])
        if document.SOPClassUID == Comprehensive3DSRStorage:
            srs.setdefault(document.StudyInstanceUID, path)
    return srs


def _draw(study: "PhantomStudy", path: Path) -> Path:
    """The PET with the lesions outlined; the SR holds no picture, so it is read once more."""
    from engine.case import Case
    from engine.describing.template import Template
    from engine.pipeline import report_case
    from engine.report.picture import save_picture
    from engine.report.style import ReportStyle

    case = Case(pet=study.pet, ct=(), mask=study.seg)
    save_picture(report_case(case, Template(), ReportStyle(seed="0" * 64)).report, path)
    return path


def _print(toured: Toured, console: Console) -> None:
    if toured.words is None:
        console.print(NO_MODEL)
        for finding in toured.report.findings:
            console.print(finding.text)
    console.print(_table(toured))
    verdict = "Every number agrees with the phantom's formulas."
    if not toured.agrees:
        verdict = "Numbers in red are off the phantom's formulas."
    console.print(verdict, style="green" if toured.agrees else "red")
    console.print(f"The report (DICOM SR): {toured.sr}", soft_wrap=True)
    console.print(f"The picture:           {toured.picture}", soft_wrap=True)
    if toured.words is not None:
        _print_words(toured.words, console)


def _print_words(words: Words, console: Console) -> None:
    console.print(f"\n{DEMONSTRATION}", style="yellow")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("", "what PETAR says", "measured", "made at"):
        table.add_column(heading, ratio=3 if heading.startswith("what") else None)
    for each in words.lesions:
        measured = "\n".join(
            form.format(each.measured[name]) for name, form in SHOWN if name in each.measured
        )
        wrong = f"\nwrong: {', '.join(each.wrong)}" if each.wrong else ""
        made = Text.assemble(each.made, (wrong, "red"))
        table.add_row(str(each.number), f"{each.text}\n", measured, made)
    console.print(table)
    console.print(in_words(words.lesion_seconds))
    console.print(f"Its report (DICOM SR): {words.sr}", soft_wrap=True)
    console.print(f"Its picture:           {words.picture}", soft_wrap=True)


def _table(toured: Toured) -> Table:
    """Two lines a lesion: the numbers as they came back, and as they are by formula."""
    headings = {
        "suv_max": "SUV\nmax", "suv_mean": "SUV\nmean", "volume_cm3": "\ncm3",
        "total_lesion_glycolysis_g": "TLG\ng", "long_axis_mm": "long\nmm",
        "short_axis_mm": "short\nmm",
    }  # fmt: skip
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\nlesion", min_width=20)
    table.add_column("")
    for heading in headings.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for finding in toured.report.findings:
        found = [each for each in toured.compared if each.lesion == finding.segment_number]
        row = {each.name: each for each in found}
        where = " ".join(code.meaning for code in (finding.laterality, finding.site) if code)
        table.add_row(
            f"{finding.segment_number}  {where}\n",
            Text.assemble("measured\n", ("true", "dim")),
            *(_cell(row[name]) for name in headings),
        )
    return table


def _cell(each: Compared) -> Text:
    measured = "none" if each.measured is None else f"{each.measured:.2f}"
    style = "green" if each.agrees else "red"
    return Text.assemble((measured, style), "\n", (f"{each.true:.2f}", "dim"))


def _as_json(toured: Toured) -> str:
    return json.dumps(
        {
            "agrees": toured.agrees,
            "sr": str(toured.sr),
            "picture": str(toured.picture),
            "sender": toured.sender,
            "seconds": toured.seconds,
            "findings": [
                {"segment_number": finding.segment_number, "text": finding.text}
                for finding in toured.report.findings
            ],
            "compared": [asdict(each) | {"agrees": each.agrees} for each in toured.compared],
            "words": None if toured.words is None else asdict(toured.words),
        },
        indent=2,
        default=str,
    )
