"""A study that is small and still looks like one: a torso with organs and three lesions."""

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from tests.makers import make_ct, make_pet, make_seg
from tests.story.small import SmallStudy

SHAPE = (56, 30, 56)  # slices, rows, columns
SPACING_MM = (9.0, 8.0, 8.0)
SUV_1_BQ_ML = 3700.0  # about, with the dose and weight that makers state

# centre and semi-axes in voxels [k, j, i], and how many times the uptake of soft tissue
BODY = ((28, 15, 28), (60, 11, 20), 0.6)
ORGANS = (
    ((26, 13, 19), (7, 6, 8), 2.2),  # liver
    ((39, 13, 32), (4, 4, 4), 3.5),  # heart
    ((52, 15, 28), (7, 6, 6), 5.5),  # brain
    ((3, 11, 28), (4, 4, 5), 9.0),  # bladder
    ((20, 20, 22), (4, 2, 2), 3.0),  # kidneys
    ((20, 20, 35), (4, 2, 2), 3.0),
)
LESIONS = {
    "Lung": ((42, 14, 20), (2.2, 2.2, 2.2), 7.0),
    "Node": ((33, 12, 29), (1.6, 1.6, 1.6), 6.0),
    "Bone": ((9, 20, 28), (1.8, 1.8, 2.4), 8.0),
}


def torso(name: str) -> SmallStudy:
    """A study whose every UID derives from `name`."""
    rng = np.random.default_rng(7)
    suv = np.full(SHAPE, 0.02)
    for centre, axes, uptake in (BODY, *ORGANS, *LESIONS.values()):
        suv[_inside(centre, axes)] = uptake
    suv *= 1 + 0.08 * rng.standard_normal(SHAPE)
    lesions = {label: _inside(*where[:2]) for label, where in LESIONS.items()}
    hounsfield = np.where(_inside(*BODY[:2]), 40.0, -1000.0)
    about = {
        "study": name, "frame_of_reference": name, "spacing_mm": SPACING_MM,
        "StudyDescription": "PET/CT of a made torso",
    }  # fmt: skip
    pet: list[Dataset] = make_pet(suv * SUV_1_BQ_ML, SeriesDescription="PET WB", **about)
    ct: list[Dataset] = make_ct(hounsfield, SeriesDescription="CT WB", **about)
    return SmallStudy(pet, ct, make_seg(lesions, pet, series=f"seg {name}"))


def _inside(centre: tuple[float, ...], axes: tuple[float, ...]) -> npt.NDArray[np.bool_]:
    grid = np.indices(SHAPE)
    distance = sum(
        ((one - middle) / axis) ** 2 for one, middle, axis in zip(grid, centre, axes, strict=True)
    )
    return np.asarray(distance <= 1)
