"""Which attributes the catalog remembers, by DICOM keyword: one list, read by everything else.

Nothing here tells who the patient is. A mapping under a sequence names what is kept of its items.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword

Chosen: TypeAlias = "Mapping[str, Chosen | None]"
ChosenTags: TypeAlias = "dict[int, Wanted]"


class Wanted(NamedTuple):
    """One chosen attribute: what to call it, how to decode it, what to keep of its items."""

    keyword: str
    vr: str
    nested: "ChosenTags | None"


def _plain(*keywords: str) -> dict[str, "Chosen | None"]:
    return dict.fromkeys(keywords)


CODE: Final[Chosen] = _plain("CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodeMeaning")
MODIFIED_CODE: Final[Chosen] = {
    **CODE,
    "SegmentedPropertyTypeModifierCodeSequence": CODE,
    "AnatomicRegionModifierSequence": CODE,
}
REFERENCED_SERIES: Final[Chosen] = _plain("SeriesInstanceUID")
PLANE: Final[Chosen] = {
    "PixelMeasuresSequence": _plain("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlaneOrientationSequence": _plain("ImageOrientationPatient"),
    "PlanePositionSequence": _plain("ImagePositionPatient"),
    "FrameContentSequence": _plain(
        "TemporalPositionIndex", "FrameAcquisitionDateTime", "FrameReferenceDateTime"
    ),
}

GENERAL: Final[Chosen] = _plain(
    "ImageType", "InstanceCreationDate", "InstanceCreationTime", "TimezoneOffsetFromUTC",
    "StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime",
    "AcquisitionDateTime", "ContentDate", "ContentTime", "SeriesDescription", "SeriesNumber",
    "InstanceNumber", "AcquisitionNumber", "ProtocolName", "PatientPosition", "BodyPartExamined",
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber",
    "SynchronizationFrameOfReferenceUID",
)  # fmt: skip

PLANE_OF_IMAGE: Final[Chosen] = _plain(
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "SliceLocation", "Rows", "Columns", "NumberOfFrames", "BitsAllocated",
    "SamplesPerPixel", "RescaleSlope", "RescaleIntercept", "RescaleType",
)  # fmt: skip

PET: Final[Chosen] = {
    **_plain(
        "CorrectedImage", "Units", "SUVType", "DecayCorrection", "SeriesType", "CountsSource",
        "ReprojectionMethod", "ImageIndex", "NumberOfSlices", "NumberOfTimeSlices",
        "NumberOfTimeSlots", "NumberOfRRIntervals", "TemporalPositionIndex",
        "TemporalPositionIdentifier", "NumberOfTemporalPositions", "TriggerTime",
        "FrameReferenceTime", "ActualFrameDuration", "ReconstructionMethod", "ImagesInAcquisition",
        "AttenuationCorrectionMethod", "ScatterCorrectionMethod", "DecayCorrected",
        "AttenuationCorrected", "DecayFactor",
    ),
    "ReferencedImageSequence": _plain("ReferencedSOPInstanceUID"),
    "RadiopharmaceuticalInformationSequence": _plain("Radiopharmaceutical"),
}  # fmt: skip

CT: Final[Chosen] = _plain("ConvolutionKernel", "FilterType", "KVP", "GantryDetectorTilt")

SEG: Final[Chosen] = {
    **_plain(
        "SegmentationType", "SegmentationFractionalType", "MaximumFractionalValue",
        "SegmentsOverlap", "ContentLabel", "ContentDescription",
    ),
    "SegmentSequence": {
        **_plain(
            "SegmentNumber", "SegmentLabel", "SegmentDescription", "SegmentAlgorithmType",
            "SegmentAlgorithmName", "TrackingID", "TrackingUID",
        ),
        "SegmentedPropertyCategoryCodeSequence": CODE,
        "SegmentedPropertyTypeCodeSequence": MODIFIED_CODE,
        "AnatomicRegionSequence": MODIFIED_CODE,
    },
    "ReferencedSeriesSequence": REFERENCED_SERIES,
    "SharedFunctionalGroupsSequence": PLANE,
    "PerFrameFunctionalGroupsSequence": PLANE,
}  # fmt: skip

RTSTRUCT: Final[Chosen] = {
    **_plain(
        "StructureSetLabel", "StructureSetName", "StructureSetDate", "StructureSetTime",
        "ApprovalStatus",
    ),
    "ReferencedFrameOfReferenceSequence": {
        "FrameOfReferenceUID": None,
        "RTReferencedStudySequence": {"RTReferencedSeriesSequence": REFERENCED_SERIES},
    },
    "StructureSetROISequence": _plain(
        "ROINumber", "ROIName", "ReferencedFrameOfReferenceUID", "ROIGenerationAlgorithm"
    ),
    "RTROIObservationsSequence": {
        **_plain(
            "ObservationNumber", "ReferencedROINumber", "RTROIInterpretedType",
            "ROIObservationLabel",
        ),
        "RTROIIdentificationCodeSequence": CODE,
    },
}  # fmt: skip

SR: Final[Chosen] = {
    **_plain("CompletionFlag", "VerificationFlag", "PreliminaryFlag"),
    "ConceptNameCodeSequence": CODE,
    "ContentTemplateSequence": _plain("MappingResource", "TemplateIdentifier"),
    "PredecessorDocumentsSequence": {
        "ReferencedSeriesSequence": {"ReferencedSOPSequence": _plain("ReferencedSOPInstanceUID")}
    },
}

EQUIPMENT: Final[Chosen] = {
    "ContributingEquipmentSequence": {
        **_plain("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"),
        "PurposeOfReferenceCodeSequence": CODE,
    },
}

CHOSEN: Final[Chosen] = {
    **GENERAL, **PLANE_OF_IMAGE, **PET, **CT, **SEG, **RTSTRUCT, **SR, **EQUIPMENT,
}  # fmt: skip


def by_tag(chosen: Chosen) -> ChosenTags:
    """The same list by tag, with each attribute's VR from the dictionary."""
    tags: ChosenTags = {}
    for keyword, nested in chosen.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise KeyError(f"{keyword} is no DICOM keyword")
        tags[tag] = Wanted(
            keyword, dictionary_VR(tag), by_tag(nested) if nested is not None else None
        )
    return tags


CHOSEN_TAGS: Final = by_tag(CHOSEN)
