"""A made study as DICOM: CT, PET in the manner of one of three vendors, and a SEG.

The manners differ in what SUV is computed from; Manufacturer (0008,0070) claims no vendor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from engine.cohort.body_tissues import DOTATATE, FDG, PSMA
from engine.cohort.headers import (
    INJECTED_AT,
    SCAN_AT,
    Manner,
    Patient,
    Series,
    Tracer,
    uid_of,
    write_ct,
    write_pet,
    write_seg,
)
from engine.cohort.world import WorldStudy, world_name
from engine.errors import Unreadable

_TRACERS = {
    FDG: Tracer(),
    PSMA: Tracer(PSMA, None),
    DOTATATE: Tracer(DOTATATE, codes.SCT.DotatateGa68, codes.SCT._68Gallium, 4062.6, 0.889),
}
_SUV_OF_A_COUNT = 0.000431  # any number will do that leaves the stored values whole


@dataclass(frozen=True, slots=True)
class DicomStudy:
    """The files of a made study. `seg` is None where it has no finding."""

    study_instance_uid: str
    pet: tuple[Path, ...]
    ct: tuple[Path, ...]
    seg: Path | None


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment that gives nothing away: words must come from the images."""

    number: int
    label: str
    tracking_uid: str
    site: Code | None = None
    laterality: Code | None = None


def write_dicom(study: WorldStudy, folder: Path, vendor: str = "siemens") -> DicomStudy:
    """Write PET, CT and SEG under `folder`; equal studies give equal files.

    `vendor`: a name of VENDORS. Segments are called Lesion 1, 2, ... and name no site.
    """
    if vendor not in _MANNERS:
        raise Unreadable(f"No manner of writing is called {vendor}; there are {', '.join(VENDORS)}")
    name = world_name(study.seed, is_shifted=study.study_id.endswith("-shifted"))
    patient = Patient(
        study.habitus.sex, study.habitus.weight_kg, study.habitus.height_m, study.stance.position
    )
    series = Series.of_seed(name, patient, _TRACERS[study.tracer])
    scan = study.scan
    pet = write_pet(folder / "PET", scan.pet.values, scan.pet.grid, series, _MANNERS[vendor]())
    ct: tuple[Path, ...] = ()
    if scan.ct is not None:
        ct = write_ct(folder / "CT", scan.ct.values, scan.ct.grid, series)
    return DicomStudy(series.study_instance_uid, pet, ct, _seg(study, folder, pet, series))


def _seg(study: WorldStudy, folder: Path, pet: tuple[Path, ...], series: Series) -> Path | None:
    if not study.findings:
        return None
    masks = np.stack([one.mask.voxels for one in study.findings])
    segments = [
        _Segment(number, f"Lesion {number}", uid_of(series.seed, f"tracking {number}"))
        for number in range(1, len(study.findings) + 1)
    ]
    rises = study.stance.rises
    return write_seg(folder / "SEG" / "lesions.dcm", masks, segments, pet, series, rises=rises)


def _siemens() -> Manner:
    """Bq/ml at the start of the series; the injection stated by its time alone."""

    def edit(dataset: Dataset) -> None:
        del dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime

    return Manner(edit=edit)


def _ge() -> Manner:
    """Bq/ml at the start of the scan, which a private attribute states; Series Time is later."""

    def edit(dataset: Dataset) -> None:
        made_at = SCAN_AT + timedelta(minutes=37)
        dataset.SeriesDate, dataset.SeriesTime = f"{made_at:%Y%m%d}", f"{made_at:%H%M%S}"
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", f"{SCAN_AT:%Y%m%d%H%M%S}.00")
        block.add_new(0x3B, "DT", f"{INJECTED_AT:%Y%m%d%H%M%S}.00")

    return Manner(edit=edit)


def _philips() -> Manner:
    """Counts, with the factor from them to SUV in a private attribute."""

    def edit(dataset: Dataset) -> None:
        dataset.Units = "CNTS"
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", f"{_SUV_OF_A_COUNT:.6f}")
        block.add_new(0x09, "DS", "0")

    return Manner(1 / _SUV_OF_A_COUNT, edit)


_MANNERS: dict[str, Callable[[], Manner]] = {"siemens": _siemens, "ge": _ge, "philips": _philips}
VENDORS = tuple(_MANNERS)
