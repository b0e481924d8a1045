"""What a worker process does with one order: make the documents, write them, give the rows."""

import os
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine.acquisition import SuvConversion
from engine.case import Case
from engine.errors import EngineError
from engine.finding import Describer, Finding, Report, Unreported
from engine.report.style import ReportStyle
from pacsnode.replay.cases import CaseResult, Order

_HOUSE = Path(__file__).parents[2].parts


def describer_named(name: str) -> Describer:
    """The describer that a setting names."""
    from engine.describing.template import Template

    if name != "template":
        raise ValueError(f"no describer is called {name!r}")
    return Template()


def report_one(order: Order) -> CaseResult:
    """Report one case. Never raises: what went wrong is the result."""
    began = time.monotonic()
    try:
        sr, seg, rows = _report(order)
    except EngineError as exc:
        outcome = "failed" if exc.retryable else "refused"
        return CaseResult.of_order(
            order, outcome, exc.code, str(exc), seconds=time.monotonic() - began
        )
    except OSError as exc:
        sentence = f"A file could not be read or written: {exc.strerror}."
        return CaseResult.of_order(
            order, "failed", "disk-fault", sentence, seconds=time.monotonic() - began
        )
    except Exception as exc:  # noqa: BLE001 the worker's loop: a defect ends one case, not all
        # the text of a foreign error may quote the dataset, so that only its place is told
        sentence = f"The program failed on this case: {type(exc).__name__} at {_place(exc)}."
        return CaseResult.of_order(
            order, "failed", "defect", sentence, seconds=time.monotonic() - began
        )
    return CaseResult.of_order(
        order, "reported", "reported", "", sr=sr, seg=seg, rows=rows,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def _place(error: BaseException) -> str:
    """The innermost line of our own code on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parts[: len(_HOUSE)] == _HOUSE]
    own = [frame for frame in own if "site-packages" not in frame.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def _report(order: Order) -> tuple[str, str | None, tuple[Mapping[str, Any], ...]]:
    from engine.pipeline import report_case  # heavy: in the process that reports

    case = Case(pet=order.pet, ct=order.ct, mask=order.mask, lesion_numbers=order.lesion_numbers)
    documents = report_case(
        case,
        describer_named(order.describer),
        ReportStyle(**order.style),
        fractional_threshold=order.fractional_threshold,
    )
    seg = _write(documents.seg, order) if documents.seg is not None else None
    sr = _write(documents.sr, order)  # last: where it lies, the case is done
    rows = rows_of(documents.report, order, str(documents.sr.SOPInstanceUID))
    return sr, seg, tuple(rows)


def _write(dataset: Dataset, order: Order) -> str:
    """Write a document whole or not at all; gives its path relative to the output folder."""
    name = Path(order.study_instance_uid) / f"{dataset.SOPInstanceUID}.dcm"
    path = order.out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    dataset.save_as(part, enforce_file_format=True)
    part.rename(path)
    return str(name)


def rows_of(report: Report, order: Order, sr_uid: str) -> Iterator[dict[str, Any]]:
    """One row of findings.csv for each segment, in ascending number; refused values are absent."""
    shared = _shared(report, order, sr_uid)
    rows = [shared | _row(finding) for finding in report.findings]
    rows += [shared | _unreported_row(segment) for segment in report.unreported]
    for row in sorted(rows, key=lambda row: int(row["segment_number"])):
        row["flags"] = [*dict.fromkeys((*row["flags"], *report.scan.suv.flags, *order.flags))]
        yield row


def _shared(report: Report, order: Order, sr_uid: str) -> dict[str, Any]:
    suv = report.scan.suv
    tracer = report.scan.acquisition.tracer
    return {
        "input_path": order.input_path,
        "study_instance_uid": order.study_instance_uid,
        "pet_series_instance_uid": order.pet_series_instance_uid,
        "ct_series_instance_uid": order.ct_series_instance_uid,
        "mask_sop_instance_uid": order.mask_instance_uid,
        "tracer": _meaning(tracer) or report.scan.acquisition.tracer_name,
        "uptake_min": suv.uptake_min if isinstance(suv, SuvConversion) else None,
        "model": f"{report.model.name} {report.model.version}",
        "sr_sop_instance_uid": sr_uid,
    }


def _row(finding: Finding) -> dict[str, Any]:
    from engine.report.sources import tracking_uid

    segment, measured = finding.lesion.segment, finding.lesion.measurements
    hottest = measured.hottest_slice
    context = ("context",) if segment.role == "context" else ()
    return {
        "segment_number": segment.number,
        "segment_label": segment.label,
        "tracking_uid": tracking_uid(segment),
        **{
            field.name: getattr(measured, field.name)
            for field in fields(measured)
            if field.name.startswith("suv_")
        },
        "volume_cm3": measured.volume_cm3,
        "tlg_g": measured.total_lesion_glycolysis_g,
        "long_axis_mm": measured.long_axis_mm,
        "short_axis_mm": measured.short_axis_mm,
        "slice_instance_number": hottest.instance_number if hottest is not None else None,
        "site": _meaning(finding.description.site),
        "laterality": _meaning(finding.description.laterality),
        "text": finding.description.text,
        "flags": (*context, *segment.flags, *measured.flags, *finding.description.warnings),
    }


def _unreported_row(segment: Unreported) -> dict[str, Any]:
    return {
        "segment_number": segment.number,
        "segment_label": segment.label,
        "text": segment.sentence,
        "flags": (segment.code,),
    }


def _meaning(code: Code | None) -> str | None:
    return None if code is None else str(code.meaning)
