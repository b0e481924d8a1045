"""What a mask object lacks, in the words in which a source can be asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pacsnode.assembly.readiness import assess
from pacsnode.assembly.references import references_of
from pacsnode.settings import Assembly
from storage.records import Instance, Series


@dataclass(frozen=True, slots=True)
class Needs:
    """Where its images would be: in its study, its frame of reference, the series it names."""

    study_instance_uid: str
    series_instance_uids: frozenset[str]
    frame_of_reference_uid: str | None


def needs_of(mask: Instance, candidates: Sequence[Series], rules: Assembly) -> Needs | None:
    """What to ask for; None where nothing is missing that a report would be made from."""
    assessment = assess(mask, candidates, quiet=False, rules=rules)
    if assessment.state != "waiting" or assessment.code == "waiting-for-quiet":
        return None
    series = references_of(mask, candidates).series_uids
    return Needs(mask.study_instance_uid, series, mask.frame_of_reference_uid)
