"""Pairs of a lesion's mask and the sentence said of it, from a PET/CT and its report.

The way of PETAR's authors (paper, section 3.2): SUVmax and slice from sentences, the part of the
PET with that SUVmax on that slice, its contour grown until it settles. What matches nothing is
dropped with a reason; nothing is matched to what is merely near.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.acquisition import SuvRefusal
from engine.cohort.dataset import Example
from engine.cohort.pairs_contour import Limits, lesion_at
from engine.cohort.pairs_records import Exam, record_of_pair
from engine.cohort.pairs_sentences import Said, is_worth_asking, said_in, sentences_of
from engine.volume import Mask, Scan

SAID_BEFORE = "said-before"

Ask = Callable[[str], Sequence[Said]]
REASONS = {
    "no-suv": "states no SUVmax of a lesion",
    "prior-only": "its SUVmax is one of an earlier examination",
    "inexact-suv": "its SUVmax is a bound, a range or approximate",
    "several-suvs": "states more than one SUVmax",
    "no-slice": "states no slice",
    "several-slices": "states more than one slice",
    "no-such-slice": "its slice is not in the PET",
    "no-match": "nothing on that slice has that SUVmax",
    "ambiguous": "several parts on that slice have that SUVmax",
    "unsettled": "the contour does not settle",
    "too-large": "the contour runs out into the body",
    SAID_BEFORE: "an earlier sentence tells of the same lesion",
}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A sentence, or a lesion of one, without a mask, and the code of why (REASONS)."""

    text: str
    code: str


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What became of one report. `sentences` counts them all; one asked may give several pairs."""

    examples: tuple[Example, ...]
    dropped: tuple[Dropped, ...]
    sentences: int
    asked: int = 0

    def counts(self) -> dict[str, int]:
        """How many pairs were made, and how many sentences were dropped for each reason."""
        return {"matched": len(self.examples)} | dict(Counter(one.code for one in self.dropped))


@dataclass(slots=True)
class _Making:
    scan: Scan
    exam: Exam
    limits: Limits
    examples: list[Example] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)

    def match(self, said: Said) -> None:
        found = lesion_at(self.scan, said.suv_max, said.slices, self.limits)
        if isinstance(found, str):
            self.dropped.append(Dropped(said.text, found))
            return
        if any(one.mask.voxels[found.peak_kji] for one in self.examples):
            self.dropped.append(Dropped(said.text, SAID_BEFORE))
            return
        mask = Mask(found.voxels, self.scan.pet.grid)
        record = record_of_pair(said, mask, self.scan, self.exam, len(self.examples) + 1)
        self.examples.append(Example(record, self.scan, mask))


def pairs_of(
    report: str, scan: Scan, exam: Exam, limits: Limits | None = None, ask: Ask | None = None
) -> Pairs:
    """Every pair that a report and its scan make.

    `ask` reads the sentences that name a lesion and that rules cannot settle.
    """
    making = _Making(scan, exam, limits or Limits())
    sentences = list(sentences_of(report))
    if isinstance(scan.suv, SuvRefusal):
        dropped = tuple(Dropped(sentence, scan.suv.code) for sentence in sentences)
        return Pairs((), dropped, len(sentences))
    asked = 0
    for sentence in sentences:
        said = said_in(sentence)
        if isinstance(said, Said):
            making.match(said)
            continue
        told: Sequence[Said] = ()
        if ask is not None and is_worth_asking(said):
            asked += 1
            told = ask(sentence)
        for lesion in told:
            making.match(lesion)
        if not told:
            making.dropped.append(Dropped(sentence, said))
    return Pairs(tuple(making.examples), tuple(making.dropped), len(sentences), asked)
