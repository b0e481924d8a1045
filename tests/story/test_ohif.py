"""Our reports in OHIF itself: each lesion outlined on its slice with its text and numbers."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.path import Path as Outline
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage
from scipy import ndimage

from storage.archive import Archive
from tests.conftest import find_ohif, find_peer
from tests.encoded import part10_bytes
from tests.makers import make_seg, save, uid
from tests.pacs import images_of
from tests.peers import wait_until
from tests.story.ohif import PATIENCE_S, Ohif, ohif_at
from tests.story.small import HOT, settings_for, site, small_study
from tests.wire.browser import serving

pytestmark = [pytest.mark.slow, pytest.mark.wire, pytest.mark.timeout(400)]

SEG_STUDY, RTSTRUCT_STUDY = "STS_002", "STS_003"
THRESHOLD_SUV = 3.0
REGIONS = 4
GROUP, TRACKING_UID = "125007", "112040"  # DCM
EVERYTHING = 15  # display sets of the three studies, the broken reports among them


@dataclass(frozen=True)
class Lesion:
    """What a test knows of a lesion without asking our code."""

    mask: npt.NDArray[np.bool_]  # [k, j, i]
    suv: npt.NDArray[np.float64]  # of the whole PET
    slices: Sequence[Dataset]

    @property
    def hottest(self) -> tuple[int, int, int]:
        """k, j, i of its hottest voxel."""
        k, j, i = np.unravel_index(np.argmax(np.where(self.mask, self.suv, -1)), self.mask.shape)
        return int(k), int(j), int(i)

    @property
    def image(self) -> Dataset:
        """The slice of that voxel."""
        return self.slices[self.hottest[0]]

    @property
    def volume_cm3(self) -> float:
        one, other = self.slices[0], self.slices[1]
        thick = abs(float(other.ImagePositionPatient[2]) - float(one.ImagePositionPatient[2]))
        return float(self.mask.sum() * thick * np.prod(list(map(float, one.PixelSpacing))) / 1000)

    def numbers(self) -> list[str]:
        """The lines that OHIF makes of SUVmax, SUVmean and the volume."""
        suv = self.suv[self.mask]
        return [
            f"SUVbw: {suv.max():.2f} g/ml{{SUVbw}}", f"SUVbw: {suv.mean():.2f} g/ml{{SUVbw}}",
            f"Metabolic Volume: {self.volume_cm3:.2f} cm3",
        ]  # fmt: skip

    def is_within(self, outline: npt.NDArray[np.float64]) -> bool:
        """Whether an outline (LPS mm) holds just the pixels that touch the hottest in its slice."""
        k, *pixel = self.hottest
        x, y, z = map(float, self.image.ImagePositionPatient)
        height, width = map(float, self.image.PixelSpacing)
        parts, _ = ndimage.label(self.mask[k], np.ones((3, 3)))
        j, i = np.indices(parts.shape)
        centres = np.column_stack([(x + i * width).ravel(), (y + j * height).ravel()])
        inside = Outline(outline[:, :2]).contains_points(centres)
        part = (parts == parts[tuple(pixel)]).ravel()
        return bool(np.allclose(outline[:, 2], z, atol=0.01) and np.array_equal(inside, part))


@dataclass(frozen=True)
class Reported:
    """A study, its lesions by segment number, our report on it."""

    study: str
    lesions: Mapping[int, Lesion]
    report: Dataset

    @property
    def series(self) -> str:
        return str(self.report.SeriesInstanceUID)


def scan_of(folder: Path) -> tuple[list[Dataset], npt.NDArray[np.float64]]:
    """A PET whose values are SUV as they are, from the feet up."""
    slices = [dcmread(path) for path in folder.glob("*.dcm")]
    slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    return slices, values_of(slices)


def values_of(slices: Sequence[Dataset]) -> npt.NDArray[np.float64]:
    return np.stack([one.pixel_array * float(one.RescaleSlope) for one in slices])


def hot_regions(suv: npt.NDArray[np.float64]) -> list[npt.NDArray[np.bool_]]:
    labelled, count = ndimage.label(suv > THRESHOLD_SUV)
    sizes = np.bincount(labelled.ravel())[1:]
    assert count >= REGIONS
    filled = [labelled == 1 + index for index in np.argsort(-sizes)[:REGIONS]]
    return [np.stack([ndimage.binary_fill_holes(plane) for plane in one]) for one in filled]


def drawn_mask(path: Path, slices: Sequence[Dataset]) -> npt.NDArray[np.bool_]:
    """A NIfTI mask (RAS mm) at the voxels of a PET (LPS mm)."""
    image = nibabel.load(path)
    rows, columns = slices[0].Rows, slices[0].Columns
    mask = np.zeros((len(slices), rows, columns), bool)
    stored = np.asarray(image.dataobj)
    for k, one in enumerate(slices):
        x, y, z = map(float, one.ImagePositionPatient)
        height, width = map(float, one.PixelSpacing)
        j, i = np.indices((rows, columns))
        ras = np.stack([-(x + i * width), -(y + j * height), np.full(j.shape, z)], -1)
        index = nibabel.affines.apply_affine(np.linalg.inv(image.affine), ras).round().astype(int)
        mask[k] = stored[tuple(np.moveaxis(index, -1, 0))] > 0
    return mask


def all_items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from all_items(child)


def about(report: Dataset, code: str) -> list[Dataset]:
    """The items of one concept, by its code value."""
    return [
        item
        for item in all_items(report)
        if any(name.CodeValue == code for name in item.get("ConceptNameCodeSequence", []))
    ]


def tracking_uids(report: Dataset) -> list[str]:
    return [str(item.UID) for item in about(report, TRACKING_UID)]


def without_outline(report: Dataset, number: int) -> Dataset:
    """The report once more, as another series, without the coordinates of one group."""
    broken = dcmread(BytesIO(part10_bytes(report)))
    group = about(broken, GROUP)[number - 1]
    taken = [item for item in all_items(group) if "GraphicData" in item]
    assert taken
    for item in all_items(group):
        if kept := [one for one in item.get("ContentSequence", []) if one not in taken]:
            item.ContentSequence = kept
        elif "ContentSequence" in item:
            del item.ContentSequence
    for item in about(broken, TRACKING_UID):
        item.UID = uid(f"broken {item.UID}")
    broken.SOPInstanceUID = uid(f"broken {report.SOPInstanceUID}")
    broken.file_meta.MediaStorageSOPInstanceUID = broken.SOPInstanceUID
    broken.SeriesInstanceUID = uid(f"broken {report.SeriesInstanceUID}")
    return broken


@dataclass(frozen=True)
class Studies:
    """What the node has, and the broken reports by study."""

    seg: Reported
    rtstruct: Reported
    editable: Reported
    broken: Mapping[str, Dataset]


@pytest.fixture(scope="module")
def served(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Studies]]:
    """A node's web side, and three studies that its worker has reported on."""
    build = find_ohif()
    find_peer("chromium")
    home = tmp_path_factory.mktemp("node")
    seg = sent_seg(home, data / "ibsi_sts" / SEG_STUDY)
    rtstruct = sent_rtstruct(home, data / "ibsi_sts" / RTSTRUCT_STUDY)
    editable = sent_small(home)
    broken = {one.study: without_outline(one.report, len(one.lesions)) for one in (seg, rtstruct)}
    with Archive.open(home / "archive") as archive, serving(archive, home, ohif=build) as web:
        assert web.store([part10_bytes(one) for one in broken.values()]).status == 200
        yield web.url.removesuffix("/dicom-web"), Studies(seg, rtstruct, editable, broken)


