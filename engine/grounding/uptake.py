"""How intense the words call an uptake, against the liver and the blood of the same scan."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.sr.codedict import codes

from engine.acquisition import PetAcquisition, SuvRefusal
from engine.codes import same
from engine.grounding.lasting import kept_with
from engine.grounding.neighbours import site_of_segment
from engine.grounding.site_table import is_within, table
from engine.grounding.terms import ENDED, Word, words_of
from engine.lesion import Lesion
from engine.volume import Mask, Scan

ADJECTIVE = "uptake-adjective"
SPHERE_MM = 15.0  # radius of the liver's reference
NONE, MILD, MODERATE, INTENSE = range(4)

_GRADES = {
    "photopenic": NONE, "nonavid": NONE,
    "minimal": MILD, "minimally": MILD, "faint": MILD, "faintly": MILD, "mild": MILD,
    "mildly": MILD, "low": MILD, "slight": MILD, "slightly": MILD, "weak": MILD, "weakly": MILD,
    "moderate": MODERATE, "moderately": MODERATE,
    "intense": INTENSE, "intensely": INTENSE, "marked": INTENSE, "markedly": INTENSE,
    "strong": INTENSE, "strongly": INTENSE, "severe": INTENSE, "avidly": INTENSE,
}  # fmt: skip
_UPTAKE = frozenset(
    {"uptake", "avid", "avidity", "activity", "hypermetabolic", "hypermetabolism", "metabolism"}
    | {"metabolic", "metabolically", "fdg", "tracer", "radiotracer", "accumulation"}
)
_LOW = _UPTAKE | {"grade", "level"}  # not low attenuation
_DENIAL = frozenset({"no", "not", "non", "without"})
_REACH = 4  # words between an adjective and the uptake it tells of

Floats = npt.NDArray[np.float64]


def flags_of_uptake(
    text: str, lesion: Lesion, scan: Scan, context: Sequence[Lesion]
) -> tuple[str, ...]:
    """`uptake-adjective` where the words are two grades off; FDG alone, and with a liver to see."""
    suv_max = lesion.measurements.suv_max
    if suv_max is None or isinstance(scan.suv, SuvRefusal) or not is_fdg(scan.acquisition):
        return ()
    claimed = grades_in(text)
    if not claimed:
        return ()
    liver = liver_reference(scan, context)
    if liver is None:
        return ()
    measured = grade_of(suv_max, liver, blood_reference(scan, context))
    return (ADJECTIVE,) if min(abs(grade - measured) for grade in claimed) > 1 else ()


def grade_of(suv_max: float, liver: float, blood: float | None) -> int:
    """Grade of an uptake: none up to blood, mild up to liver, moderate up to twice the liver."""
    if blood is not None and suv_max <= blood:
        return NONE
    if suv_max <= liver:
        return MILD
    return MODERATE if suv_max <= 2 * liver else INTENSE


def grades_in(text: str) -> tuple[int, ...]:
    """The grades of the first sentence that grades an uptake."""
    found: list[int] = []
    words = words_of(text)
    for at, word in enumerate(words):
        if word.break_before == ENDED and found:
            break
        grade = _grade_at(words, at)
        if grade is not None:
            found.append(grade)
    return tuple(found)


def is_fdg(acquisition: PetAcquisition) -> bool:
    """Whether the tracer is FDG, by its code, else by its name."""
    if acquisition.tracer is not None:
        return same(acquisition.tracer, codes.SCT.FluorodeoxyglucoseF18)
    name = (acquisition.tracer_name or "").lower()
    return "fdg" in name or "fluorodeoxyglucose" in name


def liver_reference(scan: Scan, context: Sequence[Lesion]) -> float | None:
    """Mean + 2 SD (g/ml) of the evenest sphere of radius 15 mm in the right lobe; None without."""
    masks = _masks_of("liver", scan, context)
    if not masks:
        return None
    arrays = [scan.pet.values, *(mask.voxels for mask in masks)]
    return kept_with(arrays, "liver", lambda: _liver(scan, np.logical_or.reduce(arrays[1:])))


def blood_reference(scan: Scan, context: Sequence[Lesion]) -> float | None:
    """Median (g/ml) in the aorta; None where no segment is the aorta."""
    masks = _masks_of("aorta", scan, context)
    if not masks:
        return None
    arrays = [scan.pet.values, *(mask.voxels for mask in masks)]
    within = np.logical_or.reduce(arrays[1:])
    return kept_with(arrays, "blood", lambda: float(np.median(scan.pet.values[within])))


def _grade_at(words: Sequence[Word], at: int) -> int | None:
    word = words[at].text
    if word in ("avid", "hypermetabolic") and _is_denied(words, at):
        graded = any(one.text in _GRADES for one in words[max(at - 2, 0) : at])
        return None if graded else NONE  # "not intensely avid" is no claim of none
    if word not in _GRADES or _is_denied(words, at):
        return None
    if word == "low" and words[at + 1 : at + 2] and words[at + 1].text not in _LOW:
        return None
    near = [*_same_sentence(words, at, 1), *_same_sentence(words, at, -1)]
    return _GRADES[word] if any(one.text in _UPTAKE for one in near) else None


def _is_denied(words: Sequence[Word], at: int) -> bool:
    return any(word.text in _DENIAL for word in words[max(at - 2, 0) : at])


def _same_sentence(words: Sequence[Word], at: int, step: int) -> Sequence[Word]:
    reached = []
    for place in range(at + step, at + step * (_REACH + 1), step):
        if not 0 <= place < len(words) or words[max(place, place - step)].break_before == ENDED:
            break
        reached.append(words[place])
    return reached


def _masks_of(name: str, scan: Scan, context: Sequence[Lesion]) -> list[Mask]:
    """The masks, with voxels on the PET's grid, of the segments that are a site or its parts."""
    whole = table()[name]
    found = []
    for one in context:
        site, mask = site_of_segment(one.segment), one.segment.mask
        if site is None or not is_within(site, whole):
            continue
        if mask.voxels.shape == scan.pet.values.shape and mask.voxels.any():
            found.append(mask)
    return found


