"""Case: the files that one report is made from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """Paths of one PET series, one CT series (may be empty) and one mask object (SEG or RTSTRUCT).

    `lesion_numbers` says which segments (SegmentNumber) or ROIs (ROINumber) are lesions; None
    leaves it to the rule of `engine.reading.roles`. `label_maps` are other SEGs of the study that
    mark organs, by which a model's words are judged.
    """

    pet: tuple[Path, ...]
    ct: tuple[Path, ...]
    mask: Path
    lesion_numbers: tuple[int, ...] | None = None
    label_maps: tuple[Path, ...] = ()
