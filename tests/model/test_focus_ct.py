"""The CT that PETAR sees: brought onto the PET, or air in its place."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geometry import Grid
from engine.petar.config import PETAR_RELEASE, VisionConfig
from engine.petar.focus import LesionViews, Unseeable, prepare, views_of
from engine.petar.sampling import sampled
from engine.volume import Mask, Scan
from tests.model.bodies import STORAGES, axial, mask, stored, volume, warm

CPU = torch.device("cpu")
VISION = VisionConfig((16, 64, 64), (4, 16, 16), width=64, depth=2, mlp_width=96, heads=2)


def see(one: Scan, marked: Mask, **options) -> LesionViews:
    study = prepare(one, PETAR_RELEASE, CPU, **options)
    return views_of(study, marked, PETAR_RELEASE, VISION)


def test_no_ct_is_refused_unless_air_may_stand_in():
    with_ct = warm((30, 40, 40))
    with_ct.pet.values[12:18, 15:20, 15:20] = 4.0
    without = replace(with_ct, ct=None)
    marked = mask(with_ct, 15, 17, 17)
    with pytest.raises(Unseeable) as refused:
        see(without, marked)
    assert refused.value.code == "no-ct"
    air, water = see(without, marked, ct_of_air=True), see(with_ct, marked, ct_of_air=True)
    for name in ("pet", "mask", "focal_pet", "focal_mask"):
        assert torch.equal(getattr(air.views, name), getattr(water.views, name))
    assert not air.views.ct.any()
    assert torch.allclose(water.views.ct, torch.tensor(300 / 700))


def test_half_a_voxel_beyond_its_outermost_centres_a_ct_still_holds():
    one = warm((8, 8, 8))  # 0 to 21 mm
    for first_mm, is_held in ((1.5, True), (2.9, True), (3.1, False)):
        grid = axial((4, 8, 8), (6.0, 3.0, 3.0), (0, 0, first_mm))
        ct = volume(np.full(grid.shape, 100.0), grid, "HU")
        at_feet = prepare(replace(one, ct=ct), PETAR_RELEASE, CPU).ct[-1]
        assert torch.allclose(at_feet, torch.tensor(400 / 700 if is_held else 0.0))


@settings(deadline=None, max_examples=25)
@given(
    spacing=st.tuples(*[st.floats(0.7, 5.3)] * 3),
    offset=st.tuples(*[st.floats(-6, 6)] * 3),
    storage=st.sampled_from(sorted(STORAGES)),
    turn=st.sampled_from([0.0, 0.3]),
)
def test_a_ct_comes_onto_the_pet_as_simpleitk_brings_it(spacing, offset, storage, turn):
    """Half a voxel beyond its outermost centres the CT still holds; then there is air."""
    hu = np.random.default_rng(3).uniform(-1000, 1000, (9, 8, 7)).astype(np.float32)
    values, grid = stored(hu, axial(hu.shape, spacing, offset), storage)
    about_z = np.eye(4)
    about_z[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    pet = Grid((10, 11, 12), about_z @ axial((10, 11, 12), (2.9, 3.1, 2.3)).affine)
    to_kji = np.linalg.inv(grid.affine) @ pet.affine
    index = np.indices(pet.shape).reshape(3, -1).T @ to_kji[:3, :3].T + to_kji[:3, 3]
    on_edge = np.isclose(index, -0.5, atol=1e-6) | np.isclose(
        index, np.array(values.shape) - 0.5, atol=1e-6
    )
    ours = sampled(torch.from_numpy(values), to_kji, pet.shape, outside=-1000.0, reach=0.5).numpy()
    theirs = _by_simpleitk(values, grid, pet)
    decided = ~on_edge.any(axis=1).reshape(pet.shape)
    np.testing.assert_allclose(ours[decided], theirs[decided], atol=2e-2)


def _by_simpleitk(values, grid: Grid, target: Grid) -> np.ndarray:
    images = []
    for array, place in ((values, grid), (np.zeros(target.shape, np.float32), target)):
        image = SimpleITK.GetImageFromArray(array)
        axes = place.affine[:3, [2, 1, 0]]
        length = np.sqrt((axes**2).sum(axis=0))
        image.SetSpacing(length.tolist())
        image.SetDirection((axes / length).flatten().tolist())
        image.SetOrigin(place.affine[:3, 3].tolist())
        images.append(image)
    still = SimpleITK.Transform()
    found = SimpleITK.Resample(*images, still, SimpleITK.sitkLinear, -1000.0)
    return SimpleITK.GetArrayFromImage(found)
