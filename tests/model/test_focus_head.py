"""A mask above what was taken for the top of the head: the profile `paper` sees the whole study."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.finding import Description
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from engine.petar.config import PAPER, PETAR_RELEASE, Profile, VisionConfig
from engine.petar.focus import LesionViews, PreparedStudy, lesion_views, prepare, views_of
from engine.petar.options import NOTHING_KEPT, CacheLimits
from engine.volume import Scan
from tests.model.bodies import mask, warm
from tests.model.checkpoints import make_checkpoint
from tests.model.describing import codes, one_by_one, petar
from tests.model.scans import make_lesions, make_scan

CPU = torch.device("cpu")
VISION = VisionConfig((16, 64, 64), (4, 16, 16), width=64, depth=2, mlp_width=96, heads=2)
HOT = 29  # the highest plane that is hot, of 60: k rises to the head


def scan_without_brain() -> Scan:
    """A field of view that begins at the neck: the first hot thing from above is the heart."""
    one = warm((60, 40, 40))
    one.pet.values[:] += np.arange(60, dtype=np.float32)[:, None, None] / 100  # planes differ
    one.pet.values[HOT, 18:22, 18:22] = 6.0
    return one


def preparing(one: Scan, profile: Profile, asked: list[bool]) -> Callable[[bool], PreparedStudy]:
    def prepared(from_the_top: bool) -> PreparedStudy:
        asked.append(from_the_top)
        return prepare(one, profile, CPU, from_the_top=from_the_top)

    return prepared


def same(one: LesionViews, other: LesionViews) -> bool:
    pairs = zip(vars_of(one), vars_of(other), strict=True)
    return one.window == other.window and all(torch.equal(ours, theirs) for ours, theirs in pairs)


def vars_of(one: LesionViews) -> tuple[torch.Tensor, ...]:
    seen = one.views
    return seen.pet, seen.ct, seen.mask, seen.focal_pet, seen.focal_ct, seen.focal_mask


@pytest.mark.parametrize("planes", [slice(40, 44), slice(28, 34)], ids=["above", "across"])
def test_a_mask_above_it_is_seen_in_the_whole_study(planes: slice) -> None:
    one, asked = scan_without_brain(), list[bool]()
    marked = mask(one, planes, slice(18, 22), slice(18, 22))
    found = lesion_views(marked, PAPER, VISION, preparing(one, PAPER, asked))
    assert asked == [False, True]
    assert found.warnings == ()
    assert found.from_the_top
    assert same(found, views_of(prepare(one, PAPER, CPU, from_the_top=True), marked, PAPER, VISION))
    kept = replace(PAPER, head_suv=1000.0)  # as where nothing is hot
    assert same(found, views_of(prepare(one, kept, CPU), marked, kept, VISION))


def test_a_mask_below_it_is_seen_as_ever() -> None:
    one, asked = scan_without_brain(), list[bool]()
    marked = mask(one, slice(HOT - 6, HOT + 1), slice(18, 22), slice(18, 22))
    found = lesion_views(marked, PAPER, VISION, preparing(one, PAPER, asked))
    assert asked == [False]
    assert not found.from_the_top
    assert same(found, views_of(prepare(one, PAPER, CPU), marked, PAPER, VISION))


def test_the_released_profile_does_as_the_released_code() -> None:
    one, asked = scan_without_brain(), list[bool]()
    across = mask(one, slice(28, 34), slice(18, 22), slice(18, 22))
    found = lesion_views(across, PETAR_RELEASE, VISION, preparing(one, PETAR_RELEASE, asked))
    assert asked == [False]
    assert found.warnings[0] == "mask-cut-by-head-crop"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.set_num_threads(1)
    return load_checkpoint(make_checkpoint(tmp_path_factory.mktemp("toy"), seed=3))


@pytest.mark.parametrize("caches", [NOTHING_KEPT, CacheLimits()], ids=["nothing-kept", "kept"])
def test_lesions_on_both_sides_of_it_share_no_image(
    checkpoint: Checkpoint, caches: CacheLimits
) -> None:
    scan, lesions = make_scan(1), make_lesions(8)
    planes = sorted(int(np.argwhere(one.segment.mask.voxels)[:, 0].max()) for one in lesions)
    scan.pet.values[:] = np.minimum(scan.pet.values, 4.0)
    scan.pet.values[planes[4], scan.pet.grid.shape[1] // 2, scan.pet.grid.shape[2] // 2] = 9.0
    expected = one_by_one(checkpoint, scan, lesions, profile=PAPER)
    assert codes(expected) == [None] * 8
    with petar(checkpoint, profile=PAPER, caches=caches) as made:
        assert made.describe(scan, lesions) == expected
    with petar(checkpoint, profile=replace(PAPER, mask_overrules_head=False)) as cropping:
        cropped = cropping.describe(scan, lesions)
    assert "mask-above-head-crop" in codes(cropped)
    whole = [
        (one, other)
        for one, other in zip(expected, cropped, strict=True)
        if isinstance(other, Description) and "mask-cut-by-head-crop" not in other.warnings
    ]
    assert whole
    assert all(one == other for one, other in whole)
