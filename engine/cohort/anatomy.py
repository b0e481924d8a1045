"""The phantom's body: ellipsoids with an uptake and a density, and the lesions in it.

Positions are LPS mm: x to the patient's left, y to the back, z to the head; z = 0 lies at
mid-thigh. Uptakes are FDG SUV (g/ml, body weight), rounded from everyday whole-body images.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

Mm3 = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A homogeneous part of the body, axes along x, y and z."""

    centre_lps_mm: Mm3
    semi_axes_mm: Mm3
    suv: float
    hu: float

    def scaled(self, factor: float, suv: float, hu: float) -> "Ellipsoid":
        """The same shape about the same centre, `factor` times as large, of another tissue."""
        x, y, z = self.semi_axes_mm
        return Ellipsoid(self.centre_lps_mm, (factor * x, factor * y, factor * z), suv, hu)


@dataclass(frozen=True, slots=True)
class Blob:
    """A lesion: SUV = background + rise x exp(-q/2), q = sum(((p - centre) / sigma)^2).

    It is drawn as the ellipsoid q <= EXTENT^2, within which every value is known by formula.
    """

    label: str
    site: Code
    laterality: Code | None
    centre_lps_mm: Mm3
    sigma_mm: Mm3
    background_suv: float
    rise_suv: float


EXTENT = 1.5  # sigmas from the centre to the drawn edge

SKIN = (
    Ellipsoid((0, 0, 540), (178, 118, 195), 0.3, -95),
    Ellipsoid((0, 0, 300), (172, 118, 245), 0.3, -95),
    Ellipsoid((88, 5, 55), (84, 90, 210), 0.3, -95),
    Ellipsoid((-88, 5, 55), (84, 90, 210), 0.3, -95),
    Ellipsoid((0, 12, 700), (60, 64, 95), 0.3, -95),
    Ellipsoid((0, -5, 795), (78, 98, 96), 0.4, -60),
    Ellipsoid((210, 15, 430), (36, 38, 250), 0.3, -95),
    Ellipsoid((-210, 15, 430), (36, 38, 250), 0.3, -95),
)

ORGANS = (
    Ellipsoid((78, -5, 545), (62, 80, 112), 0.45, -810),  # left lung
    Ellipsoid((-78, -5, 545), (62, 80, 112), 0.45, -810),
    Ellipsoid((0, -5, 565), (24, 55, 100), 1.2, 40),  # mediastinum
    Ellipsoid((28, -38, 500), (50, 42, 48), 3.6, 45),  # myocardium
    Ellipsoid((28, -38, 503), (35, 28, 33), 1.7, 45),  # blood in it
    Ellipsoid((12, 32, 460), (13, 13, 170), 1.7, 45),  # aorta
    Ellipsoid((-70, -15, 385), (84, 76, 62), 2.3, 60),  # liver
    Ellipsoid((108, 32, 400), (34, 44, 50), 1.9, 50),  # spleen
    Ellipsoid((58, -45, 385), (40, 30, 34), 1.9, 35),  # stomach
    Ellipsoid((68, 55, 325), (28, 28, 52), 3.4, 35),  # left kidney
    Ellipsoid((-68, 55, 318), (28, 28, 52), 3.4, 35),
    Ellipsoid((55, 50, 322), (9, 10, 20), 11.0, 10),  # renal pelvis
    Ellipsoid((-55, 50, 315), (9, 10, 20), 11.0, 10),
    Ellipsoid((0, -45, 270), (85, 38, 50), 1.2, 25),  # small bowel
    Ellipsoid((-105, -25, 270), (20, 24, 65), 1.8, 20),  # ascending colon
    Ellipsoid((105, -20, 275), (18, 22, 65), 1.6, 20),
    Ellipsoid((0, -40, 138), (38, 33, 32), 18.0, 5),  # bladder
    Ellipsoid((0, -5, 812), (70, 88, 72), 0.8, 850),  # skull
    Ellipsoid((0, -5, 814), (64, 82, 66), 8.5, 36),  # brain
    Ellipsoid((0, 0, 822), (14, 30, 14), 2.5, 8),  # ventricles
    Ellipsoid((0, -62, 745), (28, 24, 16), 2.0, 45),  # tongue
)


def spine() -> Iterator[Ellipsoid]:
    """Vertebrae from the sacrum to the neck, further forward in the neck."""
    for z in range(160, 735, 25):
        forward_mm = max(0.0, z - 600) * 0.22
        yield Ellipsoid((0, 64 - forward_mm, z), (21, 17, 11), 1.8, 260)