def sent_seg(home: Path, folder: Path) -> Reported:
    """Real PET and CT with a SEG of the PET's hottest regions."""
    slices, suv = scan_of(folder / "PET")
    masks = hot_regions(suv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a name with a single component
        seg = make_seg({f"Region {number}": mask for number, mask in enumerate(masks, 1)}, slices)
    (path,) = save(seg, home / "seg")
    lesions = {number: Lesion(mask, suv, slices) for number, mask in enumerate(masks, 1)}
    return reported(home, [*images_of(folder), path], lesions)


def sent_rtstruct(home: Path, folder: Path) -> Reported:
    """Real PET and CT with the RTSTRUCT that was drawn on the PET."""
    slices, suv = scan_of(folder / "PET")
    lesion = Lesion(drawn_mask(folder / "PET_mask.nii.gz", slices), suv, slices)
    return reported(home, [*images_of(folder), folder / "RTSTRUCT_PET.dcm"], {1: lesion})


def sent_small(home: Path) -> Reported:
    """A made study, reported with tracking identifiers that OHIF takes for its own."""
    study = small_study("editable")
    values = values_of(study.pet)
    mask = np.zeros(values.shape, bool)
    mask[HOT] = True
    paths = save(study.everything, home / "small")
    lesion = Lesion(mask, values, study.pet)
    return reported(home, paths, {1: lesion}, tracking_identifier="editable")


def reported(
    home: Path, paths: Sequence[Path], lesions: Mapping[int, Lesion], **report: str
) -> Reported:
    """Sent to a node whose worker runs until it has reported."""
    study = str(lesions[1].slices[0].StudyInstanceUID)
    with site(settings_for(home, quiet_s=0.2, report=report)) as here:
        here.send_files(paths)

        def ours() -> list[Path]:
            return [one for one in here.archive.root.rglob("*.dcm") if is_ours(one, study)]

        here.work_until(ours, within_s=120, what="the report")
        (path,) = ours()
    return Reported(study, lesions, dcmread(path))


def is_ours(path: Path, study: str) -> bool:
    header = dcmread(path, stop_before_pixels=True, specific_tags=["Modality", "StudyInstanceUID"])
    return bool(header.Modality == "SR" and study == header.StudyInstanceUID)


@pytest.fixture(scope="module")
def ohif(served: tuple[str, Studies]) -> Iterator[Ohif]:
    """OHIF with all studies open."""
    origin, studies = served
    with ohif_at(origin) as viewer:
        opened = [one.study for one in (studies.seg, studies.rtstruct, studies.editable)]
        viewer.open(opened, EVERYTHING)
        yield viewer
        assert viewer.faults == []


@pytest.fixture
def studies(served: tuple[str, Studies]) -> Studies:
    return served[1]


def assert_shown(
    ohif: Ohif, report: Dataset, lesions: Mapping[int, Lesion], within_s: float = PATIENCE_S
) -> None:
    """Every lesion of a report is before the eyes in turn, as the arrows lead to the next."""
    ohif.hang(str(report.SeriesInstanceUID))
    for step, (number, tracking_uid) in enumerate(zip(lesions, tracking_uids(report), strict=True)):
        lesion = lesions[number]
        if step:
            ohif.to_next()
        assert ohif.shows(tracking_uid, within_s), f"lesion {number} is not drawn"
        drawn = ohif.drawn()
        assert drawn.image == lesion.image.SOPInstanceUID
        assert any(lesion.is_within(outline) for outline in drawn.outlines)
        first, *numbers = drawn.texts[tracking_uid]
        assert first.startswith(f"Lesion {number} (")
        assert f"SUVmax {lesion.suv[lesion.mask].max():.1f}, " in first
        suv_max, suv_mean, volume = lesion.numbers()
        assert (numbers[0], numbers[1], numbers[3]) == (suv_max, suv_mean, volume)


def series_of(report: Dataset, class_uid: str) -> str:
    """The series of the SEG that a report is about."""
    (found,) = {
        str(series.SeriesInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
        if one.ReferencedSOPClassUID == class_uid
    }
    return found


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_every_lesion_is_outlined_on_its_slice_with_text_and_numbers(
    ohif: Ohif, studies: Studies, kind: str, tmp_path: Path
) -> None:
    """With the segmentation loaded before, and not once one lesion has no coordinates."""
    one: Reported = getattr(studies, kind)
    segmentation = series_of(one.report, SegmentationStorage)
    ohif.hang(segmentation)
    ohif.say_yes()
    voxels = {number: int(lesion.mask.sum()) for number, lesion in one.lesions.items()}
    assert ohif.voxels(segmentation) == voxels
    assert_shown(ohif, one.report, one.lesions)
    ohif.keep_picture(tmp_path, f"ohif-{kind}")
    assert [len(labels) for labels in ohif.labels(one.series).values()] == [8] * len(one.lesions)
    assert ohif.faults == []
    broken = studies.broken[one.study]
    with pytest.raises(AssertionError, match="lesion 1 is not drawn"):
        assert_shown(ohif, broken, one.lesions, within_s=2)


def test_editable_findings_become_measurements_of_its_own(
    ohif: Ohif, studies: Studies, tmp_path: Path
) -> None:
    one = studies.editable
    ohif.hang(one.series)
    ohif.say_yes()
    ((measurement, tool, image),) = ohif.measured(1)
    assert tool == "PlanarFreehandROI"
    lesion = one.lesions[1]
    assert image in {
        lesion.slices[k].SOPInstanceUID for k in np.flatnonzero(lesion.mask.any((1, 2)))
    }
    # its own SUVs, from its own reading of the PET
    (labels,) = ohif.labels(one.series).values()
    suv_max = labels[1]["value"].partition(" ")[0]
    wait_until(
        lambda: f"Max: {suv_max} SUV" in ohif.drawn().texts.get(measurement, ()), within_s=60
    )
    ohif.keep_picture(tmp_path, "ohif-editable")
    assert ohif.faults == []


def test_a_click_on_the_page_of_a_study_opens_it_with_its_report(
    ohif: Ohif, studies: Studies
) -> None:
    """The last of these tests: it leaves the other studies."""
    one = studies.editable
    ohif.page.goto(f"{ohif.origin}/studies/{one.study}")
    ohif.page.get_by_role("link", name="Open in OHIF").click()
    ohif.await_opened(len(("PET", "CT", "SEG", "SR")))
    assert ohif.faults == []
    ohif.hang(one.series)
    assert [*ohif.labels(one.series)] == tracking_uids(one.report)
    assert ohif.faults == []
