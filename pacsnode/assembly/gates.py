"""The two hard gates: one patient, one frame of reference."""

from collections.abc import Sequence
from typing import Literal

from storage.records import Instance, Series

Verdict = Literal["same", "other", "unknown"]


def patient(mask: Instance, series: Series) -> Verdict:
    """Compare the mask's patient with a series', by digest.

    "other" where the Patient IDs (with issuer) differ, or the names with birth dates do, in any
    image; "unknown" where neither pair can be compared, because one side does not state it.
    """
    verdicts = {_patient(mask, one) for one in series.instances}
    return _worst(verdicts)


def space(
    first: str | None,
    second: str | None,
) -> Verdict:
    """Compare two frames of reference; unknown where one is not stated."""
    if not first or not second:
        return "unknown"
    return "same" if first == second else "other"


def _patient(mask: Instance, image: Instance) -> Verdict:
    pairs = (
        (mask.patient_id_digest, image.patient_id_digest),
        (mask.patient_name_digest, image.patient_name_digest),
    )
    judged = [a == b for a, b in pairs if a is not None and b is not None]
    if not judged:
        return "unknown"
    return "same" if all(judged) else "other"


def _worst(verdicts: Sequence[Verdict] | set[Verdict]) -> Verdict:
    if "other" in verdicts:
        return "other"
    return "unknown" if "unknown" in verdicts else "same"
