"""One grounded finding in the keys of PETAR's lesion schema, with codes beside the words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydicom.sr.coding import Code

from engine.finding import ModelIdentity, printed
from engine.grounding.site_table import Site, site_coded, table
from engine.grounding.sites import site_of
from engine.lesion import Lesion, Measurements

if TYPE_CHECKING:
    from engine.grounding.grounded import Grounded

_MEASURED = (
    "suv_max", "suv_peak", "suv_mean", "suv_median", "suv_sd", "suv_refusal", "volume_cm3",
    "total_lesion_glycolysis_g", "long_axis_mm", "short_axis_mm", "centroid_lps_mm",
)  # fmt: skip


def schema_of(grounded: "Grounded", lesion: Lesion, model: ModelIdentity) -> dict[str, Any]:
    """The finding as JSON values; None where the words or the mask do not say.

    `suv_max` is rounded as the words show it, `measured` is exact. The raw words are not in it.
    """
    measured = lesion.measurements
    site = _site_of(grounded)
    slice_shown = measured.hottest_slice
    return {
        "segment_number": lesion.segment.number,
        "tracking_uid": lesion.segment.tracking_uid,
        "region": site.region if site else None,
        "organ": site.organ_group if site else None,
        "anatomic_subsite": site.name if site and site.rank else None,
        "suv_max": float(printed(measured.suv_max, 1)) if measured.suv_max is not None else None,
        "axial_slice": slice_shown.instance_number if slice_shown else None,
        "findings": grounded.text,
        "finding_site": _coded(grounded.site),
        "laterality": _coded(grounded.laterality),
        "checks": list(grounded.flags),
        "measured": _values(measured),
        "model": {
            "name": model.name,
            "version": model.version,
            "weights_sha256": model.weights_sha256,
        },
    }


def _site_of(grounded: "Grounded") -> Site | None:
    """The row that the words name; where the code came from elsewhere, the row of that code."""
    named = table().get(site_of(grounded.text).name or "")
    if grounded.site is None or (named is not None and named.code == grounded.site):
        return named
    return site_coded(grounded.site)


def _coded(code: Code | None) -> Mapping[str, str] | None:
    if code is None:
        return None
    return {"code": code.value, "scheme": code.scheme_designator, "meaning": code.meaning}


def _values(measured: Measurements) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(measured, name) for name in _MEASURED}
    if measured.centroid_lps_mm is not None:
        values["centroid_lps_mm"] = list(measured.centroid_lps_mm)
    return {name: value for name, value in values.items() if value is not None}