def pelvis_and_limbs() -> Iterator[Ellipsoid]:
    """Iliac bones, femora, humeri: the same on both sides."""
    for side in (-1, 1):
        yield Ellipsoid((side * 88, 42, 195), (18, 42, 48), 1.3, 320)
        yield Ellipsoid((side * 92, 8, 122), (24, 24, 24), 0.9, 400)
        yield Ellipsoid((side * 96, 10, 40), (13, 13, 105), 0.7, 600)
        yield Ellipsoid((side * 210, 15, 440), (11, 11, 235), 0.7, 600)


def body() -> Iterator[Ellipsoid]:
    """Every part, in painting order: fat, muscle, bones of the limbs, organs, spine."""
    yield from SKIN
    yield from (part.scaled(0.91, suv=0.7, hu=50) for part in SKIN)
    yield from pelvis_and_limbs()
    yield from ORGANS
    yield from spine()


# Sigmas are such that the voxels of the PET grid, counted by the definition of a mask, come
# within 1 % of the formulas: what is left of a difference then is an error of whoever measures.
LESIONS = (
    Blob("Left lung nodule", codes.SCT.Lung, codes.SCT.Left,
         (84, -12, 590), (9.2, 7.8, 10), 0.5, 11.0),
    Blob("Right hilar lymph node", codes.SCT.HilarLymphNode, codes.SCT.Right,
         (-31, 8, 548), (8.2, 6.6, 9), 1.0, 7.6),
    Blob("Liver lesion", codes.SCT.Liver, None,
         (-92, -12, 402), (12.2, 10, 10), 2.3, 6.8),
    Blob("L3 vertebra lesion", codes.SCT.L3Vertebra, None,
         (2, 62, 285), (8, 6.4, 6.4), 1.8, 5.4),
    Blob("Left supraclavicular lymph node", codes.SCT.SupraclavicularLymphNode, codes.SCT.Left,
         (36, -8, 662), (5.6, 6.2, 6.6), 0.7, 8.9),
    Blob("Right inguinal lymph node", codes.SCT.InguinalLymphNode, codes.SCT.Right,
         (-72, -48, 104), (5.6, 6.7, 7.8), 0.7, 4.1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LesionTruth:
    """What a blob is, by formula: no voxel, mask or measuring code is involved.

    SUV in g/ml. Within q <= EXTENT^2 the value depends on r = sqrt(q) alone, so that moments are
    integrals of r^2 exp(-r^2/2) over 0..EXTENT, and the axes are those of the ellipsoid.
    """

    number: int
    label: str
    site: Code
    laterality: Code | None
    tracking_uid: str
    centre_lps_mm: Mm3
    suv_max: float
    suv_mean: float
    suv_median: float
    suv_sd: float
    volume_cm3: float
    total_lesion_glycolysis_g: float
    long_axis_mm: float
    short_axis_mm: float


def truth_of(blob: Blob, number: int, tracking_uid: str) -> LesionTruth:
    """Integrate one blob analytically."""
    t = EXTENT
    first = 3 / t**3 * (math.sqrt(math.pi / 2) * math.erf(t / math.sqrt(2)) - t * _bell(t))
    second = 3 / t**3 * (math.sqrt(math.pi) / 4 * math.erf(t) - t / 2 * _bell(t) ** 2)
    mean = blob.background_suv + blob.rise_suv * first
    volume_cm3 = 4 / 3 * math.pi * t**3 * math.prod(blob.sigma_mm) / 1000
    across_mm = sorted(2 * t * sigma for sigma in blob.sigma_mm[:2])
    return LesionTruth(
        number=number,
        label=blob.label,
        site=blob.site,
        laterality=blob.laterality,
        tracking_uid=tracking_uid,
        centre_lps_mm=blob.centre_lps_mm,
        suv_max=blob.background_suv + blob.rise_suv,
        suv_mean=mean,
        # half of the volume lies within t / cbrt(2), and the value falls with r
        suv_median=blob.background_suv + blob.rise_suv * _bell(t / math.cbrt(2)),
        suv_sd=blob.rise_suv * math.sqrt(second - first**2),
        volume_cm3=volume_cm3,
        total_lesion_glycolysis_g=mean * volume_cm3,
        long_axis_mm=across_mm[1],
        short_axis_mm=across_mm[0],
    )


def _bell(r: float) -> float:
    return math.exp(-r * r / 2)
