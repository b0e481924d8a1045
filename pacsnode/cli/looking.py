"""status, why, show, reindex: what the node has, knows and decided."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pacsnode.cli.application import (
    AsJson,
    Config,
    Home,
    archive_of,
    console,
    fail,
    print_json,
    settings_from,
)

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

    from engine.report.read import ReadFinding, ReadReport, ReadValue
    from pacsnode.assembly.arrivals import Arrival
    from storage.archive import Archive
    from storage.records import Decision

STATES = (
    "waiting", "ready", "running", "reported", "delivered", "superseded", "context", "refused",
    "failed", "cancelled", "rejected",
)  # fmt: skip


def node_archive(config: Path | None, home: Path | None) -> "Archive":
    """The archive of a node, which may be running; a folder without one is an error."""
    return archive_of(settings_from(config, home))


def status(config: Config = None, home: Home = None, as_json: AsJson = False) -> None:
    """What the node holds, and how far its reports are."""
    import shutil

    with node_archive(config, home) as archive:
        latest = archive.latest_decisions()
        states = Counter[str](decision.state for decision in latest)
        disk = shutil.disk_usage(archive.root)
        quarantined = archive.quarantined()
        counts = archive.counts()
        answer: dict[str, Any] = {
            "studies": counts.pop("studies"),
            "objects": counts,
            "masks": {state: states[state] for state in STATES if states[state]},
            "held": [line_fields(line) for line in latest if _is_held(line, archive)],
            "attention": [line_fields(line) for line in latest if _needs_a_person(line)],
            "quarantined": [instance.sop_instance_uid for instance in quarantined],
            "model": _model(config, home),
            "disk_free_gb": round(disk.free / 1e9, 1),
        }
    if as_json:
        print_json(answer)
        return
    table = Table("What", "Count", box=None)
    table.add_row("studies", str(answer["studies"]))
    for section in ("objects", "masks"):
        for name, count in answer[section].items():
            table.add_row(f"{section}: {name}", str(count))
    table.add_row("disk free", f"{answer['disk_free_gb']} GB")
    console.print(table)
    if answer["model"] is not None:
        style = None if answer["model"]["state"] == "ready" else "yellow"
        said = answer["model"]["in_words"]
        console.print(f"model: {said}", style=style, soft_wrap=True)
    for line in answer["held"]:
        said = f"held until it is accepted: report {line['facts']['sr']}"
        console.print(f"{said} of mask {line['mask_instance_uid']}", style="yellow", soft_wrap=True)
    for line in answer["attention"]:
        text = f"{line['state']} ({line['code']}): mask {line['mask_instance_uid']}"
        console.print(text, style="yellow", soft_wrap=True)
        for reason in line["reasons"]:
            console.print(f"  {reason}", soft_wrap=True)
    for uid in answer["quarantined"]:
        console.print(f"quarantined: {uid}", style="yellow")


def _needs_a_person(line: "Decision") -> bool:
    # "now": its report stands, and with what is here today it would not be made
    return line.state in ("refused", "failed") or "now" in line.facts


def _is_held(line: "Decision", archive: "Archive") -> bool:
    """Whether a report waits for a person to let it out."""
    from pacsnode.jobs.withholding import held

    if line.state not in ("reported", "failed") or "documents" not in line.facts:
        return False
    lines = archive.decisions(line.study_instance_uid, line.mask_instance_uid)
    return bool(held(lines, line.facts["seed"]))


def _model(config: Path | None, home: Path | None) -> dict[str, Any] | None:
    """What the worker last said of its model; None for a node without one."""
    from pacsnode.jobs.model_status import read_model_status

    settings = settings_from(config, home)
    status = read_model_status(settings.home)
    return None if status is None else {**asdict(status), "in_words": status.in_words()}


def why(
    study_uid: Annotated[str, typer.Argument(metavar="STUDY_UID")],
    config: Config = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What came of a study, what it waits for, what was chosen and refused, and why."""
    from pacsnode.assembly.arrivals import arrivals
    from pacsnode.assembly.words import explain

    with node_archive(config, home) as archive:
        decisions = archive.decisions(study_uid)
        study = archive.study(study_uid)
    known = bool(decisions) or study is not None
    came = () if study is None else arrivals(study)
    if as_json:
        print_json(
            {
                "study_instance_uid": study_uid,
                "series": [_came(one) for one in came],
                "decisions": [line_fields(decision) for decision in decisions],
            }
        )
    else:
        for line in explain(study_uid, decisions, came):
            console.print(line, soft_wrap=True)
    raise typer.Exit(0 if known else 1)


def _came(series: "Arrival") -> dict[str, Any]:
    return asdict(series) | {
        "first_received_at": series.first_received_at.isoformat(),
        "last_received_at": series.last_received_at.isoformat(),
    }


