"""Reports made by hand for the tests of our documents: measured values are made up here."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code

from engine.acquisition import PetAcquisition, SuvConversion, SuvRefusal
from engine.case import Case
from engine.describing.template import Template
from engine.finding import Finding, Report
from engine.geometry import Grid
from engine.lesion import Lesion, Measurements, Segment
from engine.report.style import ReportStyle
from engine.volume import ImageReference, Mask, Scan, Volume
from tests import makers

LUNG = Code("39607008", "SCT", "Lung")
LEFT = Code("7771000", "SCT", "Left")
STYLE = ReportStyle(seed="5eed", software_version="0.1.0")
OUTLINE = ((12.0, 12.5), (17.5, 12.0), (18.0, 18.0), (12.0, 12.5))

ACQUISITION = PetAcquisition(
    units="BQML",
    suv_type=None,
    decay_correction="START",
    corrected_image=("DECY", "ATTN"),
    rescale_intercepts=(0.0,),
    series_at=None,
    frames=(),
    patient_weight_kg=70.0,
    patient_size_m=1.75,
    patient_sex="M",
    radionuclide_total_dose_bq=368.08e6,
    radionuclide_half_life_s=6586.2,
    injected_at=None,
    injected_at_is_time_only=False,
    has_radiopharmaceutical=True,
    tracer=Code("35321007", "SCT", "Fluorodeoxyglucose F^18^"),
    tracer_name="FDG",
    ge_scan_at=None,
    ge_injected_at=None,
    philips_suv_factor=None,
    philips_activity_factor=None,
)
CONVERSION = SuvConversion(
    factors=np.ones(8),
    norm="bw",
    rule="Series Date and Time",
    reference_at=datetime(2024, 1, 2, 10, 0),  # noqa: DTZ001 (scanner's local time)
    uptake_min=60.0,
    dose_bq=368.08e6,
    weight_kg=70.0,
)
REFUSAL = SuvRefusal("missing-weight", "Patient's Weight (0010,1030) is empty")


def volume_of(datasets: list[Dataset], unit: str) -> Volume:
    """A volume with the values and references of made axial slices."""
    first = datasets[0]
    affine = np.eye(4)
    spacing = (float(first.SliceThickness), *(float(value) for value in first.PixelSpacing))
    x, y, z = (float(value) for value in first.ImagePositionPatient)
    affine[:3, :3] = [[0, 0, spacing[2]], [0, spacing[1], 0], [spacing[0], 0, 0]]
    affine[:3, 3] = (x, y, z)
    values = np.stack([image.pixel_array * float(image.RescaleSlope) for image in datasets])
    return Volume(
        values=values.astype(np.float32),
        grid=Grid(values.shape, affine, str(first.FrameOfReferenceUID)),
        unit=unit,
        slices=tuple(
            ImageReference(image.SOPClassUID, image.SOPInstanceUID, None, int(image.InstanceNumber))
            for image in datasets
        ),
        series_instance_uid=str(first.SeriesInstanceUID),
    )


def measured(pet: Volume, k: int = 4, **values: Any) -> Measurements:
    """Made-up measurements whose hottest slice is slice `k` of `pet`."""
    made = Measurements(
        volume_cm3=5.1375,
        suv_max=8.25,
        suv_peak=6.05,
        suv_mean=4.1234567890123,
        suv_median=4.0,
        suv_sd=1.25,
        total_lesion_glycolysis_g=21.184259,
        long_axis_mm=24.5,
        short_axis_mm=18.0,
        centroid_lps_mm=(1.0, 2.0, 3.0),
        hottest_voxel_kji=(k, 13, 14),
        hottest_slice=pet.slices[k],
        hottest_slice_contour=OUTLINE,
    )
    return replace(made, **values)


def refused(pet: Volume, code: str = "missing-weight") -> Measurements:
    """Measurements where no SUV can be stated."""
    return measured(
        pet,
        suv_max=None,
        suv_peak=None,
        suv_mean=None,
        suv_median=None,
        suv_sd=None,
        total_lesion_glycolysis_g=None,
        suv_refusal=code,
    )


class Study:
    """A made PET, CT and mask object on disk, with a report on them."""

    def __init__(
        self,
        folder: Path,
        *,
        lesions: int = 1,
        with_ct: bool = True,
        rtstruct: bool = False,
        suv: SuvConversion | SuvRefusal = CONVERSION,
        **pet_attributes: Any,
    ) -> None:
        self.pet_datasets = makers.make_pet(**pet_attributes)
        self.ct_datasets = makers.make_ct() if with_ct else []
        self.pet = volume_of(self.pet_datasets, "g/ml")
        ct = volume_of(self.ct_datasets, "HU") if with_ct else None
        self.scan = Scan(self.pet, ct, ACQUISITION, suv)
        self.voxels = [_block(self.pet, index) for index in range(lesions)]
        labels = [f"GTV {index + 1}" for index in range(lesions)]
        if rtstruct:
            contours = {label: [_square(self.pet)] for label in labels}
            self.mask = makers.make_rtstruct(contours, self.pet_datasets)
        else:
            masks = dict(zip(labels, self.voxels, strict=True))
            self.mask = makers.make_seg(masks, self.pet_datasets, anatomic_region=LUNG)
        self.segments = tuple(self._segment(index, rtstruct) for index in range(lesions))
        self.case = Case(
            pet=tuple(makers.save(self.pet_datasets, folder / "pet")),
            ct=tuple(makers.save(self.ct_datasets, folder / "ct")),
            mask=makers.save(self.mask, folder / "mask")[0],
        )

    def _segment(self, index: int, rtstruct: bool) -> Segment:
        segment = Segment(
            number=index + 1,
            label=f"GTV {index + 1}",
            role="lesion",
            mask=Mask(self.voxels[index], self.pet.grid),
            source_class_uid=str(self.mask.SOPClassUID),
            source_instance_uid=str(self.mask.SOPInstanceUID),
        )
        if rtstruct:
            return replace(segment, number=10 * (index + 1))
        stated = self.mask.SegmentSequence[index]
        return replace(
            segment,
            tracking_id=str(stated.TrackingID),
            tracking_uid=str(stated.TrackingUID),
            property_category=makers.MORPHOLOGICALLY_ALTERED_STRUCTURE,
            property_type=makers.NEOPLASM,
            anatomic_region=LUNG,
            laterality=LEFT,
        )

    def report(
        self, measurements: Measurements | list[Measurements] | None = None, **fields: Any
    ) -> Report:
        """A report with one finding a segment, in the template's words."""
        if not isinstance(measurements, list):
            measurements = [measurements or measured(self.pet)] * len(self.segments)
        lesions = [Lesion(*pair) for pair in zip(self.segments, measurements, strict=True)]
        descriptions = Template().describe(self.scan, lesions)
        report = Report(
            findings=tuple(map(Finding, lesions, descriptions)),
            unreported=(),
            model=Template.identity,
            scan=self.scan,
            completed_at=datetime(2024, 1, 3, 12, 30, tzinfo=UTC),
        )
        return replace(report, **fields)


def _block(pet: Volume, index: int) -> np.ndarray:
    voxels = np.zeros(pet.grid.shape, bool)
    voxels[3:6, 12:18, 12 + index % 6] = True
    return voxels


def _square(pet: Volume) -> np.ndarray:
    corners = [(4, 12, 12), (4, 12, 17), (4, 17, 17), (4, 17, 12)]
    return pet.grid.to_lps_mm(corners)
