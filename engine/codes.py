"""Every coded concept we write, once.

DCM, SCT and LN codes are those of PS3.16 (TID 1500, 1411, 300, 1001, 2010, 4019; CID 100, 218, 244,
7005, 7010, 7011, 7021, 7464, 7466, 7470, 7474). What DICOM has no code for is in our own scheme,
99PACSNODE.
"""

from collections.abc import Callable

from pydicom.sr.coding import Code

_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
PRIVATE_SCHEME = "99PACSNODE"
PRIVATE_SCHEME_NAME = "pacsnode report codes"

# the document (TID 1500, 1204, 1001, 1004)
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_OBSERVER_SERIAL_NUMBER = Code("121016", "DCM", "Device Observer Serial Number")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
PET_PROCEDURE = Code("44136-0", "LN", "PET unspecified body region")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
COMMENT = Code("121106", "DCM", "Comment")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")

# what a person says of a report (TID 2010, 1003)
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
DOCUMENT_TITLE_MODIFIER = Code("113011", "DCM", "Document Title Modifier")
OTHER_FAILURE = Code("111220", "DCM", "Other failure")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
PERSON = Code("121006", "DCM", "Person")
PERSON_OBSERVER_NAME = Code("121008", "DCM", "Person Observer Name")
PERSON_OBSERVER_ORGANIZATION = Code("121009", "DCM", "Person Observer's Organization Name")

# a report in words alone (TID 2000, CID 7000, 7001, 7002)
DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
SUMMARY = Code("121111", "DCM", "Summary")
FINDINGS = Code("121070", "DCM", "Findings")
PROCEDURE_DESCRIPTIONS = Code("121064", "DCM", "Current Procedure Descriptions")
PROCEDURE_DESCRIPTION = Code("121065", "DCM", "Procedure Description")

# a measurement group (TID 1411, 4019)
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UNIQUE_IDENTIFIER = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING = Code("121071", "DCM", "Finding")
REFERENCED_SEGMENT = Code("121191", "DCM", "Referenced Segment")
SOURCE_SERIES_FOR_SEGMENTATION = Code("121232", "DCM", "Source series for segmentation")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
LATERALITY = Code("272741003", "SCT", "Laterality")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")

# a measurement (TID 300)
SUV_BODY_WEIGHT = Code("126401", "DCM", "SUVbw")
METABOLIC_VOLUME = Code("126032", "DCM", "Metabolic Volume")
VOLUME = Code("118565006", "SCT", "Volume")  # read in others' documents, not written
TOTAL_LESION_GLYCOLYSIS = Code("126033", "DCM", "Total Lesion Glycolysis")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
DERIVATION = Code("121401", "DCM", "Derivation")
MAXIMUM = Code("56851009", "SCT", "Maximum")
MEAN = Code("373098007", "SCT", "Mean")
PEAK = Code("126031", "DCM", "Peak Value Within ROI")
MEASUREMENT_METHOD = Code("370129005", "SCT", "Measurement Method")
SUV_BODY_WEIGHT_METHOD = Code("126410", "DCM", "SUV body weight calculation method")
SEGMENTED_VOXELS_METHOD = Code("126030", "DCM", "Sum of segmented voxel method for volume")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
SOURCE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")
SOURCE_IMAGE = Code("121112", "DCM", "Source of Measurement")

# units (UCUM; CID 85, 7462)
GRAM_PER_ML_SUVBW = Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight")
CUBIC_CENTIMETER = Code("cm3", "UCUM", "cubic centimeter")
GRAM = Code("g", "UCUM", "gram")
MILLIMETER = Code("mm", "UCUM", "millimeter")

# what a segment is (CID 7150, 7151), where its author did not say
MORPHOLOGICALLY_ALTERED_STRUCTURE = Code("49755003", "SCT", "Morphologically Altered Structure")
ANATOMICAL_STRUCTURES = (
    Code("123037004", "SCT", "Anatomical Structure"),
    Code("91723000", "SCT", "Anatomical Structure"),  # the code before 2019
)
LESION = Code("52988006", "SCT", "Lesion")
SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")

# sides (CID 244)
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
BILATERAL = Code("51440002", "SCT", "Bilateral")

# our own: why a value is absent, and what a reader should know of one that is there
SUV_REFUSED = Code("suv-refused", PRIVATE_SCHEME, "SUV refused")
MODEL_UNABLE = Code("model-unable", PRIVATE_SCHEME, "Not described by the model")
QUALITY_FLAG = Code("quality-flag", PRIVATE_SCHEME, "Quality flag")
CONSISTENCY_FLAG = Code("consistency-flag", PRIVATE_SCHEME, "Consistency flag")
ILLUSTRATED_REPORT = Code("illustrated", PRIVATE_SCHEME, "Report that this illustrates")
CONTOUR_PROCESSING = Code("contour-fill", PRIVATE_SCHEME, "Even-odd filling of contours")


def stated_code(text_of: Callable[[str], str | None]) -> Code | None:
    """The code of an item whose attributes `text_of` tells; None without a value or a scheme.

    PS3.3 8.8: the value stands in one of three attributes.
    """
    value = next(filter(None, map(text_of, _VALUES)), None)
    scheme = text_of("CodingSchemeDesignator")
    if not value or not scheme:
        return None
    return Code(value, scheme, text_of("CodeMeaning") or value)


def same(one: Code | None, other: Code | None) -> bool:
    """Whether both say the same; SRT codes equal the SCT codes that replaced them."""
    return one is not None and other is not None and bool(one == other)


def private_code(flag: str) -> Code:
    """The 99PACSNODE code of a kebab-case flag or refusal; CodeMeaning is LO, 64 at most."""
    return Code(flag, PRIVATE_SCHEME, flag.replace("-", " ")[:64])
