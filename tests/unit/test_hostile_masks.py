"""Damaged mask objects end in segments, reasons or a refusal: never another exception."""

import random
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

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


MARKER = b"12345.678"
IMPOSSIBLE = ["1e308", "-1e308", "nan", "inf", "1e30", "1e12", "-1e12", "100001", "-100001"]


@pytest.mark.parametrize("axis", [0, 1, 2], ids="xyz")
@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_a_contour_with_an_impossible_coordinate_is_refused_alone(
    value: str, axis: int, tmp_path: Path
) -> None:
    """In any place of any contour: what the rest of the ROI encloses is not its volume."""
    series = make_pet(np.ones((6, 12, 10)))
    pet, _ = read_pet(save(series, tmp_path / "pet"))
    corners = [(-50.0, -50.0), (-30.0, -50.0), (-30.0, -30.0), (-50.0, -30.0)]
    contours = [[[x, y, z] for x, y in corners] for z in (3.0, 6.0, 9.0)]
    spoilt = [[[*point] for point in contour] for contour in contours]
    spoilt[2][1][axis] = float(MARKER)
    whole = save(make_rtstruct({"a": spoilt, "b": contours}, series), tmp_path / "mask")[0]
    assert whole.read_bytes().count(MARKER) == 1
    path = tmp_path / "spoilt.dcm"
    path.write_bytes(whole.read_bytes().replace(MARKER, value.encode().ljust(len(MARKER))))
    content = read_mask(path, pet)
    assert [(failed.number, failed.code) for failed in content.failed] == [(1, "bad-contour")]
    assert [(segment.label, segment.flags) for segment in content.segments] == [("b", ())]


IMPOSSIBLE_LIES = [
    ("PlanePositionSequence", "ImagePositionPatient", ["1e308", "0", "0"]),
    ("PlanePositionSequence", "ImagePositionPatient", ["0", "-100001", "0"]),
    ("PlaneOrientationSequence", "ImageOrientationPatient", ["1e308", "0", "0", "0", "1", "0"]),
    ("PixelMeasuresSequence", "PixelSpacing", ["1e-300", "1e-300"]),
    ("PixelMeasuresSequence", "PixelSpacing", ["1e300", "4"]),
    ("PixelMeasuresSequence", "PixelSpacing", ["-4", "4"]),
]


@pytest.mark.parametrize(("group", "keyword", "value"), IMPOSSIBLE_LIES)
def test_a_seg_whose_frames_lie_nowhere_is_refused(
    group: str, keyword: str, value: list[str], tmp_path: Path
) -> None:
    pet, seg = _pet_and_seg(tmp_path)
    stating = [each for each in _groups(seg) if group in each]
    setattr(stating[-1][group][0], keyword, value)
    with pytest.raises(EngineError) as told:
        read_mask(save(seg, tmp_path / "spoilt")[0], pet)
    expected = "bad-orientation" if keyword == "ImageOrientationPatient" else "unplaced-frame"
    assert told.value.code == expected


@pytest.mark.parametrize("value", ["1e-300", "0", "-3", "1e300"])
@pytest.mark.parametrize("keyword", ["SpacingBetweenSlices", "SliceThickness"])
def test_an_impossible_thickness_is_none(keyword: str, value: str, tmp_path: Path) -> None:
    pet, seg = _pet_and_seg(tmp_path)
    sound = read_mask(save(seg, tmp_path / "sound")[0], pet).segments[0]
    for each in _groups(seg):
        if "PixelMeasuresSequence" in each:
            setattr(each.PixelMeasuresSequence[0], keyword, value)
    read = read_mask(save(seg, tmp_path / "spoilt")[0], pet).segments[0]
    assert np.array_equal(read.mask.voxels, sound.mask.voxels)
    assert read.drawn_volume_cm3 == pytest.approx(sound.drawn_volume_cm3)


def _pet_and_seg(folder: Path) -> tuple[Volume, Dataset]:
    series = make_pet(np.ones((6, 12, 10)))
    pet, _ = read_pet(save(series, folder / "pet"))
    mask = np.zeros((6, 12, 10), np.bool_)
    mask[1:5, 2:8, 3:7] = True
    return pet, make_seg({"a": mask}, series)


def _groups(seg: Dataset) -> list[Dataset]:
    return [*seg.SharedFunctionalGroupsSequence, *seg.PerFrameFunctionalGroupsSequence]
