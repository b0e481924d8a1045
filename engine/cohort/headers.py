"""The phantom as DICOM: classic PET (BQML, START), CT, and a SEG, with whole headers."""

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
)

from engine.cohort.body_tissues import FDG, SHORT_NAMES
from engine.geometry import Grid

MAKER = "Analytic Phantom"  # never our own name: a node ignores what it wrote itself
WEIGHT_KG, HEIGHT_M, DOSE_BQ = 72.0, 1.74, 354.6e6
HALF_LIFE_S = 6586.2  # F-18
INJECTED_AT = datetime(2024, 1, 15, 8, 41, 30)  # noqa: DTZ001 (scanner's local time, as DICOM has it)
SCAN_AT = INJECTED_AT + timedelta(minutes=62, seconds=18)
BED_S, BEDS = 150.0, 6
CT_AT = SCAN_AT - timedelta(minutes=3)
STORED_MAX = 32767


@dataclass(frozen=True, slots=True)
class Tracer:
    """What was injected, as the header states it."""

    name: str = FDG
    code: Code | None = codes.SCT.FluorodeoxyglucoseF18
    nuclide: Code = codes.SCT._18Fluorine
    half_life_s: float = HALF_LIFE_S
    positron_fraction: float = 0.967


@dataclass(frozen=True, slots=True)
class Patient:
    """Who was scanned, and how he or she lay: Patient Position (0018,5100)."""

    sex: str = "O"
    weight_kg: float = WEIGHT_KG
    height_m: float = HEIGHT_M
    position: str = "HFS"


@dataclass(frozen=True, slots=True)
class Series:
    """What the objects of one made study share."""

    seed: int | str
    study_instance_uid: str
    frame_of_reference_uid: str
    patient: Patient = Patient()
    tracer: Tracer = Tracer()

    @classmethod
    def of_seed(
        cls, seed: int | str, patient: Patient | None = None, tracer: Tracer | None = None
    ) -> "Series":
        study, frame = uid_of(seed, "study"), uid_of(seed, "frame of reference")
        return cls(seed, study, frame, patient or Patient(), tracer or Tracer())


@dataclass(frozen=True, slots=True)
class Manner:
    """How a scanner writes its PET: what it stores, and the last word on each header."""

    per_suv: float | None = None  # stored units for one g/ml; None: Bq/ml
    edit: Callable[[Dataset], None] = lambda dataset: None


class Drawn(Protocol):
    """A lesion to be written as a segment."""

    @property
    def number(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def site(self) -> Code | None: ...
    @property
    def laterality(self) -> Code | None: ...
    @property
    def tracking_uid(self) -> str: ...


def uid_of(seed: int | str, part: str) -> str:
    """A UID that the same part of the same phantom always has (PS3.5 B.2)."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"pacsnode phantom {seed} {part}")
    return f"2.25.{name.int}"


def write_pet(
    folder: Path, suv: npt.NDArray[np.float32], grid: Grid, series: Series,
    manner: Manner | None = None,
) -> tuple[Path, ...]:  # fmt: skip
    """One file a slice from the head down, a slope of its own each.

    By default Bq/ml, decay-corrected to the start of the scan.
    """
    manner = manner or Manner()
    # SUVbw = activity concentration / (dose left at the reference time / weight in g)
    elapsed_s = (SCAN_AT - INJECTED_AT).total_seconds()
    left_bq = DOSE_BQ * 2 ** (-elapsed_s / series.tracer.half_life_s)
    per_suv = manner.per_suv or left_bq / (series.patient.weight_kg * 1000)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, plane in enumerate(suv):
        dataset = _pet_header(series, len(suv))
        _place(dataset, series, grid, k, "PET", len(suv))
        _time_bed(dataset, k, len(suv), series.tracer.half_life_s)
        slope = float(f"{max(float(plane.max()), 0.01) * per_suv / STORED_MAX:.9g}")
        stored = np.rint(plane.astype(np.float64) * per_suv / slope)
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
        dataset.PixelRepresentation, dataset.HighBit, dataset.BitsStored = 1, 15, 16
        dataset.PixelData = np.clip(stored, 0, STORED_MAX).astype("<i2").tobytes()
        manner.edit(dataset)
        paths.append(_write(dataset, folder / f"{dataset.InstanceNumber:04d}.dcm"))
    return tuple(sorted(paths))  # in the order of instance numbers, from the head down


def write_ct(
    folder: Path, hu: npt.NDArray[np.float32], grid: Grid, series: Series
) -> tuple[Path, ...]:
    """One file a slice, 12 bits, as the low-dose CT of a PET/CT."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, plane in enumerate(hu):
        dataset = _ct_header(series)
        _place(dataset, series, grid, k, "CT", len(hu))
        dataset.AcquisitionNumber = 1
        dataset.PixelRepresentation, dataset.HighBit, dataset.BitsStored = 0, 11, 12
        dataset.PixelData = np.clip(np.rint(plane + 1024), 0, 4095).astype("<u2").tobytes()
        paths.append(_write(dataset, folder / f"{dataset.InstanceNumber:04d}.dcm"))
    return tuple(sorted(paths))


def write_seg(
    path: Path,
    masks: npt.NDArray[np.bool_],
    lesions: Sequence[Drawn],
    pet: Sequence[Path],
    series: Series,
    *,
    rises: bool = True,
) -> Path:
    """All lesions as one BINARY SEG on the PET grid. `masks` is [lesion, k, j, i].

    `rises`: k runs to the head, against the order of `pet`.
    """
    import highdicom  # heavy: only when a study is made

    seg = highdicom.seg.Segmentation(
        source_images=[dcmread(file, stop_before_pixels=True) for file in pet],
        # instance numbers, and so the source images, run from the head down
        pixel_array=np.moveaxis(masks[:, ::-1] if rises else masks, 0, -1).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_segment(lesion) for lesion in lesions],
        series_instance_uid=uid_of(series.seed, "series SEG"),
        series_number=300,
        sop_instance_uid=uid_of(series.seed, "SEG"),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions="1",
        device_serial_number="1",
        content_label="LESIONS",
        series_description="Lesions, drawn by formula",
    )
    _fix_times(seg, series)
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def _segment(lesion: Drawn) -> Any:
    import highdicom

    region = None
    if lesion.site is not None:
        region = highdicom.sr.CodedConcept.from_code(lesion.site)
        if lesion.laterality is not None:
            region.AnatomicRegionModifierSequence = [_item(lesion.laterality)]
    return highdicom.seg.SegmentDescription(
        segment_number=lesion.number,
        segment_label=lesion.label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type="MANUAL",
        tracking_uid=lesion.tracking_uid,
        tracking_id=f"Lesion {lesion.number}",
        anatomic_regions=[region] if region is not None else None,
    )


