"""A mask object of any kind onto the grid of the PET it belongs to."""

from collections.abc import Collection
from pathlib import Path

from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from engine.errors import GridMismatch, Unreadable
from engine.reading.attributes import Attributes
from engine.reading.content import MaskContent
from engine.reading.part10 import Instance, read_instance
from engine.reading.rtstruct import read_rtstruct
from engine.reading.seg import read_seg
from engine.volume import Volume

__all__ = ["MaskContent", "read_mask"]

LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
SEG_CLASSES = (SegmentationStorage, LABEL_MAP_SEGMENTATION_STORAGE)


def read_mask(
    path: Path,
    pet: Volume,
    *,
    lesion_numbers: Collection[int] | None = None,
    fractional_threshold: float = 0.5,
) -> MaskContent:
    """Every segment or ROI in ascending number, on the PET grid.

    `lesion_numbers` says which are lesions; None leaves it to `engine.reading.roles`.
    Raises GridMismatch when the mask lies in another frame of reference than the PET, Unreadable
    when the object is damaged or is no mask. A single bad segment is listed in `failed` instead.
    """
    instance = read_instance(path)
    if instance.sop_class_uid in SEG_CLASSES:
        _require_same_space(instance, pet)
        return read_seg(
            instance,
            pet,
            lesion_numbers=lesion_numbers,
            fractional_threshold=fractional_threshold,
        )
    if instance.sop_class_uid == RTStructureSetStorage:
        return read_rtstruct(instance, pet, lesion_numbers=lesion_numbers)
    raise Unreadable(
        f"Instance {instance.sop_instance_uid} is neither a segmentation nor an RTSTRUCT but of"
        f" SOP class {instance.sop_class_uid}",
        code="not-a-mask",
    )


def _require_same_space(instance: Instance, pet: Volume) -> None:
    stated = Attributes((instance.header,)).text("FrameOfReferenceUID")
    if stated is None or stated != pet.grid.frame_of_reference_uid:
        raise GridMismatch(
            f"SEG {instance.sop_instance_uid} lies in frame of reference {stated}, the PET in"
            f" {pet.grid.frame_of_reference_uid}",
            code="frame-of-reference-differs",
        )
