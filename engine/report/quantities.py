"""The measurements an SR states: which concept, derivation, method and unit each has, in order."""

from dataclasses import dataclass

from pydicom.sr.coding import Code

from engine import codes


@dataclass(frozen=True, slots=True)
class Quantity:
    """One NUM of a group; `name` is the field of Measurements that it states."""

    name: str
    concept: Code
    unit: Code
    derivation: Code | None = None
    method: Code | None = None


def _suv(name: str, derivation: Code) -> Quantity:
    return Quantity(
        name,
        codes.SUV_BODY_WEIGHT,
        codes.GRAM_PER_ML_SUVBW,
        derivation,
        codes.SUV_BODY_WEIGHT_METHOD,
    )


QUANTITIES = (
    _suv("suv_max", codes.MAXIMUM),
    _suv("suv_mean", codes.MEAN),
    _suv("suv_peak", codes.PEAK),
    Quantity(
        "volume_cm3",
        codes.METABOLIC_VOLUME,
        codes.CUBIC_CENTIMETER,
        method=codes.SEGMENTED_VOXELS_METHOD,
    ),
    Quantity("total_lesion_glycolysis_g", codes.TOTAL_LESION_GLYCOLYSIS, codes.GRAM),
    Quantity("long_axis_mm", codes.LONG_AXIS, codes.MILLIMETER),
    Quantity("short_axis_mm", codes.SHORT_AXIS, codes.MILLIMETER),
)
