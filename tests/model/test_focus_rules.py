"""The rules of PETAR's views one by one, where the published code leaves a choice or a trap."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.image import resample_img

from engine.acquisition import SuvRefusal
from engine.errors import GridMismatch
from engine.petar.config import PAPER, PETAR_RELEASE, VisionConfig
from engine.petar.focus import LesionViews, Unseeable, prepare, views_of
from engine.petar.lattice import lattice_of, nearest_points
from engine.petar.sampling import sampled
from engine.volume import Mask, Scan
from tests.model.bodies import (
    STORAGES,
    axial,
    mask,
    scan,
    stored,
    stored_mask,
    stored_scan,
    volume,
    warm,
)
from tests.model.views_reference import nifti

CPU = torch.device("cpu")
VISION = VisionConfig((16, 64, 64), (4, 16, 16), width=64, depth=2, mlp_width=96, heads=2)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def see(one: Scan, marked: Mask, profile=PETAR_RELEASE, **options) -> LesionViews:
    return views_of(prepare(one, profile, CPU, **options), marked, profile, VISION)


def whole(n):
    return tuple(range(m) for m in n)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(*[st.integers(2, 12)] * 3),
    spacing=st.tuples(*[st.sampled_from([1.5, 2.0, 2.025, 3.0, 3.27, 4.0, 5.46875])] * 3),
    first=st.tuples(*[st.integers(-300, 300)] * 3),
    storage=st.sampled_from(sorted(STORAGES)),
)
def test_the_grid_is_nilearns(shape, spacing, first, storage):
    values, grid = stored(np.zeros(shape, np.float32), axial(shape, spacing, first), storage)
    theirs = resample_img(
        nifti(values, grid), np.diag([3.0, 3.0, 3.0]), interpolation="nearest", copy_header=True
    )
    ours = lattice_of(grid, whole(grid.shape), PETAR_RELEASE)
    # one more plane of theirs is their rounding of a whole number of steps; it lies outside
    surplus = np.array(theirs.shape)[::-1] - ours.shape
    assert set(surplus.tolist()) <= {0, 1}
    if not surplus.any():
        last = np.array(ours.shape) - 1
        ras = grid.to_lps_mm((ours.to_kji @ [*last, 1])[:3]) * (-1, -1, 1)
        assert ras[2] == pytest.approx(theirs.affine[2, 3], abs=1e-6)  # feet
        assert ras[1] == pytest.approx(theirs.affine[1, 3], abs=1e-6)  # back
        assert ras[0] == pytest.approx(theirs.affine[0, 3] + 3 * last[2], abs=1e-6)  # right


def test_beyond_the_outermost_centres_is_nothing_for_pet_and_water_for_ct():
    one = warm((8, 8, 8), (3.2, 3.2, 3.2))  # 22.4 mm: 9 points, the ninth at 24 mm
    one = replace(one, ct=volume(np.full((8, 8, 8), 100.0), one.pet.grid, "HU"))
    study = prepare(one, PETAR_RELEASE, CPU)
    assert study.pet.shape == (9, 9, 9)
    inside = study.pet[1:, 1:, :-1]  # the ends to the head, to the front and to the right go empty
    assert torch.allclose(inside, torch.tensor(1 / 12))
    assert study.pet.count_nonzero() == 8**3
    assert torch.allclose(study.ct[1:, 1:, :-1], torch.tensor(400 / 700))
    assert torch.allclose(study.ct[0], torch.tensor(300 / 700))


@pytest.mark.parametrize(
    ("off_voxels", "exists"), [(-5e-7, True), (-2e-6, False), (5e-7, True), (0.0, True)]
)
def test_an_index_within_a_millionth_of_the_last_centre_is_inside(off_voxels, exists):
    values = torch.ones(4, 4, 4)
    for axis in range(3):
        for sign in (1, -1):
            move = np.eye(4)
            move[axis, 3] = sign * off_voxels
            found = sampled(values, move, (4, 4, 4), outside=0.0)
            assert bool(found.all()) == exists


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_tie_goes_to_the_right_to_the_front_and_to_the_head(storage, axis):
    """2 mm voxels: every other point of the lattice lies halfway between two of them."""
    shape, spacing = [7, 7, 7], [3.0, 3.0, 3.0]
    spacing[axis] = 2.0
    grid = axial(tuple(shape), tuple(spacing))
    found = []
    for voxel in range(7):
        box = [slice(3, 4)] * 3
        box[axis] = slice(voxel, voxel + 1)
        voxels = np.zeros(shape, np.bool_)
        voxels[tuple(box)] = True
        voxels, placed = stored(voxels, grid, storage)
        lattice = lattice_of(placed, whole(placed.shape), PETAR_RELEASE)
        points = nearest_points(lattice, np.argwhere(voxels))
        found.append(sorted(points[:, axis].tolist()))
    # points at 0, 3, 6, 9, 12 mm from the lowest RAS centre; voxels at 0, 2 .. 12 mm
    rising = [[0], [], [1], [2], [], [3], [4]]  # 3 mm -> the voxel at 4 mm, 9 mm -> that at 10 mm
    if axis == 0:  # k rises to the head, z falls
        expected = [[4 - p for p in points] for points in rising]
    elif axis == 1:  # j rises to the back: reversed voxels; y rises to the back too
        expected = [[4 - p for p in points] for points in rising[::-1]]
    else:  # i rises to the left, x to the right
        expected = rising[::-1]
    assert found == expected


def test_what_falls_between_the_points_is_refused():
    one = warm((8, 8, 8), (3.0, 2.0, 3.0))
    with pytest.raises(Unseeable, match="between the points") as refused:
        see(one, mask(one, 3, 6, 3))  # 2 mm from the back: 0 mm is nearer to 0, and 3 mm is a tie
    assert refused.value.code == "mask-lost-in-resampling"


def planes_dropped(one: Scan, storage: str) -> int:
    study = prepare(stored_scan(one, storage), PETAR_RELEASE, CPU)
    return sum(one.pet.grid.shape) - sum(len(kept) for kept in study.lattice.kept)


@pytest.mark.parametrize("storage", ["LPS", "RAS", "LPI"])
@pytest.mark.parametrize(
    ("x", "y", "is_seen"),
    [  # voxels from the middle, to the right and to the front; an end is exclusive
        (0, 0, True), (-50, 0, True), (-51, 0, False), (49, 0, True), (50, 0, False),
        (0, -150, True), (0, -151, False), (0, 49, True), (0, 50, False),
    ],
)  # fmt: skip
def test_the_head_is_looked_for_in_a_box_about_the_middle(storage, x, y, is_seen):
    shape = (6, 311, 121)
    one = warm(shape)
    j, i = shape[1] - 1 - (311 // 2 + y), shape[2] - 1 - (121 // 2 + x)  # LPS storage
    one.pet.values[2, j, i] = 5.1
    assert planes_dropped(one, storage) == (3 if is_seen else 0)
    if is_seen:  # its plane is the topmost that is left
        uncropped = replace(PETAR_RELEASE, plane=400)
        assert prepare(stored_scan(one, storage), uncropped, CPU).pet[0].max() > 5 / 12


def test_the_top_of_the_head_is_hotter_than_5_or_else_denser_than_1000():
    one = warm((8, 30, 30))
    one.pet.values[5, 15, 15] = 5.0
    one.ct.values[6, 15, 15] = 1000.0
    assert planes_dropped(one, "LPS") == 0  # exactly at both thresholds: nothing exceeds them
    one.ct.values[4, 15, 15] = 1001.0
    assert planes_dropped(one, "LPS") == 3
    one.pet.values[2, 15, 15] = 5.001
    assert planes_dropped(one, "LPS") == 5  # PET goes before CT, even where it is lower


def test_a_lesion_above_the_top_of_the_head_is_refused_and_one_across_it_cut():
    one = warm((20, 30, 30))
    one.pet.values[9, 15, 15] = 6.0
    with pytest.raises(Unseeable) as refused:
        see(one, mask(one, slice(10, 14), 15, 15))
    assert refused.value.code == "mask-above-head-crop"
    found = see(one, mask(one, slice(7, 14), 15, slice(14, 16)))
    assert found.warnings[:2] == (
        "mask-cut-by-head-crop",
        "8 of 14 voxels of the mask lie above the top of the head",
    )


def test_a_lesion_below_the_top_350_slices_is_refused_and_one_across_them_cut():
    one = warm((400, 20, 20))
    study = prepare(one, PETAR_RELEASE, CPU)
    assert study.pet.shape[0] == 350
    with pytest.raises(Unseeable) as refused:
        see(one, mask(one, slice(10, 50), 10, 10))
    assert refused.value.code == "mask-outside-grid"
    found = see(one, mask(one, slice(45, 55), 10, slice(9, 12)))
    assert found.warnings[:2] == (
        "mask-cut-by-grid",
        "15 of 30 voxels of the mask lie outside the part of the body that the network sees",
    )
    assert prepare(one, PAPER, CPU).pet.shape[0] == 352


@pytest.mark.parametrize(("profile", "plane"), [(PETAR_RELEASE, 200), (PAPER, 192)])
def test_the_plane_is_cropped_about_its_middle(profile, plane):
    one = warm((3, 223, 223))
    lost = 223 - plane
    low_ras = lost // 2  # the odd column goes to the high end, right and front
    one.pet.values[:, :, 222 - low_ras] = 3.0  # i rises to the left
    one.pet.values[:, 222 - low_ras, :] = 4.0
    pet = prepare(one, profile, CPU).pet
    assert pet.shape == (3, plane, plane)
    assert torch.allclose(pet[0, 5, [0, 1]], torch.tensor([3 / 12, 1 / 12]))
    assert torch.allclose(pet[0, [-2, -1], 5], torch.tensor([1 / 12, 4 / 12]))
    for corner in ((1, 0, 111), (1, 111, 222)):
        with pytest.raises(Unseeable) as refused:
            see(one, mask(one, *corner), profile)
        assert refused.value.code == "mask-outside-grid"


def test_the_window_is_centred_on_the_lesions_middle_floored_towards_the_head():
    one = warm((300, 12, 12))
    for low, high in ((100, 104), (100, 105)):  # k rises to the head; z = 299 - k
        found = see(one, mask(one, slice(low, high), 6, 6))
        centre = (299 - (high - 1) + 299 - low) // 2
        assert found.window == (centre - 80, centre + 81)
    assert see(one, mask(one, slice(295, 298), 6, 6)).window == (0, 84)
    assert see(one, mask(one, slice(2, 4), 6, 6)).window == (216, 300)
    assert see(one, mask(one, slice(2, 4), 6, 6), PAPER).window == (0, 300)


def test_a_lesion_taller_than_the_window_is_cut_and_counted():
    one = warm((300, 12, 12))
    found = see(one, mask(one, slice(50, 250), 6, 6))
    assert found.warnings == (
        "mask-cut-by-window",
        "39 of 200 voxels of the mask lie outside the network's global view",
    )
    assert not see(one, mask(one, slice(50, 250), 6, 6), PAPER).warnings


def test_two_parts_with_nothing_between_them_are_refused():
    one = warm((300, 12, 12))
    ends = mask(one, slice(0, 300, 299), 6, 6)
    with pytest.raises(Unseeable) as refused:
        see(one, ends)
    assert refused.value.code == "mask-outside-window"
    assert see(one, ends, PAPER).views.mask.any()


@pytest.mark.parametrize(
    ("lesion", "release", "paper"),
    [  # for k, j and i the first plane and the number of planes: mask + 40, or up to an end of the
        # volume, inside which the cube is moved; z = 99 - k, y = j, x = 99 - i
        (
            (slice(50, 54), slice(50, 52), slice(50, 51)),
            ((30, 44), (30, 42), (30, 41)),
            ((30, 44), (29, 44), (29, 44)),
        ),
        (
            (slice(50, 54), slice(3, 5), slice(96, 97)),
            ((30, 44), (0, 25), (76, 24)),
            ((30, 44), (0, 44), (56, 44)),
        ),
        (
            (slice(30, 100), slice(50, 52), slice(50, 51)),
            ((10, 90), (30, 42), (30, 41)),
            ((0, 100), (0, 100), (0, 100)),
        ),
    ],
)
def test_the_focal_box_has_a_margin_of_20_and_the_papers_is_a_cube(lesion, release, paper):
    one = warm((100, 100, 100))
    ramp = np.indices((100, 100, 100), np.float32) + 1  # every plane its own value
    for profile, box in ((PETAR_RELEASE, release), (PAPER, paper)):
        vision = replace(VISION, image_size=tuple(count for _, count in box))  # is not resized
        for axis, (first, count) in enumerate(box):
            pet = volume(ramp[axis] * 0.04, one.pet.grid)
            study = prepare(replace(one, pet=pet), profile, CPU)
            found = views_of(study, mask(one, *lesion), profile, vision).views.focal_pet[0, 0]
            planes = torch.unique((found * 12 / 0.04).round()).int().tolist()
            assert planes == list(range(first + 1, first + 1 + count))


def test_the_foreground_is_what_is_above_zero_after_scaling():
    one = warm((40, 40, 40), suv=-0.5)  # a reconstruction may go below zero
    one.pet.values[10:30, 5:25, 8:28] = 2.0
    found = see(one, mask(one, 20, 15, 15))
    assert torch.allclose(found.views.pet, torch.tensor(2 / 12))
    assert torch.allclose(found.views.focal_pet, torch.tensor(2 / 12))


def test_global_and_focal_foregrounds_are_two_boxes():
    one = warm((40, 120, 120), suv=0.0)
    one.pet.values[:, 60:70, 60:70] = 2.0
    one.pet.values[:, 0, 0] = 2.0  # far from the lesion: widens the global box alone
    found = see(one, mask(one, 20, 65, 65))
    assert torch.allclose(found.views.focal_pet, torch.tensor(2 / 12))
    assert (found.views.pet == 0).any()


def test_an_empty_pet_is_refused_by_name():
    empty = warm((40, 60, 60), suv=0.0)
    with pytest.raises(Unseeable) as refused:
        see(empty, mask(empty, 20, 30, 30))
    assert refused.value.code == "pet-empty"
    empty.pet.values[5, 1, 1] = 2.0
    with pytest.raises(Unseeable) as refused:
        see(empty, mask(empty, 20, 40, 40))
    assert refused.value.code == "pet-empty-focal"


def test_a_mask_that_marks_nothing_is_refused():
    one = warm((8, 8, 8))
    with pytest.raises(Unseeable) as refused:
        see(one, mask(one, slice(0, 0)))
    assert refused.value.code == "mask-empty-on-pet-grid"


def test_a_mask_on_another_grid_is_refused():
    with pytest.raises(GridMismatch):
        see(warm((8, 8, 8)), mask(warm((8, 8, 9)), 1, 1, 1))


def test_a_refused_suv_is_refused():
    one = replace(warm((8, 8, 8)), suv=SuvRefusal("no-dose", "RadionuclideTotalDose is absent"))
    with pytest.raises(Unseeable, match="RadionuclideTotalDose is absent") as refused:
        prepare(one, PETAR_RELEASE, CPU)
    assert refused.value.code == "suv-refused"


@pytest.mark.parametrize("part", ["pet", "ct"])
def test_a_value_that_is_no_number_is_refused(part):
    one = warm((8, 8, 8))
    getattr(one, part).values[3, 3, 3] = np.nan
    with pytest.raises(Unseeable) as refused:
        prepare(one, PETAR_RELEASE, CPU)
    assert refused.value.code == "not-finite"


@pytest.mark.parametrize("profile", [PETAR_RELEASE, PAPER], ids=lambda one: one.name)
def test_storage_order_changes_no_view_even_where_ties_decide(profile):
    """2 and 4 mm voxels, whose every second or fourth point is a tie."""
    rng = np.random.default_rng(5)
    shape = (40, 60, 50)
    grid = axial(shape, (4.0, 2.0, 2.0))
    hu = volume(rng.uniform(-400, 500, shape), grid, "HU")
    one = scan(volume(rng.uniform(0, 14, shape), grid), hu)
    lesion = mask(one, slice(18, 23), slice(30, 37), slice(20, 29))
    first = see(one, lesion, profile)
    for storage in STORAGES:
        other = see(stored_scan(one, storage), stored_mask(lesion, storage), profile)
        for name in ("pet", "ct", "mask", "focal_pet", "focal_ct", "focal_mask"):
            ours, theirs = getattr(other.views, name), getattr(first.views, name)
            assert torch.allclose(ours, theirs, atol=1e-6), (storage, name)


def test_a_grid_sampled_at_its_own_points_is_a_copy() -> None:
    values = torch.rand(3, 4, 5)
    turned = np.eye(4)
    turned[:3, :3] = np.eye(3)[[2, 0, 1]]
    for to_kji, shape in ((np.eye(4), (3, 4, 5)), (turned, (4, 5, 3))):
        kept = values.clone()
        found = sampled(values, to_kji, shape, outside=0.0)
        assert torch.equal(found, values if shape == (3, 4, 5) else values.permute(1, 2, 0))
        found += 1
        assert torch.equal(values, kept)


def test_lesions_of_one_window_share_its_images() -> None:
    one = warm((120, 40, 40))
    study = prepare(one, PAPER, CPU)
    masks = [mask(one, np.s_[k : k + 4], np.s_[18:22], np.s_[18:22]) for k in (20, 90)]
    first, again = (views_of(study, marked, PAPER, VISION).views for marked in masks)
    assert first.pet is again.pet
    assert first.ct is again.ct
    assert not torch.equal(first.mask, again.mask)
    other = replace(VISION, image_size=(16, 32, 32), patch_size=(4, 8, 8))
    third = views_of(study, masks[0], PAPER, other)
    assert third.views.pet.shape[2:] == other.image_size
