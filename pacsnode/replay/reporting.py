"""What a worker process does with one order: make the documents, write them, give the rows."""

import hashlib
import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine.acquisition import SuvConversion
from engine.case import Case
from engine.errors import EngineError, ModelFault
from engine.finding import Describer, Report, Unreported
from engine.report.style import ReportStyle
from pacsnode.jobs.describers import Absent
from pacsnode.replay.cases import CaseResult, Order

if TYPE_CHECKING:
    from engine.pipeline import Documents, Worded

_HOUSE = Path(__file__).parents[2].parts


def report_one(
    order: Order, describer: Describer | None = None, *, instead: bool = False
) -> CaseResult:
    """Report one case; without a describer, by the template. Never raises.

    What went wrong is the result; a model that fails is replaced by the template if `instead`.
    """
    began = time.monotonic()
    outcome, code, sentence, made = _tried(order, describer or _template(), instead=instead)
    return CaseResult.of_order(
        order, outcome, code, sentence, **made, seconds=time.monotonic() - began
    )


def _template() -> Describer:
    from engine.describing.template import Template

    return Template()


def _tried(
    order: Order, describer: Describer, *, instead: bool
) -> tuple[str, str, str, dict[str, Any]]:
    """The outcome, its code and sentence, and what was made."""
    try:
        return "reported", "reported", "", _report(order, describer)
    except ModelFault as exc:
        if instead:
            return _tried(order, Absent(str(exc), exc.code), instead=False)
        return "failed", exc.code, str(exc), {}
    except EngineError as exc:
        return "failed" if exc.retryable else "refused", exc.code, str(exc), {}
    except OSError as exc:
        # an error of a library's own has no strerror, and its text may quote what was read
        sentence = f"A file could not be read or written: {exc.strerror or type(exc).__name__}."
        return "failed", "disk-fault", sentence, {}
    except Exception as exc:  # noqa: BLE001 the worker's loop: a defect ends one case, not all
        # the text of a foreign error may quote the dataset, so that only its place is told
        sentence = f"The program failed on this case: {type(exc).__name__} at {_place(exc)}."
        return "failed", "defect", sentence, {}


def _place(error: BaseException) -> str:
    """The innermost line of our own code on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parts[: len(_HOUSE)] == _HOUSE]
    own = [frame for frame in own if "site-packages" not in frame.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def _report(order: Order, describer: Describer) -> dict[str, Any]:
    # heavy: in the process that reports
    from engine.pipeline import lesion_records_of, raw_words_of, report_case
    from pacsnode.jobs.encoding import encoded

    case = Case(order.pet, order.ct, order.mask, order.lesion_numbers, order.label_maps)
    documents = report_case(
        case,
        describer,
        ReportStyle(**order.style),
        fractional_threshold=order.fractional_threshold,
    )
    seg = _write(documents.seg, order) if documents.seg is not None else None
    raw_words, words = raw_words_of(documents), None
    if raw_words is not None:  # named as in a node's archive
        digest = hashlib.sha256(encoded(documents.sr)).hexdigest()
        words = _write_json(raw_words, order, f"{digest}.words.json")
    _write_json(lesion_records_of(documents), order, f"{documents.sr.SOPInstanceUID}.json")
    sr = _write(documents.sr, order)  # last: where it lies, the case is done
    return {"sr": sr, "seg": seg, "words": words, "rows": tuple(rows_of(documents, order))}


def _write(dataset: Dataset, order: Order) -> str:
    """Write a document; gives its path relative to the output folder."""
    with _whole(order, f"{dataset.SOPInstanceUID}.dcm") as (part, name):
        dataset.save_as(part, enforce_file_format=True)
    return name


def _write_json(told: Any, order: Order, file: str) -> str:
    """Write what is told; gives its path relative to the output folder."""
    with _whole(order, file) as (part, name):
        part.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return name


@contextmanager
def _whole(order: Order, file: str) -> Iterator[tuple[Path, str]]:
    """A file of the study's folder, there whole or not at all: where to write it, and its name."""
    name = Path(order.study_instance_uid) / file
    path = order.out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{file}.{os.getpid()}.part")
    yield part, str(name)
    part.rename(path)


def rows_of(documents: "Documents", order: Order) -> Iterator[dict[str, Any]]:
    """One row of findings.csv for each segment, in ascending number; refused values are absent."""
    report = documents.report
    shared = _shared(report, order, str(documents.sr.SOPInstanceUID))
    rows = [shared | _row(one, report) for one in documents.worded]
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
        "sr_sop_instance_uid": sr_uid,
    }


def _row(worded: "Worded", report: Report) -> dict[str, Any]:
    from engine.report.sources import tracking_uid

    finding = worded.finding
    segment, measured = finding.lesion.segment, finding.lesion.measurements
    hottest = measured.hottest_slice
    context = ("context",) if segment.role == "context" else ()
    unable = (finding.unable.code,) if finding.unable is not None else ()
    writer = finding.writer or report.model
    return {
        "model": f"{writer.name} {writer.version}",
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
        "flags": (
            *context, *segment.flags, *measured.flags, *unable, *finding.description.warnings,
        ),
        "raw_text": worded.grounded.raw_text if worded.grounded is not None else None,
    }  # fmt: skip


def _unreported_row(segment: Unreported) -> dict[str, Any]:
    return {
        "segment_number": segment.number,
        "segment_label": segment.label,
        "text": segment.sentence,
        "flags": (segment.code,),
    }


def _meaning(code: Code | None) -> str | None:
    return None if code is None else str(code.meaning)
