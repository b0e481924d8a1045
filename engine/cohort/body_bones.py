"""The skeleton: stylised shapes of our own at the places of an adult's bones."""

import math
from collections.abc import Iterator

from engine.cohort.body_parts import Part, ball, pair, single, tube
from engine.cohort.body_shapes import Cone, Cut, Ellipsoid, Mm3, Rod

_LOWEST_MM, _HIGHEST_MM = 239.0, 800.0


def bones() -> Iterator[Part]:
    """All bones but those of arms; later ones cover earlier ones."""
    yield from skull()
    yield from ribs()
    yield from girdle()
    yield from spine()
    yield from pelvis()
    yield from legs()


def vertebrae() -> Iterator[tuple[str, Mm3, float]]:
    """Name, centre and height of L5 to C1, from below."""
    z = _LOWEST_MM
    rows = [(f"L{n}", 35.0) for n in range(5, 0, -1)]
    rows += [(f"T{n}", 20.0 + 0.5 * n) for n in range(12, 0, -1)]
    rows += [(f"C{n}", 14.5) for n in range(7, 0, -1)]
    for name, height in rows:
        y = 58.0 if z < 600 else max(20.0, 58.0 - (z - 600) * 0.42)
        yield f"{name} vertebra", (0.0, y, z + height / 2), height
        z += height


def spine() -> Iterator[Part]:
    """A body and a spinous process each; a disc's width of other tissue between the bodies."""
    for name, (x, y, z), height in vertebrae():
        wide = 23.0 if name[0] == "L" else 17.0 if name[0] == "T" else 13.0
        half = 0.42 * height
        body = Cone((x, y, z - half), (wide, 0.75 * wide), (x, y, z + half), (wide, 0.75 * wide))
        process = ball((x, y + 1.55 * wide, z - 0.2 * height), 6, 0.75 * wide, 0.3 * height)
        yield Part(name, "vertebra", (body, process), is_loose=False)


def ribs() -> Iterator[Part]:
    """Twelve pairs, from each thoracic vertebra out, down and forward."""
    left: list[Rod] = []
    centres = {name: centre for name, centre, _ in vertebrae()}
    for n in range(1, 13):
        _, y, z = centres[f"T{n} vertebra"]
        wide = 95 + 55 * math.sin(math.pi * min(n, 9) / 18)
        deep = 60 + 38 * math.sin(math.pi * min(n, 9) / 18)
        drop = 25 + 7.0 * min(n, 8)
        to_rad = math.radians(150 if n <= 10 else 85)  # the last two end free
        points = []
        for step in range(8):
            angle = to_rad * step / 7 + math.radians(12)
            down = drop * step / 7
            points.append((
                wide * math.sin(angle), y + 12 - deep * (1 - math.cos(angle)) * 0.95, z - down,
            ))  # fmt: skip
        left.extend(tube(points, 5.5))
    yield from pair("rib", "bone", *left, is_loose=False)


def girdle() -> Iterator[Part]:
    """Breastbone, collar bones, shoulder blades."""
    yield single("sternum", "marrow", Cone((0, -100, 490), (17, 7), (0, -84, 600), (19, 7)))
    yield single("manubrium", "marrow", Cone((0, -84, 600), (20, 8), (0, -70, 645), (27, 9)))
    yield from pair(
        "clavicle", "bone",
        *tube([(18, -62, 652), (70, -52, 668), (120, -20, 676), (152, 0, 672)], 7),
    )  # fmt: skip
    yield from pair(
        "scapula", "bone",
        *tube([(100, 92, 655), (98, 98, 520)], 8),
        *tube([(98, 98, 520), (145, 45, 640)], 6),
        *tube([(95, 95, 640), (150, 60, 665), (155, 20, 670)], 7),
    )  # fmt: skip


def pelvis() -> Iterator[Part]:
    """Sacrum, hip bones with the sockets, sacroiliac joints."""
    yield single("sacrum", "marrow", Cone((0, 84, 165), (22, 11), (0, 62, 238), (50, 20)))
    yield single("coccyx", "marrow", *tube([(0, 84, 165), (0, 74, 135)], 8))
    yield from pair(
        "ilium", "marrow",
        *tube([(52, 72, 215), (88, 52, 222), (122, 10, 218), (126, -35, 195)], 11),
        *tube([(56, 62, 185), (95, 35, 180), (118, -10, 178)], 11),
        *tube([(62, 52, 150), (92, 30, 140), (108, 0, 140)], 12),
        *tube([(85, 32, 118), (95, 10, 100)], 19),
        grows=0.6,
    )  # fmt: skip
    yield from pair("sacroiliac joint", "marrow", ball((50, 70, 200), 9, 13, 26))
    yield from pair("acetabulum", "marrow", Cut(ball((92, 10, 62), 33), (92, 10, 62), (-1, 0, 0.8)))
    yield from pair("ischium", "bone", *tube([(82, 32, 50), (66, 48, 5)], 14))
    yield from pair("pubis", "bone", *tube([(78, -12, 52), (14, -52, 30)], 10))
    yield single("pubic symphysis", "cartilage", ball((0, -52, 28), 6, 9, 18))


def legs() -> Iterator[Part]:
    """Femora with their heads, knees, lower legs."""
    yield from pair(
        "femur", "bone",
        *tube([(96, 8, 58), (128, 12, 15)], 14), *tube([(128, 12, 15), (92, 5, -380)], 14),
        ball((92, 5, -392), 36, 28, 26),
    )  # fmt: skip
    yield from pair("femoral head", "marrow", ball((93, 9, 60), 23), is_loose=False)
    yield from pair("tibia", "bone", ball((90, 5, -432), 34, 26, 18),
                    *tube([(90, 0, -440), (82, 8, -780)], 13))  # fmt: skip


def skull() -> Iterator[Part]:
    """Vault, base and jaw."""
    yield single(
        "skull", "skull",
        Ellipsoid((0, 0, 872), (74, 94, 77), hollow=0.91),
        Cone((0, -5, 806), (50, 50), (0, -5, 820), (58, 68)),
    )  # fmt: skip
    yield from pair(
        "mandible", "bone",
        *tube([(52, -2, 800), (50, -8, 772), (40, -60, 757), (8, -88, 752)], 8),
    )  # fmt: skip
    yield from pair("maxilla", "bone", ball((22, -72, 793), 18, 20, 8))
