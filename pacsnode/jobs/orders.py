"""What a job is told, and what its steps answer: JSON of ids, digests and sentences only."""

from typing import Literal, NotRequired, TypedDict


class ReportOrder(TypedDict):
    """One report to make. Paths are relative to the archive's root."""

    study: str  # StudyInstanceUID
    mask: str  # SOPInstanceUID of the SEG or RTSTRUCT
    seed: str  # hex; every UID of the report derives from it
    mask_path: str
    pet_paths: list[str]
    ct_paths: list[str]
    label_map_paths: list[str]
    lesion_numbers: list[int]
    earlier_masks: list[str]  # earlier versions of this mask, the latest first
    destinations: list[str]  # names
    first: NotRequired[int]  # the try that began this round of them; 1 where it is not stated
    judges: NotRequired[str]  # the SR that a person judged, where that is what is written down
    kind: NotRequired[str]  # "verified", "corrected" or "rejected": what came of it


class DeliveryOrder(TypedDict):
    """One set of documents to bring to one destination."""

    study: str
    mask: str
    seed: str
    documents: list[str]  # SOPInstanceUIDs, in the order to send; the SR is the last
    destination: str
    destinations: list[str]  # all that must have it before it counts as delivered
    first: NotRequired[int]  # as above
    rejects: NotRequired[str]  # of a note on a report that a person rejected: that SR


class FetchOrder(TypedDict):
    """Images to ask sources for: what a mask lacks is found anew at every try."""

    study: str
    mask: str
    first: int  # the try that began this round of asking
    refused: list[str]  # sources that refused for good, and are not asked again in this round


class Asked(TypedDict):
    """What one try to fetch came to; `over`: nothing is missing, or nobody waits for it."""

    outcome: Literal["over", "again"]
    sentences: list[str]  # a source each; none where none was asked
    refused: list[str]


class Made(TypedDict):
    """What making a report came to.

    `again` comes with a further try after a while; `counted` says whether tries are limited.
    """

    outcome: Literal["made", "refused", "again", "failed"]
    code: str
    reasons: list[str]
    documents: list[str]
    counted: bool


class Sent(TypedDict):
    """What one try to deliver came to."""

    outcome: Literal["delivered", "again", "parked", "held", "shadowed", "stopped", "cancelled"]
    reasons: list[str]
    answers: NotRequired[list[dict[str, str]]]  # what was said of each document, where it was
