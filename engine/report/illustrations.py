"""Pictures of a kept report: Secondary Captures, or an Encapsulated PDF (PS3.3 A.8.1, A.45.1).

Single frames in RGB, uncompressed: every archive takes Secondary Capture Image, while many old ones
do not know its multi-frame classes. No patient is named in the pixels; the modules around them are
those of the SR.
"""

import hashlib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from engine import codes
from engine.finding import Report
from engine.report import modules
from engine.report.items import code_sequence
from engine.report.page import standing_of
from engine.report.picture import draw
from engine.report.slices import Page, slice_pages
from engine.report.style import MANUFACTURER, derived_uid
from engine.volume import ImageReference

DOTS_PER_INCH = 105
KEY_IMAGES_AFTER, PDF_AFTER = 3, 4  # SeriesNumber, after that of the SR
DESCRIPTION = "Lesions of the AI report, pictures"
TITLE = "PET/CT lesion report, pictures"


def pages_of(report: Report, sr: Dataset) -> Iterator[Page]:
    """The projections, then the slices; each says how far the document is verified."""
    standing = standing_of(sr)
    yield Page(draw(report, standing), report.scan.pet.slices)
    yield from slice_pages(report, standing)


def key_image_uid(sr_uid: str, number: int) -> str:
    """SOP Instance UID of a key image of the report, counted from 1."""
    return derived_uid(sr_uid, f"key-image/{number}")


def key_images(report: Report, sr: Dataset) -> Iterator[Dataset]:
    """A Secondary Capture of every page, referring to the SR and to the images seen on it."""
    for number, page in enumerate(pages_of(report, sr), start=1):
        image = _document(sr, "key-images", KEY_IMAGES_AFTER)
        image.SOPClassUID = SecondaryCaptureImageStorage
        image.SOPInstanceUID = key_image_uid(sr.SOPInstanceUID, number)
        image.Modality = "OT"
        image.Laterality = None
        image.InstanceNumber = number
        image.ImageType = ["DERIVED", "SECONDARY"]
        image.PatientOrientation = None
        image.BurnedInAnnotation = "YES"
        image.LossyImageCompression = "00"
        image.DerivationDescription = "Lesions of a report, numbered and outlined on the PET"
        _refer(image, sr, page.images)
        _set_pixels(image, page.figure)
        yield image


def encapsulated_pdf(report: Report, sr: Dataset) -> Dataset:
    """The same pages as one document. Its UID derives from the report and from the PDF itself."""
    pages = list(pages_of(report, sr))
    pdf = pdf_of([page.figure for page in pages])
    seen = dict.fromkeys(image for page in pages for image in page.images)
    document = _document(sr, "pdf", PDF_AFTER)
    document.SOPClassUID = EncapsulatedPDFStorage
    digest = hashlib.sha256(pdf).hexdigest()
    document.SOPInstanceUID = derived_uid(sr.SOPInstanceUID, f"pdf/{digest}")
    document.Modality = "DOC"
    document.InstanceNumber = 1
    document.AcquisitionDateTime = None
    document.BurnedInAnnotation = "YES"
    document.VerificationFlag = sr.VerificationFlag
    document.DocumentTitle = TITLE
    document.ConceptNameCodeSequence = code_sequence(codes.DIAGNOSTIC_IMAGING_REPORT)
    document.SourceInstanceSequence = [
        modules.sop_reference(*pair)
        for pair in (
            (str(sr.SOPClassUID), str(sr.SOPInstanceUID)),
            *dict.fromkeys((one.sop_class_uid, one.sop_instance_uid) for one in seen),
        )
    ]
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + bytes(len(pdf) % 2)
    return document


def pdf_of(figures: Sequence[Figure]) -> bytes:
    """The figures as pages of a PDF, the same bytes again by the same matplotlib."""
    written = BytesIO()
    told = {"Title": TITLE, "Creator": MANUFACTURER, "CreationDate": None}
    with PdfPages(written, metadata=told) as pages:
        for figure in figures:
            pages.savefig(figure)
    return written.getvalue()


def _document(sr: Dataset, role: str, after: int) -> Dataset:
    """Patient, study, series and equipment of a picture of `sr`."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    modules.copy_patient_and_study(sr, made)
    for keyword in (
        "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions",
        "ContentDate", "ContentTime", "ContributingEquipmentSequence",
        "CodingSchemeIdentificationSequence",
    ):  # fmt: skip
        if keyword in sr:
            made[keyword] = deepcopy(sr[keyword])
    made.SeriesInstanceUID = derived_uid(sr.SOPInstanceUID, role)
    made.SeriesNumber = int(sr.SeriesNumber) + after
    made.SeriesDescription = DESCRIPTION
    made.ConversionType = "WSD"
    return made


def _refer(image: Dataset, sr: Dataset, seen: Sequence[ImageReference]) -> None:
    """General Reference (PS3.3 C.12.4): the images it is made of, and the report it illustrates."""
    sources: dict[tuple[str, str], Dataset] = {}
    for one in seen:
        item = sources.setdefault(
            (one.sop_class_uid, one.sop_instance_uid),
            modules.sop_reference(one.sop_class_uid, one.sop_instance_uid),
        )
        item.PurposeOfReferenceCodeSequence = code_sequence(codes.SOURCE_FOR_PROCESSING)
        if one.frame_number is not None:
            frames = [*_frames(item), one.frame_number]
            item.ReferencedFrameNumber = frames if len(frames) > 1 else frames[0]
    image.SourceImageSequence = list(sources.values())
    report = modules.sop_reference(str(sr.SOPClassUID), str(sr.SOPInstanceUID))
    report.PurposeOfReferenceCodeSequence = code_sequence(codes.ILLUSTRATED_REPORT)
    image.ReferencedInstanceSequence = [report]


def _frames(item: Dataset) -> list[int]:
    stated = item.get("ReferencedFrameNumber")
    if stated is None:
        return []
    return [int(stated)] if isinstance(stated, int | str) else [int(each) for each in stated]


def _set_pixels(image: Dataset, figure: Figure) -> None:
    """Image Pixel module (PS3.3 C.7.6.3): 8 bits RGB, [row, column, colour]."""
    figure.set_dpi(DOTS_PER_INCH)
    canvas: Any = FigureCanvasAgg(figure)  # untyped
    canvas.draw()
    pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel = 3
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    data = pixels.tobytes()
    image.add_new("PixelData", "OB", data + bytes(len(data) % 2))
