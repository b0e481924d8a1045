"""Head and neck without their bones."""

from collections.abc import Iterator

from engine.cohort.body_parts import Part, ball, pair, single, tube
from engine.cohort.body_shapes import Cut, Solid

_BRAIN = ball((0, 0, 874), 65, 84, 66)


def head() -> Iterator[Part]:
    """Brain by lobes, eyes, sinuses, mouth, throat, glands and thyroid."""
    yield from brain()
    yield from pair("eye", "eye", ball((32, -76, 842), 12))
    yield from pair("maxillary sinus", "gas", ball((30, -66, 815), 15, 15, 16))
    yield single("nasal cavity", "gas", ball((0, -74, 822), 10, 20, 20))
    yield from throat()
    yield from glands()


def brain() -> Iterator[Part]:
    """Grey matter by lobes about the white."""
    left = Cut(_BRAIN, (0, 0, 0), (1, 0, 0))
    yield from pair("parietal lobe", "grey matter", left, is_loose=False)
    yield from pair("frontal lobe", "grey matter", _before(left, -12), is_loose=False)
    yield from pair("occipital lobe", "grey matter", _behind(left, 52), is_loose=False)
    temporal = Cut(Cut(left, (0, 0, 858), (0, 0, -1)), (22, 0, 0), (1, 0, 0))
    yield from pair(
        "temporal lobe", "grey matter", _behind(_before(temporal, 40), -48), is_loose=False
    )
    yield single("brain", "white matter", ball((0, 2, 882), 34, 52, 26))
    yield single("brain stem", "grey matter", ball((0, 18, 832), 13, 12, 24))
    yield from pair("cerebellum", "grey matter", ball((24, 46, 828), 26, 26, 17))


def throat() -> Iterator[Part]:
    """Nasopharynx to hypopharynx and larynx, each with its air."""
    yield single("nasopharynx", "mucosa", ball((0, -14, 806), 17, 11, 13))
    yield single("airway", "gas", ball((0, -20, 804), 8, 7, 10))
    yield single("tongue", "tongue", ball((0, -55, 776), 25, 28, 15))
    yield single("floor of mouth", "muscle", ball((0, -62, 757), 24, 22, 8))
    yield single("soft palate", "mucosa", ball((0, -30, 792), 16, 12, 5))
    yield single("base of tongue", "mucosa", ball((0, -27, 766), 15, 10, 13))
    yield from pair("palatine tonsil", "tonsil", ball((19, -18, 776), 8, 9, 12))
    yield single("hypopharynx", "mucosa", ball((0, 2, 742), 16, 8, 14))
    yield single("larynx", "larynx", ball((0, -24, 732), 19, 17, 19))
    yield single("airway", "gas", *tube([(0, -16, 785), (0, -14, 750), (0, -20, 720)], 6))


def glands() -> Iterator[Part]:
    yield from pair("parotid gland", "salivary", ball((55, 6, 784), 13, 18, 22))
    yield from pair("submandibular gland", "salivary", ball((34, -34, 758), 11, 13, 12))
    yield from pair("thyroid", "thyroid", ball((20, -30, 702), 11, 12, 22))


def _before(solid: Solid, y_mm: float) -> Cut:
    return Cut(solid, (0, y_mm, 0), (0, -1, 0))


def _behind(solid: Solid, y_mm: float) -> Cut:
    return Cut(solid, (0, y_mm, 0), (0, 1, 0))
