"""What a model said, beside what was made of it: for a file next to the SR, never in it."""

from dataclasses import asdict
from typing import Any

from engine.pipeline.reporting import Documents
from engine.pipeline.words import Worded


def raw_words_of(documents: Documents) -> dict[str, Any] | None:
    """Raw text, reported text and the table of spans of every lesion; None where no model spoke."""
    spoken = [one for one in documents.worded if one.grounded is not None]
    if not spoken:
        return None
    return {
        "sr_sop_instance_uid": str(documents.sr.SOPInstanceUID),
        "study_instance_uid": str(documents.sr.StudyInstanceUID),
        "model": asdict(documents.report.model),
        "lesions": [_lesion(one) for one in documents.worded if one.grounded or one.finding.unable],
    }


def _lesion(one: Worded) -> dict[str, Any]:
    finding, grounded = one.finding, one.grounded
    told: dict[str, Any] = {
        "segment_number": finding.lesion.segment.number,
        "raw_text": None,
        "text": finding.description.text,
        "flags": list(finding.description.warnings),
        "spans": [],
        "unable": None,
    }
    if grounded is not None:
        told |= {
            "raw_text": grounded.raw_text,
            "spans": [asdict(span) for span in grounded.spans],
        }
    if finding.unable is not None:
        told["unable"] = asdict(finding.unable)
    return told