def _fix_times(seg: Dataset, series: Series) -> None:
    """What highdicom takes from the clock or from chance, set so that equal seeds are equal."""
    drawn_at = SCAN_AT + timedelta(hours=1)
    for keyword in ("ContentDate", "InstanceCreationDate", "SeriesDate"):
        if keyword in seg:
            seg[keyword].value = f"{drawn_at:%Y%m%d}"
    for keyword in ("ContentTime", "InstanceCreationTime", "SeriesTime"):
        if keyword in seg:
            seg[keyword].value = f"{drawn_at:%H%M%S}"
    for item in seg.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = f"{drawn_at:%Y%m%d%H%M%S}"
    organization = uid_of(series.seed, "dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization


def _study_header(series: Series) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"Phantom^Analytic^{series.seed}"
    dataset.PatientID = f"PHANTOM-{series.seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = series.patient.sex
    dataset.PatientAge = "060Y"
    dataset.PatientSize = series.patient.height_m
    dataset.PatientWeight = series.patient.weight_kg
    dataset.StudyInstanceUID = series.study_instance_uid
    dataset.StudyDate, dataset.StudyTime = f"{CT_AT:%Y%m%d}", f"{CT_AT:%H%M%S}"
    dataset.StudyID, dataset.AccessionNumber = "1", f"PHANTOM{series.seed}"
    dataset.StudyDescription = (
        f"PET/CT whole body {SHORT_NAMES.get(series.tracer.name, series.tracer.name)}"
    )
    dataset.ReferringPhysicianName = ""
    dataset.FrameOfReferenceUID = series.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = dataset.ManufacturerModelName = MAKER
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = "1", "1"
    dataset.BodyPartExamined = "WHOLEBODY"
    return dataset


def _pet_header(series: Series, slices: int) -> Dataset:
    dataset = _study_header(series)
    dataset.SOPClassUID = PositronEmissionTomographyImageStorage
    dataset.Modality, dataset.SeriesNumber = "PT", 200
    dataset.SeriesDescription = "PET WB AC 3D OSEM"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SeriesDate, dataset.SeriesTime = f"{SCAN_AT:%Y%m%d}", f"{SCAN_AT:%H%M%S}"
    dataset.Units, dataset.DecayCorrection, dataset.CountsSource = "BQML", "START", "EMISSION"
    dataset.SeriesType = ["WHOLE BODY", "IMAGE"]
    dataset.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    dataset.RandomsCorrectionMethod = "DLYD"
    dataset.AttenuationCorrectionMethod = "measured, CT"
    dataset.ScatterCorrectionMethod = "model-based"
    dataset.ReconstructionMethod = "3D OSEM, 3 iterations, 21 subsets"
    dataset.ConvolutionKernel = "gaussian 5 mm"
    dataset.CollimatorType = "NONE"
    dataset.NumberOfSlices = slices
    dataset.RadiopharmaceuticalInformationSequence = [_dose(series.tracer)]
    dataset.PatientOrientationCodeSequence = [_item(codes.SCT.Recumbent)]
    dataset.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [
        _item(codes.SCT.Prone if series.patient.position.endswith("P") else codes.SCT.Supine)
    ]
    is_feet_first = series.patient.position.startswith("FF")
    dataset.PatientGantryRelationshipCodeSequence = [
        _item(codes.SCT.FeetFirst if is_feet_first else codes.SCT.Headfirst)
    ]
    return dataset


def _dose(tracer: Tracer) -> Dataset:
    dose = Dataset()
    dose.Radiopharmaceutical = tracer.name
    dose.RadiopharmaceuticalStartTime = f"{INJECTED_AT:%H%M%S}"
    dose.RadiopharmaceuticalStartDateTime = f"{INJECTED_AT:%Y%m%d%H%M%S}"
    dose.RadionuclideTotalDose = DOSE_BQ
    dose.RadionuclideHalfLife = tracer.half_life_s
    dose.RadionuclidePositronFraction = tracer.positron_fraction
    dose.RadionuclideCodeSequence = [_item(tracer.nuclide)]
    dose.RadiopharmaceuticalCodeSequence = [_item(tracer.code)] if tracer.code else []
    return dose


def _ct_header(series: Series) -> Dataset:
    dataset = _study_header(series)
    dataset.SOPClassUID = CTImageStorage
    dataset.Modality, dataset.SeriesNumber = "CT", 100
    dataset.SeriesDescription = "CT WB low dose for AC"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for name in ("Series", "Acquisition", "Content"):
        setattr(dataset, f"{name}Date", f"{CT_AT:%Y%m%d}")
        setattr(dataset, f"{name}Time", f"{CT_AT:%H%M%S}")
    dataset.PatientPosition = series.patient.position  # the PET says it in codes instead
    dataset.KVP, dataset.XRayTubeCurrent = 120, 60
    dataset.ExposureTime, dataset.ConvolutionKernel = 500, "STANDARD"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    return dataset


def _time_bed(dataset: Dataset, k: int, slices: int, half_life_s: float) -> None:
    """Beds from the thighs up, each with its own acquisition time; decay-corrected to the first."""
    bed = k * BEDS // slices
    acquired_at = SCAN_AT + timedelta(seconds=bed * BED_S)
    dataset.AcquisitionDate = dataset.ContentDate = f"{acquired_at:%Y%m%d}"
    dataset.AcquisitionTime = dataset.ContentTime = f"{acquired_at:%H%M%S}"
    decay = math.log(2) / half_life_s
    x = decay * BED_S
    # the moment in the frame at which the activity is the frame's average (PS3.3 C.8.9.4.1.5)
    average_s = math.log(x / (1 - math.exp(-x))) / decay
    dataset.FrameReferenceTime = round((bed * BED_S + average_s) * 1000, 3)
    dataset.ActualFrameDuration = int(BED_S * 1000)
    dataset.DecayFactor = round(math.exp(decay * (bed * BED_S + average_s)), 6)
    dataset.DoseCalibrationFactor, dataset.ScatterFractionFactor = 1, 0.3


def _place(
    dataset: Dataset, series: Series, grid: Grid, k: int, modality: str, slices: int
) -> None:
    """Where slice k lies, what it is called, and the frame around its pixels."""
    # counted from the head, as scanners do
    number = slices - k if grid.affine[2, 0] > 0 else k + 1
    dataset.SOPInstanceUID = uid_of(series.seed, f"{modality} {number}")
    dataset.SeriesInstanceUID = uid_of(series.seed, f"series {modality}")
    dataset.InstanceNumber = number
    if modality == "PET":
        dataset.ImageIndex = number
    x, y, z = grid.to_lps_mm((k, 0, 0))
    dz, dy, dx = grid.spacing_mm
    dataset.ImagePositionPatient = [round(float(x), 4), round(float(y), 4), round(float(z), 4)]
    row, column = grid.affine[:3, 2] / dx, grid.affine[:3, 1] / dy
    dataset.ImageOrientationPatient = [round(float(c), 6) for c in (*row, *column)]
    dataset.PixelSpacing, dataset.SliceThickness = [dy, dx], dz
    dataset.Rows, dataset.Columns = grid.shape[1], grid.shape[2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 16


def _item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _write(dataset: Dataset, path: Path) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path
