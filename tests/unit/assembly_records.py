"""Index records made by hand for the tests of assembly: no files, no clock."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.records import Instance, Reference, Series

PET = "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
CT = "1.2.840.10008.5.1.4.1.1.2"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
MODALITY = {PET: "PT", ENHANCED_PET: "PT", CT: "CT", SEG: "SEG", RTSTRUCT: "RTSTRUCT"}
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
LESION = {"CodeValue": "49755003", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Altered"}
ANATOMY = {"CodeValue": "123037004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical"}


def make_instance(sop_class: str, name: str, **fields: Any) -> Instance:
    """A record; fields of Instance by their names, everything else is an attribute."""
    own = {
        key: fields.pop(key)
        for key in tuple(fields)
        if key in Instance.__dataclass_fields__ and key != "attributes"
    }
    stated: dict[str, Any] = {
        "sop_instance_uid": f"1.2.3.{_number(name)}",
        "sop_class_uid": sop_class,
        "series_instance_uid": "1.2.3.1",
        "study_instance_uid": "1.2.3",
        "modality": MODALITY[sop_class],
        "frame_of_reference_uid": "1.2.3.9",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "references": (),
        "path": Path(name),
        "size_bytes": 1,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "calling_ae": "SENDER",
        "received_at": START,
        "patient_id_digest": "id",
        "patient_name_digest": "name",
    }
    return Instance(**{**stated, **own}, attributes=fields)


def make_images(
    sop_class: str,
    name: str,
    *,
    slices: int = 10,
    spacing_mm: float = 3.0,
    first_mm: float = 0.0,
    **fields: Any,
) -> tuple[Instance, ...]:
    """The slices of an axial series, its UID derived from `name`; PET is corrected, STATIC."""
    stated: dict[str, Any] = {
        "series_instance_uid": f"1.2.3.{_number(name)}",
        "ImageType": ("ORIGINAL", "PRIMARY"),
        "ImageOrientationPatient": AXIAL,
        "SliceThickness": spacing_mm,
        "AcquisitionDate": "20260301",
        "AcquisitionTime": "090000",
    }
    if sop_class == PET:
        stated |= {
            "CorrectedImage": ("ATTN", "DECY"),
            "SeriesType": ("STATIC", "IMAGE"),
            "NumberOfSlices": slices,
        }
    return tuple(
        make_instance(
            sop_class,
            f"{name}/{k}",
            **{
                "ImagePositionPatient": (-50.0, -50.0, first_mm + k * spacing_mm),
                "InstanceNumber": k,
            }
            | stated
            | fields,
        )
        for k in range(slices)
    )


def make_seg(name: str = "seg", *, on: Sequence[Instance] = (), **fields: Any) -> Instance:
    """A SEG of one lesion which refers to the images it is drawn `on`."""
    stated: dict[str, Any] = {
        "series_instance_uid": f"1.2.3.{_number(name)}",
        "references": refer_to(on),
        "SegmentSequence": (segment(1),),
    }
    return make_instance(SEG, name, **stated | fields)


def make_rtstruct(name: str = "rt", *, on: Sequence[Instance] = (), **fields: Any) -> Instance:
    """An RTSTRUCT of one GTV."""
    stated: dict[str, Any] = {
        "series_instance_uid": f"1.2.3.{_number(name)}",
        "references": refer_to(on),
        "StructureSetROISequence": ({"ROINumber": 1, "ROIName": "tumour"},),
        "RTROIObservationsSequence": ({"ReferencedROINumber": 1, "RTROIInterpretedType": "GTV"},),
    }
    return make_instance(RTSTRUCT, name, **stated | fields)


def segment(number: int, category: dict[str, str] | None = LESION, **more: Any) -> dict[str, Any]:
    """An item of SegmentSequence."""
    item: dict[str, Any] = {"SegmentNumber": number, "SegmentLabel": f"Segment {number}", **more}
    if category is not None:
        item["SegmentedPropertyCategoryCodeSequence"] = (category,)
    return item


def refer_to(images: Sequence[Instance]) -> tuple[Reference, ...]:
    """References to instances, with their series."""
    return tuple(
        Reference(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
        for one in images
    )


def candidates(*instances: Instance) -> tuple[Series, ...]:
    """Image instances grouped as the archive does: by series UID and SOP class."""
    groups: dict[tuple[str, str], list[Instance]] = {}
    for one in instances:
        groups.setdefault((one.series_instance_uid, one.sop_class_uid), []).append(one)
    return tuple(
        Series(uid, sop_class, first.study_instance_uid, first.modality,
               first.frame_of_reference_uid, tuple(group))
        for (uid, sop_class), group in groups.items()
        for first in (group[0],)
    )  # fmt: skip


def later(seconds: float) -> datetime:
    """So many seconds after everything else came."""
    return START + timedelta(seconds=seconds)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
