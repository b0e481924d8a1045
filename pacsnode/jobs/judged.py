"""What persons said of reports, as the journal keeps it, and which report stands for another."""

from collections.abc import Iterator, Sequence
from typing import Final

from pacsnode.jobs.asked import REJECT, VERIFY
from pacsnode.jobs.journal import is_given_up, last_of_seed
from pacsnode.jobs.orders import ReportOrder
from storage.records import Decision

JUDGES: Final = "judges"  # facts of the line: the SR that was judged, and the seed of its report
JUDGED_SEED: Final = "judged_seed"
KIND: Final = "kind"  # "verified", "corrected" (findings were rejected) or "rejected"


def judgements(lines: Sequence[Decision]) -> Iterator[Decision]:
    """What persons said of the reports of a mask, oldest first; what came to nothing is left out.

    Facts of each: `judges`, `judged_seed`, `kind`, `seed` of what is written, `by`, `reason`,
    `asked_at`, and `findings`, the tracking UIDs that were rejected.
    """
    told: set[str] = set()
    for line in lines:
        if line.code not in (VERIFY, REJECT) or JUDGES not in line.facts:
            continue
        seed = str(line.facts["seed"])
        if seed not in told and not is_given_up(last_of_seed(lines, seed)):
            told.add(seed)
            yield line


def judgement_of_seed(lines: Sequence[Decision], seed: str) -> Decision | None:
    """The line that asked for the document of this seed; None for a report of its own."""
    about = (line for line in lines if line.code in (VERIFY, REJECT) and JUDGES in line.facts)
    return next((line for line in about if line.facts["seed"] == seed), None)


def standing_seed(lines: Sequence[Decision], seed: str) -> str:
    """What stands in the place of a report since persons judged it: itself where nobody did."""
    for line in judgements(lines):
        if line.facts[JUDGED_SEED] == seed:
            seed = str(line.facts["seed"])
    return seed


def is_rejected(lines: Sequence[Decision], sr: str) -> bool:
    """Whether a person rejected an SR, wholly or in part: it is sent to nobody any more."""
    return any(line.code == REJECT and line.facts[JUDGES] == sr for line in judgements(lines))


def open_orders(lines: Sequence[Decision], destinations: Sequence[str]) -> Iterator[ReportOrder]:
    """What is still to be written down of what persons said.

    A report goes to the destinations of today, a note to those of the report that it rejects.
    """
    for line in judgements(lines):
        last = last_of_seed(lines, str(line.facts["seed"]))
        if last is not None and last.state in ("ready", "running"):
            yield ReportOrder(
                study=line.study_instance_uid, mask=str(line.mask_instance_uid),
                seed=str(line.facts["seed"]), mask_path="", pet_paths=[], ct_paths=[],
                label_map_paths=[], lesion_numbers=[], earlier_masks=[],
                destinations=list(line.facts.get("destinations", destinations)),
                judges=str(line.facts[JUDGES]), kind=str(line.facts[KIND]),
            )  # fmt: skip
