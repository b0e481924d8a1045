"""The organs of chest, abdomen and pelvis.

Sizes and places of lungs, kidneys, spleen, stomach, bladder and brain follow the ellipsoids of the
stylised adult of the MIRD tradition (Snyder and others; Cristy and Eckerman), rounded; the other
shapes are ours.
"""

import math
from collections.abc import Iterator

import numpy as np

from engine.cohort.body_parts import Part, ball, pair, single, tube
from engine.cohort.body_shapes import Cut, Ellipsoid, Mm3, mirrored

_LUNG = Ellipsoid((86, 0, 435), (62, 82, 245), low_mm=435)
_FISSURE = ((0.0, 0.0, 530.0), (0.0, -1.14, 1.0))  # the upper lobe lies before and above


def chest(is_female: bool) -> Iterator[Part]:
    """Lungs by lobes, heart and vessels, airways, gullet, breasts."""
    yield from pair("lower lobe of lung", "lung", _LUNG, is_loose=False)
    upper = Cut(_LUNG, *_FISSURE)
    yield from pair("upper lobe of lung", "lung", upper, is_loose=False)
    middle = Cut(mirrored(upper), (0, 0, 535), (0, 0, -1))
    yield Part("right middle lobe", "lung", (middle,), "right", is_loose=False)
    yield single("mediastinum", "mediastinum", ball((0, -8, 565), 36, 66, 118))
    yield single("heart", "myocardium", Ellipsoid((24, -36, 488), (56, 44, 44), turned_rad=0.5))
    yield single("heart", "blood", Ellipsoid((10, -34, 500), (46, 32, 34), turned_rad=0.5))
    yield single(
        "thoracic aorta", "blood",
        *tube([(-8, -28, 545), (-10, -22, 600), (2, 0, 618), (18, 30, 600), (14, 36, 430)], 13),
    )  # fmt: skip
    yield single(
        "pulmonary artery", "blood", *tube([(-38, -5, 562), (0, -20, 575), (38, 0, 570)], 11)
    )
    yield single("trachea", "gas", *tube([(0, -14, 722), (0, 4, 590)], 9))
    yield from pair("bronchus", "gas", *tube([(0, 4, 592), (32, 8, 562)], 6))
    yield single("esophagus", "oesophagus", *tube([(2, 16, 725), (4, 22, 600), (8, 24, 430)], 9))
    if is_female:
        yield from pair("breast", "breast", ball((92, -108, 535), 58, 40, 52), grows=1.6)


def abdomen(rng: np.random.Generator) -> Iterator[Part]:
    """Solid organs over the bowel, which is another one in everyone."""
    yield single("peritoneal cavity", "visceral fat", ball((0, -22, 265), 135, 78, 165))
    yield from bowel(rng)
    yield single(
        "liver", "liver",
        Cut(ball((-64, -12, 366), 82, 82, 80), (0, 0, 275), (0, 0, 1)),
        ball((8, -48, 398), 68, 34, 34),
    )  # fmt: skip
    yield single("gallbladder", "gallbladder", ball((-46, -62, 318), 15, 15, 27))
    yield single("stomach", "stomach", Ellipsoid((68, -38, 372), (38, 30, 72), turned_rad=0.35))
    yield single("stomach", "gas", ball((72, -44, 400), 20, 16, 18))
    yield single("spleen", "spleen", ball((112, 36, 388), 32, 26, 56))
    yield single(
        "pancreas", "pancreas", *tube([(-26, -16, 322), (10, -22, 342), (78, 14, 366)], 13)
    )
    yield from pair("adrenal gland", "adrenal", ball((40, 48, 392), 13, 6, 17))
    yield from pair("kidney", "kidney", ball((62, 56, 325), 29, 27, 55))
    yield from pair("kidney", "urine", ball((48, 50, 323), 9, 9, 19), grows=2.0)
    yield from pair(
        "ureter", "mucosa", *tube([(42, 44, 308), (38, 34, 215), (46, 22, 125), (16, -12, 78)], 3)
    )
    yield single("abdominal aorta", "blood", *tube([(12, 36, 432), (4, 28, 245)], 11))
    yield single("inferior vena cava", "blood", *tube([(-22, 26, 440), (-20, 26, 245)], 12))
    for x in (-1, 1):
        yield single(
            "iliac artery", "blood", *tube([(0, 26, 246), (x * 60, 0, 150), (x * 66, -52, 35)], 8)
        )
    yield from pair("psoas", "muscle", *tube([(40, 52, 400), (52, 44, 240), (88, 0, 80)], 17))


def bowel(rng: np.random.Generator) -> Iterator[Part]:
    """A wandering tube of small bowel within the frame of the colon."""
    colon: dict[str, tuple[float, list[Mm3]]] = {
        "cecum": (20, [(-104, -18, 150), (-108, -18, 180)]),
        "ascending colon": (21, [(-110, -16, 182), (-112, -4, 285)]),
        "transverse colon": (19, [(-108, -18, 292), (-50, -66, 275), (20, -72, 262), (104, -22, 318)]),  # noqa: E501
        "descending colon": (16, [(110, -6, 312), (114, -4, 195)]),
        "sigmoid colon": (15, [(108, -6, 188), (52, -18, 142), (14, 12, 152), (2, 42, 132)]),
    }  # fmt: skip
    for site, low, high, count in (("ileum", 120, 205, 12), ("jejunum", 205, 310, 12)):
        x = 70 * np.sin(np.arange(count) * rng.uniform(1.8, 2.8) + rng.uniform(0, 6))
        y = rng.uniform(-68, -5, count)
        z = np.linspace(low, high, count)
        points = [(float(a), float(b), float(c)) for a, b, c in zip(x, y, z, strict=True)]
        yield single(site, "small bowel", *tube(points, rng.uniform(10, 14)))
    for site, (radius, points) in colon.items():
        wobble = rng.normal(0, 5, (len(points), 3))
        moved = [(a + u, b + v, c + w) for (a, b, c), (u, v, w) in zip(points, wobble, strict=True)]
        width = radius * float(rng.uniform(0.75, 1.15))
        yield single(site, "colon", *tube(moved, width))
        if rng.random() < 0.6:
            yield single("bowel gas", "gas", *tube(moved, 0.55 * width))
    yield single(
        "duodenum",
        "duodenum",
        *tube([(-28, -28, 346), (-50, -2, 328), (-42, 2, 288), (14, -2, 284)], 12),
    )


def pelvic_organs(is_female: bool, rng: np.random.Generator) -> Iterator[Part]:
    """Rectum, bladder as full as it happens to be, and the sex organs."""
    yield single("rectum", "colon", *tube([(0, 46, 126), (0, 48, 95), (0, 40, 45)], 17))
    yield single("anus", "mucosa", *tube([(0, 42, 40), (0, 46, 8)], 11))
    full = math.exp(rng.normal(-0.1, 0.25))
    yield single(
        "urinary bladder", "urine", ball((0, -38, 52 + 30 * full), 42 * full, 33 * full, 31 * full)
    )
    if is_female:
        yield single("uterus", "uterus", ball((0, 4, 98 + 14 * full), 27, 30, 24))
        yield single("cervix uteri", "uterus", ball((0, 8, 66), 16, 15, 12))
        yield from pair("ovary", "ovary", ball((46, 4, 122), 13, 11, 15))
    else:
        yield single("prostate", "prostate", ball((0, -22, 36), 23, 17, 17))
        yield from pair("testis", "testis", ball((20, -78, -42), 14, 17, 22))
