"""Where findings of the phantom world lie: organs, and the stations of lymph nodes.

`site` is a row of the table of sites. Weights say how often a place is drawn; they make no claim
of how often disease is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from engine.cohort.body_bones import vertebrae
from engine.cohort.body_parts import SIDES, Side
from engine.cohort.body_shapes import Mm3

Kind = Literal["mass", "nodule", "node", "bone", "tissue", "focus", "organ"]
LARGEST_ML = 40.0


@dataclass(frozen=True, slots=True)
class Place:
    """Within the organ of this site, or at `anchor_mm` of the reference adult.

    A `focus` is physiologic uptake that stands out; of an `organ` the organ itself is outlined.
    """

    site: str
    kind: Kind
    side: Side | None = None
    weight: float = 1.0
    most_ml: float = LARGEST_ML
    anchor_mm: Mm3 | None = None


def places() -> tuple[Place, ...]:
    """Every place, those of both sides twice."""
    return (*_organs(), *_bones(), *_nodes(), *_physiologic())


def _organs() -> Iterator[Place]:
    yield Place("right middle lobe", "nodule", "right", 2, 25)
    yield from _both(Place("upper lobe of lung", "nodule", None, 4))
    yield from _both(Place("lower lobe of lung", "nodule", None, 4))
    for site, kind, weight, most_ml in (
        ("liver", "mass", 9, 40), ("spleen", "mass", 2, 30), ("pancreas", "mass", 3, 15),
        ("stomach", "mass", 2, 20), ("gallbladder", "mass", 1, 8), ("esophagus", "mass", 3, 12),
        ("nasopharynx", "mass", 1.5, 8), ("base of tongue", "mass", 2, 8), ("tongue", "mass", 1, 8),
        ("larynx", "mass", 1.5, 8), ("hypopharynx", "mass", 1, 6), ("mediastinum", "mass", 1.5, 30),
        ("ascending colon", "mass", 1, 15), ("cecum", "mass", 1, 15),
        ("sigmoid colon", "mass", 1, 15), ("descending colon", "mass", 1, 12),
        ("transverse colon", "mass", 1, 15),
        ("rectum", "mass", 2, 20), ("anus", "mass", 1, 8), ("prostate", "mass", 2, 10),
        ("cervix uteri", "mass", 1.5, 15), ("uterus", "mass", 1.5, 20), ("brain", "mass", 0.5, 15),
        ("peritoneal cavity", "tissue", 1.5, 20),
    ):  # fmt: skip
        yield Place(site, _kind(kind), None, weight, most_ml)
    for site, kind, weight, most_ml in (
        ("adrenal gland", "nodule", 1.5, 8), ("kidney", "mass", 1.5, 20),
        ("parotid gland", "nodule", 1, 8), ("submandibular gland", "nodule", 0.5, 5),
        ("thyroid", "nodule", 1.5, 8), ("palatine tonsil", "mass", 1, 6), ("breast", "mass", 2, 25),
        ("ovary", "mass", 0.8, 15), ("cerebellum", "mass", 0.5, 8),
        ("frontal lobe", "mass", 0.6, 15), ("parietal lobe", "mass", 0.5, 15),
        ("maxillary sinus", "mass", 0.7, 8),
        ("testis", "mass", 0.5, 8),
    ):  # fmt: skip
        yield from _both(Place(site, _kind(kind), None, weight / 2, most_ml))
    for site, anchor in (("pleura", (140.0, 30.0, 520.0)), ("chest wall", (148.0, -30.0, 560.0)),
                         ("buttock", (82.0, 92.0, 60.0)), ("thigh", (95.0, -25.0, -90.0)),
                         ("shoulder", (150.0, 55.0, 640.0))):  # fmt: skip
        yield from _both(Place(site, "tissue", None, 0.7, 25, anchor))


def _bones() -> Iterator[Place]:
    for name, _, _ in vertebrae():
        yield Place(name, "bone", None, 0.25 if name[0] == "C" else 0.45, 12)
    for site, weight, most_ml in (
        ("sacrum", 1.5, 20),
        ("sternum", 1, 10),
        ("manubrium", 0.7, 8),
        ("skull", 0.7, 10),
    ):
        yield Place(site, "bone", None, weight, most_ml)
    for site, weight, most_ml in (
        ("ilium", 2.5, 25), ("rib", 3, 8), ("scapula", 1.2, 12), ("clavicle", 0.8, 8),
        ("femur", 1.5, 25), ("femoral head", 0.6, 10), ("humerus", 1.2, 15), ("acetabulum", 1, 12),
        ("ischium", 0.8, 12), ("pubis", 0.8, 8), ("mandible", 0.6, 6), ("sacroiliac joint", 0.6, 8),
    ):  # fmt: skip
        yield from _both(Place(site, "bone", None, weight / 2, most_ml))


# reference positions on the left; ours, after the maps of nodal levels and stations
_PAIRED: dict[str, tuple[Mm3, float, float]] = {
    "level IB LN": ((34, -50, 750), 0.8, 5), "level II LN": ((46, -6, 756), 2, 12),
    "level III LN": ((43, -8, 730), 1.5, 8), "level IV LN": ((42, -4, 706), 1.2, 8),
    "level V LN": ((54, 26, 722), 1, 8), "supraclavicular LN": ((62, -22, 684), 2.5, 12),
    "axillary LN": ((128, 2, 606), 4, 20), "internal mammary LN": ((30, -88, 570), 0.8, 4),
    "paratracheal LN": ((22, 0, 622), 2, 15), "hilar LN": ((42, 4, 560), 3, 15),
    "para-aortic LN": ((26, 24, 300), 1.5, 20), "common iliac LN": ((36, 26, 222), 1.2, 12),
    "external iliac LN": ((70, -22, 122), 2, 15), "internal iliac LN": ((52, 34, 138), 1, 8),
    "obturator LN": ((58, 6, 88), 0.8, 6), "inguinal LN": ((74, -66, 22), 3, 15),
}  # fmt: skip
_MIDDLE: dict[str, tuple[Mm3, float, float]] = {
    "station 7 LN": ((0, 10, 560), 2, 20), "celiac LN": ((6, 4, 400), 0.7, 8),
    "mesenteric LN": ((8, -38, 268), 1.5, 20), "mesorectal LN": ((4, 66, 112), 0.7, 5),
    "presacral LN": ((0, 68, 150), 0.5, 5),
}  # fmt: skip


def _nodes() -> Iterator[Place]:
    for site, (anchor, weight, most_ml) in _PAIRED.items():
        yield from _both(Place(site, "node", None, weight / 2, most_ml, anchor))
    for site, (anchor, weight, most_ml) in _MIDDLE.items():
        yield Place(site, "node", None, weight, most_ml, anchor)


def _physiologic() -> Iterator[Place]:
    for site, weight in (("urinary bladder", 3.0), ("heart", 3.0)):
        yield Place(site, "organ", None, weight)
    for site, weight, most_ml in (
        ("ascending colon", 1.2, 12.0), ("cecum", 0.8, 10), ("sigmoid colon", 0.8, 10),
        ("jejunum", 1.2, 10), ("ileum", 1, 10), ("larynx", 1.2, 4), ("stomach", 0.8, 12),
    ):  # fmt: skip
        yield Place(site, "focus", None, weight, most_ml)
    for site, weight, most_ml in (
        ("ureter", 3.0, 2.5), ("palatine tonsil", 1.5, 3), ("testis", 0.8, 8),
    ):  # fmt: skip
        yield from _both(Place(site, "focus", None, weight / 2, most_ml))


def _both(left: Place) -> Iterator[Place]:
    for side in SIDES:
        anchor = left.anchor_mm
        if anchor is not None and side == "right":
            anchor = (-anchor[0], anchor[1], anchor[2])
        yield replace(left, side=side, anchor_mm=anchor)


def _kind(name: str) -> Kind:
    return {"nodule": "nodule", "mass": "mass", "tissue": "tissue"}[name]  # type: ignore[return-value]
