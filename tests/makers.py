"""DICOM objects made for tests, each written to bytes and read back before use.

Keyword arguments beyond the named ones are DICOM keywords (`PatientWeight=80`); None removes the
attribute. Arrays are [k, j, i].
"""

import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
RECUMBENT = Code("102538003", "SCT", "recumbent")
HEADFIRST = Code("102540008", "SCT", "headfirst")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
MORPHOLOGICALLY_ALTERED_STRUCTURE = Code("49755003", "SCT", "Morphologically Altered Structure")


def uid(name: str) -> str:
    """A UID that is the same for the same name (2.25, PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def written(dataset: Dataset) -> Dataset:
    """The dataset as another program would read it: through Part 10 bytes and back."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = getattr(
        dataset.file_meta, "TransferSyntaxUID", ExplicitVRLittleEndian
    )
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def save(datasets: Sequence[Dataset] | Dataset, folder: Path) -> list[Path]:
    """Write Part 10 files named by a running number; gives their paths in the order handed in."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for dataset in [datasets] if isinstance(datasets, Dataset) else datasets:
        path = folder / f"{len(list(folder.iterdir())):05d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def make_pet(
    values: npt.ArrayLike | None = None,
    *,
    study: str = "study",
    series: str = "pet",
    frame_of_reference: str = "space",
    spacing_mm: tuple[float, float, float] = (3.0, 4.0, 4.0),
    origin_lps_mm: tuple[float, float, float] = (-60.0, -60.0, 0.0),
    orientation: tuple[float, ...] = AXIAL,
    **attributes: Any,
) -> list[Dataset]:
    """A classic PET series of `values` Bq/ml [k, j, i]: F-18 FDG, START, each slice its own slope.

    By default 8 slices of 32 x 32 hold 1000 Bq/ml with a hot block of 20000 in the middle.
    """
    if values is None:
        values = np.full((8, 32, 32), 1000.0)
        values[3:6, 12:18, 12:18] = 20000.0
    bq_ml = np.asarray(values, dtype=np.float64)
    made = []
    for k, plane in enumerate(bq_ml):
        slope = max(float(plane.max()), 1.0) / 32000.0
        dataset = _image(
            np.round(plane / slope).astype(np.int16), k, study, series, frame_of_reference,
            spacing_mm, origin_lps_mm, orientation,
        )  # fmt: skip
        dataset.SOPClassUID = PositronEmissionTomographyImageStorage
        dataset.Modality = "PT"
        dataset.RescaleSlope = f"{slope:.10g}"
        dataset.RescaleIntercept = "0"
        dataset.Units = "BQML"
        dataset.SeriesType = ["WHOLE BODY", "IMAGE"]
        dataset.CountsSource = "EMISSION"
        dataset.CorrectedImage = ["DECY", "ATTN", "SCAT", "NORM"]
        dataset.DecayCorrection = "START"
        dataset.AttenuationCorrectionMethod = "CT"
        dataset.ReconstructionMethod = "OSEM"
        dataset.NumberOfSlices = len(bq_ml)
        dataset.ImageIndex = k + 1
        dataset.FrameReferenceTime = "0"
        dataset.ActualFrameDuration = "120000"
        dataset.CollimatorType = "NONE"
        dataset.DecayFactor = "1"
        dataset.PatientWeight = "70"
        dataset.PatientSize = "1.75"
        dose = Dataset()
        dose.Radiopharmaceutical = "Fluorodeoxyglucose"
        dose.RadionuclideTotalDose = "368080000"
        dose.RadionuclideHalfLife = "6586.2"
        dose.RadionuclidePositronFraction = "0.97"
        dose.RadiopharmaceuticalStartTime = "090000"
        dose.RadiopharmaceuticalStartDateTime = "20240102090000"
        dose.RadionuclideCodeSequence = [_code(Code("77004003", "SCT", "^18^Fluorine"))]
        dose.RadiopharmaceuticalCodeSequence = [_code(codes.SCT.FluorodeoxyglucoseF18)]
        dataset.RadiopharmaceuticalInformationSequence = [dose]
        dataset.PatientOrientationCodeSequence = [_code(Code("102538003", "SCT", "recumbent"))]
        dataset.PatientGantryRelationshipCodeSequence = [
            _code(Code("102540008", "SCT", "headfirst"))
        ]
        _set(dataset, attributes)
        made.append(written(dataset))
    return made


def make_ct(
    values: npt.ArrayLike | None = None,
    *,
    study: str = "study",
    series: str = "ct",
    frame_of_reference: str = "space",
    spacing_mm: tuple[float, float, float] = (3.0, 4.0, 4.0),
    origin_lps_mm: tuple[float, float, float] = (-60.0, -60.0, 0.0),
    orientation: tuple[float, ...] = AXIAL,
    **attributes: Any,
) -> list[Dataset]:
    """A classic CT series of `values` HU [k, j, i]; by default 8 slices of 32 x 32 of water."""
    hu = np.zeros((8, 32, 32)) if values is None else np.asarray(values, dtype=np.float64)
    made = []
    for k, plane in enumerate(hu):
        dataset = _image(
            (plane + 1024).astype(np.int16), k, study, series, frame_of_reference,
            spacing_mm, origin_lps_mm, orientation,
        )  # fmt: skip
        dataset.SOPClassUID = CTImageStorage
        dataset.Modality = "CT"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.RescaleSlope = "1"
        dataset.RescaleIntercept = "-1024"
        dataset.RescaleType = "HU"
        dataset.KVP = "120"
        dataset.ConvolutionKernel = "B31f"
        dataset.AcquisitionNumber = 1
        _set(dataset, attributes)
        made.append(written(dataset))
    return made


def make_seg(
    masks: Mapping[str, npt.ArrayLike],
    source: Sequence[Dataset],
    *,
    series: str = "seg",
    category: Code = MORPHOLOGICALLY_ALTERED_STRUCTURE,
    property_type: Code = NEOPLASM,
    anatomic_region: Code | None = None,
    kind: str = "BINARY",
    tracked: bool = True,
    omit_empty_frames: bool = True,
    **attributes: Any,
) -> Dataset:
    """A SEG with a segment a mask (label -> bool [k, j, i], or 0..1 for FRACTIONAL), on `source`.

    `source` are the slices of the series it is drawn on, in the order of k.
    """
    import highdicom as hd

    arrays = [np.asarray(mask) for mask in masks.values()]
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=property_type,
            algorithm_type="MANUAL",
            tracking_uid=uid(f"track {series} {label}") if tracked else None,
            tracking_id=f"track {label}" if tracked else None,
            anatomic_regions=[anatomic_region] if anatomic_region is not None else None,
        )
        for number, label in enumerate(masks, start=1)
    ]
    if kind == "LABELMAP":
        pixels = np.zeros(arrays[0].shape, np.uint8)
        for number, array in enumerate(arrays, start=1):
            pixels[array.astype(bool)] = number
    else:
        pixels = np.stack(arrays, axis=-1).astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
    dataset: Dataset = hd.seg.Segmentation(
        source_images=deepcopy(list(source)),  # highdicom's dataset shares elements with its source
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid(f"series {series}"),
        series_number=300,
        sop_instance_uid=uid(f"seg {series}"),
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="makers",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit_empty_frames,
    )
    _set(dataset, attributes)
    return written(dataset)


def make_rtstruct(
    rois: Mapping[str, Sequence[npt.ArrayLike]],
    source: Sequence[Dataset],
    *,
    series: str = "rtstruct",
    interpreted_type: str = "GTV",
    **attributes: Any,
) -> Dataset:
    """An RTSTRUCT: ROI name -> closed planar contours, each [n, 3] points in LPS mm."""
    first = source[0]
    dataset = _patient_and_study(Dataset())
    dataset.StudyInstanceUID = first.StudyInstanceUID
    dataset.SeriesInstanceUID = uid(f"series {series}")
    dataset.SOPInstanceUID = uid(f"rtstruct {series}")
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.Modality = "RTSTRUCT"
    dataset.Manufacturer = "Maker"
    dataset.SeriesNumber = 301
    dataset.InstanceNumber = 1
    dataset.OperatorsName = ""
    dataset.PositionReferenceIndicator = ""
    dataset.StructureSetLabel = "drawn"
    dataset.StructureSetDate = "20240102"
    dataset.StructureSetTime = "120000"
    dataset.FrameOfReferenceUID = first.FrameOfReferenceUID
    dataset.ReferencedFrameOfReferenceSequence = [_drawn_on(source)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi = Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        roi.ROIName = name
        roi.ROIGenerationAlgorithm = "MANUAL"
        dataset.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = [_contour(points, source) for points in contours]
        dataset.ROIContourSequence.append(drawn)
        observation = Dataset()
        observation.ObservationNumber = number
        observation.ReferencedROINumber = number
        observation.RTROIInterpretedType = interpreted_type
        observation.ROIInterpreter = ""
        dataset.RTROIObservationsSequence.append(observation)
    _set(dataset, attributes)
    return written(dataset)


def _patient_and_study(dataset: Dataset) -> Dataset:
    dataset.PatientName = "Phantom^Made"
    dataset.PatientID = "MADE-1"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "M"
    dataset.StudyDate = "20240102"
    dataset.StudyTime = "095500"
    dataset.StudyID = "1"
    dataset.AccessionNumber = "ACC-1"
    dataset.ReferringPhysicianName = ""
    return dataset


def _image(
    pixels: npt.NDArray[np.int16],
    k: int,
    study: str,
    series: str,
    frame_of_reference: str,
    spacing_mm: tuple[float, float, float],
    origin_lps_mm: tuple[float, float, float],
    orientation: tuple[float, ...],
) -> Dataset:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    position = np.array(origin_lps_mm) + k * spacing_mm[0] * np.cross(row, column)
    dataset = _patient_and_study(Dataset())
    dataset.StudyInstanceUID = uid(f"study {study}")
    dataset.SeriesInstanceUID = uid(f"series {study} {series}")
    dataset.SOPInstanceUID = uid(f"image {study} {series} {k}")
    dataset.FrameOfReferenceUID = uid(f"frame of reference {frame_of_reference}")
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "Maker"
    dataset.SeriesDescription = series
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = k + 1
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20240102"
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "100000"
    dataset.PatientPosition = "HFS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ImagePositionPatient = [f"{value:.6g}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.8g}" for value in orientation]
    dataset.PixelSpacing = [f"{value:.8g}" for value in spacing_mm[1:]]
    dataset.SliceThickness = f"{spacing_mm[0]:.8g}"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.PixelData = pixels.astype("<i2").tobytes()
    return dataset


def _drawn_on(source: Sequence[Dataset]) -> Dataset:
    images = [_reference(image) for image in source]
    series = Dataset()
    series.SeriesInstanceUID = source[0].SeriesInstanceUID
    series.ContourImageSequence = images
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = source[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame_of_reference = Dataset()
    frame_of_reference.FrameOfReferenceUID = source[0].FrameOfReferenceUID
    frame_of_reference.RTReferencedStudySequence = [study]
    return frame_of_reference


def _contour(points: npt.ArrayLike, source: Sequence[Dataset]) -> Dataset:
    array = np.asarray(points, dtype=np.float64)
    nearest = min(source, key=lambda image: abs(float(image.ImagePositionPatient[2]) - array[0, 2]))
    contour = Dataset()
    contour.ContourImageSequence = [_reference(nearest)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(array)
    contour.ContourData = [f"{value:.8g}" for value in array.ravel()]
    return contour


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _set(dataset: Dataset, attributes: Mapping[str, Any]) -> None:
    for keyword, value in attributes.items():
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"{keyword} is no DICOM keyword")
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