def _liver(scan: Scan, within: npt.NDArray[np.bool_]) -> float | None:
    from scipy import ndimage, signal  # only a study with a labelled liver needs them

    grid = scan.pet.grid
    box = ndimage.find_objects(within.astype(np.uint8))[0]
    liver = np.pad(within[box], 1)  # the distance to a border is one to the outside
    values = np.pad(scan.pet.values[box].astype(np.float64), 1)
    depth_mm = ndimage.distance_transform_edt(liver, sampling=grid.spacing_mm)
    at = np.argwhere(depth_mm >= SPHERE_MM)
    x_mm = grid.to_lps_mm(at + [side.start - 1 for side in box])[:, 0]
    middle_mm = grid.to_lps_mm(np.argwhere(within).mean(axis=0))[0]
    at = at[x_mm <= middle_mm]  # the right lobe: LPS x grows to the left
    if not len(at):
        return None
    sphere = _sphere(grid.spacing_mm)
    mean = signal.fftconvolve(values, sphere, mode="same")[tuple(at.T)]
    square = signal.fftconvolve(values**2, sphere, mode="same")[tuple(at.T)]
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    evenest = int(np.argmin(deviation))
    return float(mean[evenest] + 2 * deviation[evenest])


def _sphere(spacing_mm: tuple[float, float, float]) -> Floats:
    """Equal weights on the voxel centres within SPHERE_MM; their sum is 1."""
    reach = [int(SPHERE_MM / spacing) for spacing in spacing_mm]
    steps = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    squared = sum((step * spacing) ** 2 for step, spacing in zip(steps, spacing_mm, strict=True))
    sphere = np.asarray(squared <= SPHERE_MM**2, dtype=np.float64)
    return np.asarray(sphere / sphere.sum())
