"""A describer asked about the lesions of a dataset, as a node would ask it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pydicom.uid import SegmentationStorage

from engine.cohort.dataset import Example
from engine.cohort.record import Record
from engine.errors import ModelFault, UnusableCase
from engine.finding import Describer, Description, Unable
from engine.lesion import Lesion, Segment
from engine.measuring.lesions import measure
from engine.volume import Mask, Scan


@dataclass(frozen=True, slots=True)
class Answer:
    """What a describer said of one lesion; `text` is empty where it had no words."""

    record: Record
    text: str
    unable: Unable | None = None


def answers_of(describer: Describer, examples: Iterable[Example]) -> Iterator[Answer]:
    """The raw words for every lesion, in order; a study's lesions are asked about together.

    The describer sees neutral labels, no site and no side: only images and mask tell it anything.
    `examples` of one study follow each other. Raises ModelFault.
    """
    for _, study in groupby(examples, key=lambda one: one.record.study_id):
        yield from _of_study(describer, list(study))


def lesion_of(scan: Scan, mask: Mask, number: int = 1) -> Lesion:
    """The mask as a measured lesion with a neutral label. Raises UnusableCase."""
    segment = Segment(
        number=number,
        label=f"Lesion {number}",
        role="lesion",
        mask=mask,
        source_class_uid=SegmentationStorage,
        source_instance_uid=f"2.25.{number}",
    )
    return Lesion(segment, measure(segment, scan))


def words_of(describer: Describer, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[str | Unable]:
    """What the describer says of each lesion. Raises ModelFault where it is not one answer each."""
    told = describer.describe(scan, lesions) if lesions else ()
    if len(told) != len(lesions):
        name = describer.identity.name
        raise ModelFault(f"{name} described {len(told)} of {len(lesions)} lesions")
    return [one.text if isinstance(one, Description) else one for one in told]


def _of_study(describer: Describer, study: Sequence[Example]) -> Iterator[Answer]:
    scan, refused = study[0].scan, dict[int, Unable]()
    lesions: list[Lesion] = []
    for number, example in enumerate(study, 1):
        try:
            lesions.append(lesion_of(scan, example.mask, number))
        except UnusableCase as exc:
            refused[number] = Unable(exc.code, str(exc))
    said = dict(
        zip(
            (one.segment.number for one in lesions),
            words_of(describer, scan, lesions),
            strict=True,
        )
    )
    for number, example in enumerate(study, 1):
        words = refused.get(number) or said[number]
        if isinstance(words, Unable):
            yield Answer(example.record, "", words)
        else:
            yield Answer(example.record, words)
