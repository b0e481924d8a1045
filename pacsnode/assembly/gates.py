"""The two hard gates: one patient, one frame of reference."""

from collections.abc import Sequence
from typing import Literal

from pacsnode.assembly.attributes import items, text
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
    return _space({first} if first else set(), second)


def space_of_mask(mask: Instance, series: Series) -> Verdict:
    """Compare where a mask lies with where a series does.

    ROIs of one RTSTRUCT may lie in several frames of reference (PS3.3 C.8.8.5); each that is not
    the PET's is told of by itself when it is read.
    """
    return _space(spaces_of(mask), series.frame_of_reference_uid)


def spaces_of(mask: Instance) -> set[str]:
    """Every frame of reference that a mask says it lies in; empty where it states none."""
    if mask.frame_of_reference_uid:
        return {mask.frame_of_reference_uid}
    rois = items(mask.attributes, "StructureSetROISequence")
    return {uid for roi in rois if (uid := text(roi, "ReferencedFrameOfReferenceUID"))}


def _space(stated: set[str], uid: str | None) -> Verdict:
    if not stated or not uid:
        return "unknown"
    return "same" if uid in stated else "other"


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
