"""The two hard gates: one patient, one frame of reference."""

from collections.abc import Sequence
from typing import Literal

from storage.records import Instance, Series

Verdict = Literal["same", "other", "unknown"]


def patient(known: Sequence[Instance], series: Series) -> Verdict:
    """Compare the patient of objects that are known (the mask, its PET) with a series', by digest.

    "other" where the Patient IDs differ, or the names with birth dates do, in any image;
    "unknown" where neither can be compared with any of them, because nothing states it.
    """
    verdicts = [_patient(known, one) for one in series.instances]
    if "other" in verdicts:
        return "other"
    return "unknown" if "unknown" in verdicts else "same"


def space(first: str | None, second: str | None) -> Verdict:
    """Compare two frames of reference; unknown where one is not stated."""
    if not first or not second:
        return "unknown"
    return "same" if first == second else "other"


def _patient(known: Sequence[Instance], image: Instance) -> Verdict:
    pairs = [
        pair
        for one in known
        for pair in (
            (one.patient_id_digest, image.patient_id_digest),
            (one.patient_name_digest, image.patient_name_digest),
        )
    ]
    judged = [first == second for first, second in pairs if first and second]
    if not judged:
        return "unknown"
    return "same" if all(judged) else "other"
