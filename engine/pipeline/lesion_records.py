"""The lesions of a report in the keys of PETAR's lesion schema, for a file next to the SR."""

from typing import Any

from engine.finding import Finding, Report
from engine.grounding import Grounded
from engine.grounding.record import schema_of
from engine.pipeline.reporting import Documents


def lesion_records_of(documents: Documents) -> dict[str, Any]:
    """Every lesion with its words, codes, checks and measurements; context segments are none."""
    report = documents.report
    return {
        "study_instance_uid": str(documents.sr.StudyInstanceUID),
        "sr_sop_instance_uid": str(documents.sr.SOPInstanceUID),
        "lesions": [
            _record(finding, report)
            for finding in report.findings
            if finding.lesion.segment.role == "lesion"
        ],
    }


def _record(finding: Finding, report: Report) -> dict[str, Any]:
    said = finding.description
    unable = (finding.unable.code,) if finding.unable is not None else ()
    grounded = Grounded(
        text=said.text,
        site=said.site,
        laterality=said.laterality,
        flags=(*unable, *said.warnings),
        spans=(),
        raw_text="",
    )
    return schema_of(grounded, finding.lesion, finding.writer or report.model)
