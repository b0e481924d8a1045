"""Damaged mask objects end in segments, reasons or a refusal: never another exception."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.reading.mask import read_mask
from engine.reading.pet import read_pet
from engine.volume import Volume
from tests.makers import make_pet, make_rtstruct, make_seg, save

ROUNDS = 120


def specimens(folder: Path) -> tuple[Volume, dict[str, Path]]:
    """A PET and one mask object of each kind on it."""
    series = make_pet(np.ones((6, 12, 10)))
    pet, _ = read_pet(save(series, folder / "pet"))
    mask = np.zeros((6, 12, 10), np.bool_)
    mask[1:5, 2:8, 3:7] = True
    corners = [(-50.0, -50.0), (-30.0, -50.0), (-30.0, -30.0), (-50.0, -30.0)]
    contours = [[(x, y, z) for x, y in corners] for z in (3.0, 6.0, 9.0)]
    made = {kind: make_seg({"a": mask, "b": mask[::-1]}, series, kind=kind, series=kind)
            for kind in ("BINARY", "FRACTIONAL")}  # fmt: skip
    made["LABELMAP"] = make_seg({"a": mask}, series, kind="LABELMAP")
    made["RTSTRUCT"] = make_rtstruct({"a": contours, "b": contours[:1]}, series)
    return pet, {kind: save(each, folder / kind)[0] for kind, each in made.items()}


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, a piece cut out, doubled, or the end missing."""
    spoilt = bytearray(whole)
    start = chance.randrange(300, len(spoilt))
    match chance.randrange(4):
        case 0:
            for _ in range(chance.choice((1, 3, 30))):
                spoilt[chance.randrange(300, len(spoilt))] = chance.randrange(256)
        case 1:
            del spoilt[start : start + chance.choice((1, 2, 50))]
        case 2:
            spoilt[start:start] = spoilt[start - chance.choice((2, 8, 100)) : start]
        case _:
            del spoilt[start:]
    return bytes(spoilt)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP", "RTSTRUCT"])
def test_damage_is_told_and_never_crashes(kind: str, tmp_path: Path) -> None:
    pet, paths = specimens(tmp_path)
    whole = paths[kind].read_bytes()
    chance = random.Random(kind)
    outcomes = {"read": 0, "refused": 0}
    path = tmp_path / "damaged.dcm"
    for _ in range(ROUNDS):
        path.write_bytes(damaged(whole, chance))
        began = time.perf_counter()
        try:
            content = read_mask(path, pet)
        except EngineError as refusal:
            outcomes["refused"] += refusal.code != "engine-error"
        else:
            assert all(s.mask.voxels.shape == pet.grid.shape for s in content.segments)
            outcomes["read"] += 1
        assert time.perf_counter() - began < 20
    assert min(outcomes.values()) > 0
    assert sum(outcomes.values()) == ROUNDS


@pytest.mark.parametrize("value", ["1e308", "-1e308", "nan", "inf", "1e30"])
def test_impossible_coordinates(value: str, tmp_path: Path) -> None:
    pet, paths = specimens(tmp_path)
    whole = paths["RTSTRUCT"].read_bytes()
    number = b"-50"
    padded = value.encode().rjust(6)[:6]
    spoilt = whole.replace(number + b"\\-50", padded + b"\\", 2) if len(padded) == 6 else whole
    path = tmp_path / "spoilt.dcm"
    path.write_bytes(spoilt)
    content = read_mask(path, pet)
    assert {failed.code for failed in content.failed} <= {
        "bad-contour", "contour-not-parallel", "outside-pet", "contour-too-complex",
    }  # fmt: skip
