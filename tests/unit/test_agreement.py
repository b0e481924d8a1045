"""Other people's programs measure the same masks: MIRP on the phantoms."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_lesions import phantom_lesion

CASES = ("gauss_iso3", "gauss_aniso", "gauss_small", "sphere_r15", "edge_of_image")
FEATURES = ["morph_vol_approx", "stat_max", "stat_mean", "stat_median", "stat_var"]


@pytest.fixture(scope="module")
def by_mirp(data: Path) -> dict[str, Any]:
    """Every phantom through MIRP, nothing resampled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mirp import extract_features

        found = {}
        for case in CASES:
            (table,) = extract_features(
                image=str(data / "phantoms" / f"{case}_suv.nii.gz"),
                mask=str(data / "phantoms" / f"{case}_mask.nii.gz"),
                base_feature_families=["morphological", "statistical"],
            )
            found[case] = table.iloc[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_mirp_measures_the_same(case: str, by_mirp: dict[str, Any], data: Path) -> None:
    expected = by_mirp[case]
    ours = phantom_lesion(data, case)
    assert ours.suv_sd is not None
    assert ours.volume_cm3 * 1000 == pytest.approx(expected["morph_vol_approx"], rel=1e-6)
    assert ours.suv_max == pytest.approx(expected["stat_max"], rel=1e-6)
    assert ours.suv_mean == pytest.approx(expected["stat_mean"], rel=1e-6)
    assert ours.suv_median == pytest.approx(expected["stat_median"], rel=1e-6)
    assert ours.suv_sd**2 == pytest.approx(expected["stat_var"], rel=1e-5, abs=1e-9)