def line_fields(decision: "Decision") -> dict[str, Any]:
    return {
        "study_instance_uid": decision.study_instance_uid,
        "mask_instance_uid": decision.mask_instance_uid,
        "state": decision.state,
        "code": decision.code,
        "reasons": list(decision.reasons),
        "decided_at": decision.decided_at.isoformat(),
        "facts": _thawed(decision.facts),
    }


def _thawed(value: Any) -> Any:
    """The same as JSON knows it."""
    if isinstance(value, Mapping):
        return {key: _thawed(inner) for key, inner in value.items()}
    return [_thawed(inner) for inner in value] if isinstance(value, tuple | list) else value


def reindex(config: Config = None, home: Home = None, as_json: AsJson = False) -> None:
    """Rebuild the index from the kept files alone. Stop the node first."""
    from storage.archive import reindex as rebuild

    root = settings_from(config, home).home / "archive"
    if not root.is_dir():
        fail(f"{root} holds no archive: is this the node's home? (--home, or the setting home)")
    counts = _plain(rebuild(root))
    if as_json:
        print_json(counts)
        return
    for name, count in counts.items():
        console.print(f"{name}: {count}")


def _plain(counts: Any) -> Mapping[str, Any]:
    return counts if isinstance(counts, Mapping) else asdict(counts)


def show(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], as_json: AsJson = False
) -> None:
    """Print an SR as a table: ours, or another tool's TID 1500."""
    from pydicom import dcmread

    from engine.reading.part10 import FOREIGN
    from engine.report.read import read_findings
    from storage.header import said

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values, which may be the patient's
            document = dcmread(file)
            sop_class = str(document.get("SOPClassUID", ""))
            # values are converted when they are read, so that a damaged one is met only here
            report = read_findings(document) if "ContentSequence" in document else None
    except FOREIGN as exc:
        fail(f"{file} is not a DICOM file that can be read ({type(exc).__name__})")
    if report is None:
        fail(f"{file} is no structured report: its SOP class is {said(sop_class)}")
    if as_json:
        print_json(_report_fields(report))
    else:
        _print_report(report)


def _print_report(report: "ReadReport") -> None:
    console.print(_meaning(report.title) or "Structured report", style="bold")
    said = f"SR {report.sop_instance_uid} of study {report.study_instance_uid}"
    console.print(said, soft_wrap=True)
    for comment in report.comments:
        console.print(comment)
    if not report.findings:
        console.print("No measurement groups: not a TID 1500 report, or an empty one.")
    for finding in report.findings:
        _print_finding(finding)


def _print_finding(finding: "ReadFinding") -> None:
    title = [finding.tracking_identifier or "Measurement group"]
    if finding.segment_number is not None:
        title.append(f"segment {finding.segment_number}")
    title += [word for word in (_meaning(finding.finding), _place(finding)) if word]
    console.print()
    console.print(", ".join(title), style="bold")
    if finding.text:
        console.print(finding.text)
    table = Table("Measurement", "Value", "Unit", box=None, padding=(0, 2))
    for value in finding.values:
        number = "not stated" if value.value is None else f"{value.value:.6g}"
        table.add_row(_name(value), number, value.unit.value if value.unit else "")
    if finding.values:
        console.print(table)
    for question, answer in finding.evaluations:
        console.print(f"{question.meaning}: {answer.meaning}")


def _report_fields(report: "ReadReport") -> dict[str, Any]:
    return {
        "title": _meaning(report.title),
        "sop_instance_uid": report.sop_instance_uid,
        "study_instance_uid": report.study_instance_uid,
        "comments": list(report.comments),
        "findings": [_finding_fields(finding) for finding in report.findings],
    }


def _finding_fields(finding: "ReadFinding") -> dict[str, Any]:
    return {
        "tracking_identifier": finding.tracking_identifier,
        "tracking_uid": finding.tracking_uid,
        "finding": _meaning(finding.finding),
        "site": _meaning(finding.site),
        "laterality": _meaning(finding.laterality),
        "segmentation_uid": finding.segmentation_uid,
        "segment_number": finding.segment_number,
        "text": finding.text,
        "values": [
            {
                "name": _name(value),
                "value": value.value,
                "unit": value.unit.value if value.unit else None,
            }
            for value in finding.values
        ],
        "evaluations": [[question.meaning, answer.meaning]
                        for question, answer in finding.evaluations],
    }  # fmt: skip


def _name(value: "ReadValue") -> str:
    return " ".join(_words(value.concept, value.derivation))


def _place(finding: "ReadFinding") -> str:
    return " ".join(_words(finding.laterality, finding.site))


def _words(*named: "Code | None") -> Iterator[str]:
    return (code.meaning for code in named if code is not None)


def _meaning(code: "Code | None") -> str | None:
    return None if code is None else str(code.meaning)
