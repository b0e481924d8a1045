"""A small dataset of four made studies with two lesions each, and describers to judge on it."""

from collections.abc import Sequence

import numpy as np

from engine.acquisition import SuvConversion
from engine.cohort.dataset import Example, Record
from engine.cohort.plain import plain_acquisition
from engine.finding import Description, ModelIdentity, Unable
from engine.geometry import Grid
from engine.lesion import Lesion
from engine.volume import ImageReference, Mask, Scan, Volume

SHAPE = (24, 16, 16)
SPACING_MM = 8.0
# where, and what is said of it: site, organ group, region, side, uptake, interpretation, text
LESIONS = (
    ((18, 8, 4), "hilar LN", "Lymph node", "Chest", "right", "intense", "malignant",
     "Intense FDG uptake in a right hilar lymph node, SUVmax 9.1, suspicious for metastasis."),
    ((10, 6, 11), "kidney", "Kidney", "Abdomen", "left", "moderate", "physiologic",
     "Moderate FDG uptake in the left kidney, SUVmax 4.0, physiologic."),
)  # fmt: skip


def examples(studies: int = 4) -> list[Example]:
    """Two lesions a study, one at the right hilum, one in the left kidney."""
    return [one for number in range(studies) for one in _study(number)]


def _study(number: int) -> list[Example]:
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = SPACING_MM
    affine[:3, 3] = (-60.0, -60.0, number * 10.0)
    affine[3, 3] = 1.0
    grid = Grid(SHAPE, affine, "1.2.3")
    rng = np.random.default_rng(number)
    values = rng.uniform(0.2, 0.8, SHAPE).astype(np.float32)
    masks = []
    for (k, j, i), *_ in LESIONS:
        voxels = np.zeros(SHAPE, np.bool_)
        voxels[k : k + 2, j : j + 2, i : i + 2] = True
        values[voxels] += 5.0
        masks.append(Mask(voxels, grid))
    slices = tuple(ImageReference("1.2.840.10008.5.1.4.1.1.128", f"1.2.3.{k}", None, k + 1)
                   for k in range(SHAPE[0]))  # fmt: skip
    pet = Volume(values, grid, "g/ml", slices, f"1.2.{number}")
    scan = Scan(pet, None, plain_acquisition("FDG"), SuvConversion(np.ones(SHAPE[0]), "bw", "made"))
    return [
        Example(
            Record(f"study-{number}", f"lesion-{at}", "test", *told[:6], told[6],  # type: ignore[arg-type]
                   {}, "made"),
            scan, mask,
        )
        for at, ((_, *told), mask) in enumerate(zip(LESIONS, masks, strict=True), 1)
    ]  # fmt: skip


class Knowing:
    """Says the reference text of the lesion that the mask shows; `swapped`: the other one's."""

    identity = ModelIdentity("knowing", "1")

    def __init__(self, *, swapped: bool = False) -> None:
        self._swapped = swapped
        self.labels: list[str] = []

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
        self.labels += [one.segment.label for one in lesions]
        return [Description(LESIONS[self._seen(one)][-1]) for one in lesions]

    def _seen(self, lesion: Lesion) -> int:
        k, j, i = np.argwhere(lesion.segment.mask.voxels)[0].tolist()
        at = [place for place, *_ in LESIONS].index((k, j, i))
        return 1 - at if self._swapped else at


class Same:
    """Says one thing of whatever it is shown, or nothing at all."""

    identity = ModelIdentity("same", "1")

    def __init__(self, text: str | None = LESIONS[0][-1]) -> None:
        self._text = text

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
        if self._text is None:
            return [Unable("no-model", "There is none.")] * len(lesions)
        return [Description(self._text)] * len(lesions)
