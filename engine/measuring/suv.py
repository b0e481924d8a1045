"""SUVbw from what a PET series states of itself, or the reason why not.

SUVbw [g/ml] = activity [Bq/ml] x body weight [g] / dose [Bq], both at one time. The rules, their
order and their sources: docs/reference/suv.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from engine.acquisition import PetAcquisition, SuvConversion, SuvRefusal
from engine.measuring.decay import (
    elapsed_s,
    injection_time,
    reference_time,
    scan_start,
    undecayed,
)
from engine.measuring.norms import (
    LEAN_BODY_MASS,
    body_surface_area_cm2,
    ideal_body_weight_kg,
    lean_body_mass_kg,
)
from engine.measuring.refusal import Refused, positive
from engine.volume import Volume

_MBQ_BELOW = 1e4  # a dose that small is stated in MBq, as NM objects do
_PLAUSIBLE_BQ = (1e6, 1e11)  # between, for a person: 0.37 "MBq" is a dose in kBq
_PERSON_KG = 10.0
_GRAMS_ABOVE = 1000.0
_CENTIMETRES_ABOVE = 3.0


@dataclass(slots=True)
class _Account:
    """What becomes known of one series on the way to its factor."""

    acquisition: PetAcquisition
    flags: list[str] = field(default_factory=list)

    def flag(self, flag: str) -> None:
        if flag not in self.flags:
            self.flags.append(flag)

    def weight_kg(self) -> float:
        weight = positive(
            self.acquisition.patient_weight_kg, "missing-weight", "Patient's Weight (0010,1030)"
        )
        if weight > _GRAMS_ABOVE:
            self.flag("weight-in-grams")
            return weight / 1000.0
        return weight

    def height_cm(self) -> float:
        height = positive(
            self.acquisition.patient_size_m, "missing-height", "Patient's Size (0010,1020)"
        )
        if height > _CENTIMETRES_ABOVE:
            self.flag("height-in-cm")
            return height
        return height * 100.0

    def dose_bq(self) -> float:
        dose = positive(
            self.acquisition.radionuclide_total_dose_bq,
            "missing-dose",
            "Radionuclide Total Dose (0018,1074)",
        )
        is_in_mbq = dose < _MBQ_BELOW
        dose *= 1e6 if is_in_mbq else 1
        lowest, highest = _PLAUSIBLE_BQ
        if dose > highest or (dose < lowest and self.weight_kg() > _PERSON_KG):
            raise Refused(
                "implausible-dose",
                f"Radionuclide Total Dose (0018,1074) is {dose:g} Bq: its unit is in doubt",
            )
        if is_in_mbq:
            self.flag("dose-in-mbq")
        return dose

    def half_life_s(self) -> float:
        return positive(
            self.acquisition.radionuclide_half_life_s,
            "missing-half-life",
            "Radionuclide Half Life (0018,1075)",
        )


def suv_conversion(acquisition: PetAcquisition) -> SuvConversion | SuvRefusal:
    """The factor that makes SUVbw of each slice's rescaled values, or a coded refusal."""
    account = _Account(acquisition, list(acquisition.flags))
    outcome = _outcome(account)
    dose_bq, weight_kg = _stated_dose_bq(account), _stated_weight_kg(account)
    return replace(outcome, dose_bq=dose_bq, weight_kg=weight_kg, flags=tuple(account.flags))


def _outcome(account: _Account) -> SuvConversion | SuvRefusal:
    acquisition = account.acquisition
    try:
        _refuse_unfit(acquisition)
        convert = _BY_UNITS.get(acquisition.units or "")
        if convert is None:
            raise Refused(
                "unsupported-units",
                f"Units (0054,1001) is {acquisition.units or 'absent'}: no activity concentration",
            )
        return convert(account)
    except Refused as refused:
        return SuvRefusal(refused.code, refused.sentence)


def _stated_dose_bq(account: _Account) -> float | None:
    """The dose for the record, also where no SUV needs it; None where its unit is in doubt."""
    a = account.acquisition
    if a.radiopharmaceutical_count > 1 or "RadionuclideTotalDose" in a.inconsistent:
        return None
    try:
        return account.dose_bq()
    except Refused:
        return None


def _stated_weight_kg(account: _Account) -> float | None:
    if "PatientWeight" in account.acquisition.inconsistent:
        return None
    try:
        return account.weight_kg()
    except Refused:
        return None


def to_suv(volume: Volume, conversion: SuvConversion) -> Volume:
    """The volume in g/ml, each slice by its own factor; float64 in between."""
    values = np.empty_like(volume.values)
    for k, factor in enumerate(conversion.factors):
        values[k] = volume.values[k].astype(np.float64) * factor
    return replace(volume, values=values, unit="g/ml")


def _refuse_unfit(a: PetAcquisition) -> None:
    by_norm = a.units in ("GML", "CM2ML")
    differing = [k for k in a.inconsistent if by_norm or k not in ("PatientSize", "PatientSex")]
    if differing:
        raise Refused(
            "inconsistent-header", f"Slices of the series differ in {', '.join(differing)}"
        )
    if "ATTN" not in a.corrected_image:
        raise Refused(
            "not-attenuation-corrected", "Corrected Image (0028,0051) does not contain ATTN"
        )
    if any(intercept != 0 for intercept in a.rescale_intercepts):
        raise Refused("intercept-nonzero", "Rescale Intercept (0028,1052) is not 0 in every slice")


def _from_activity(account: _Account, factor: float = 1.0) -> SuvConversion:
    """BQML; `factor` brings other units to Bq/ml first."""
    a = account.acquisition
    if not a.has_radiopharmaceutical:
        raise Refused(
            "missing-radiopharm",
            "Radiopharmaceutical Information Sequence (0054,0016) is absent or empty",
        )
    if a.radiopharmaceutical_count > 1:
        raise Refused(
            "several-radiopharmaceuticals",
            f"Radiopharmaceutical Information Sequence (0054,0016) has"
            f" {a.radiopharmaceutical_count} items",
        )
    # An Enhanced PET states the time itself instead of START.
    by_date_time = a.decay_correction is None and a.decay_corrected_at is not None
    by_term = _BY_DECAY_CORRECTION.get(a.decay_correction or "")
    convert = _start if by_date_time else by_term
    if convert is None:
        raise Refused(
            "bad-decay-correction",
            f"Decay Correction (0054,1102) is {a.decay_correction or 'absent'},"
            " not START, ADMIN or NONE",
        )
    conversion = convert(account)
    return replace(conversion, factors=conversion.factors * factor)


def _start(account: _Account) -> SuvConversion:
    """The image is corrected to the scan's start: so must the dose be."""
    a = account.acquisition
    if not {"DECY", "DECAY"} & set(a.corrected_image):
        raise Refused(
            "start-without-decy",
            "Decay Correction (0054,1102) is START and Corrected Image (0028,0051) has no DECY",
        )
    weight_kg, dose_bq, half_life_s = account.weight_kg(), account.dose_bq(), account.half_life_s()
    reference = reference_time(a, half_life_s, account.flags)
    injected = injection_time(a, reference.at, half_life_s, account.flags)
    elapsed = elapsed_s(injected, reference.at, half_life_s)
    dose_then_bq = dose_bq * 2.0 ** (-elapsed / half_life_s)
    return SuvConversion(
        factors=np.full(len(a.frames), 1000.0 * weight_kg / dose_then_bq),
        norm="bw",
        rule=reference.rule,
        reference_at=reference.at,
        injected_at=injected,
        uptake_min=((scan_start(a) or reference.at) - injected).total_seconds() / 60.0,
    )


def _admin(account: _Account) -> SuvConversion:
    """The image is corrected to the injection: the dose is the one stated."""
    weight_kg, dose_bq = account.weight_kg(), account.dose_bq()
    return SuvConversion(
        factors=np.full(len(account.acquisition.frames), 1000.0 * weight_kg / dose_bq),
        norm="bw",
        rule="decay-corrected to the injection",
        uptake_min=_known_uptake_min(account),
    )


def _none(account: _Account) -> SuvConversion:
    """The image is not corrected: each slice is, to the injection, over its own frame."""
    a = account.acquisition
    if {"DECY", "DECAY"} & set(a.corrected_image):
        account.flag("corrected-image-says-decy")
    weight_kg, dose_bq, half_life_s = account.weight_kg(), account.dose_bq(), account.half_life_s()
    began = scan_start(a)
    if began is None:
        raise Refused("missing-ref-time", "No slice states its Acquisition Date and Time")
    injected = injection_time(a, began, half_life_s, account.flags)
    decays = [undecayed(frame, injected, half_life_s) for frame in a.frames]
    return SuvConversion(
        factors=1000.0 * weight_kg / dose_bq * np.asarray(decays),
        norm="bw",
        rule="each slice corrected from its Acquisition Date and Time to the injection",
        reference_at=injected,
        injected_at=injected,
        uptake_min=(began - injected).total_seconds() / 60.0,
    )


def _from_counts(account: _Account) -> SuvConversion:
    """CNTS, which Philips scales by one of two private factors; 0 there means none."""
    a = account.acquisition
    if (a.philips_suv_factor or 0) > 0:
        return _ready_made(account, a.philips_suv_factor or 0.0, "bw", "Philips SUV Scale Factor")
    if (a.philips_activity_factor or 0) > 0:
        return _from_activity(account, a.philips_activity_factor or 0.0)
    raise Refused(
        "cnts-without-scale",
        "Units (0054,1001) is CNTS, and neither the Philips SUV Scale Factor (7053,xx00) nor the"
        " Activity Concentration Scale Factor (7053,xx09) is above 0",
    )


def _from_suv(account: _Account) -> SuvConversion:
    """GML: normalised already, to what SUV Type says; absent, to body weight."""
    suv_type = account.acquisition.suv_type or "BW"
    if suv_type == "BW":
        return _ready_made(account, 1.0, "bw", "Units GML, SUV Type BW or absent")
    if suv_type not in (*LEAN_BODY_MASS, "IBW"):
        raise Refused("unsupported-suv-type", f"SUV Type (0054,1006) {suv_type} is not known")
    factor = account.weight_kg() / _norm_kg(account, suv_type)
    return _ready_made(account, factor, suv_type.lower(), f"Units GML, {suv_type}")


def _from_surface(account: _Account) -> SuvConversion:
    """CM2ML: normalised to body surface area."""
    suv_type = account.acquisition.suv_type or "BSA"
    if suv_type != "BSA":
        raise Refused(
            "unsupported-suv-type", f"SUV Type (0054,1006) is {suv_type} with Units CM2ML"
        )
    weight_kg = account.weight_kg()
    factor = 1000.0 * weight_kg / body_surface_area_cm2(weight_kg, account.height_cm())
    return _ready_made(account, factor, "bsa", "Units CM2ML")


def _norm_kg(account: _Account, suv_type: str) -> float:
    sex = account.acquisition.patient_sex
    weight_kg, height_cm = account.weight_kg(), account.height_cm()
    if suv_type == "IBW" and sex == "O":
        # The published reference object for this case takes the mean; formulas differ by 4 %.
        account.flag("mean-of-both-sexes")
        norm = (ideal_body_weight_kg(height_cm, "M") + ideal_body_weight_kg(height_cm, "F")) / 2
    elif sex not in ("M", "F"):
        raise Refused(
            "sex-not-m-or-f",
            f"Patient's Sex (0010,0040) is {sex or 'absent'}: {suv_type} is defined for M and F",
        )
    elif suv_type == "IBW":
        norm = ideal_body_weight_kg(height_cm, sex)
    else:
        norm = lean_body_mass_kg(suv_type, weight_kg, height_cm, sex)
    if norm <= 0:
        raise Refused(
            "lean-body-mass-not-positive",
            f"{suv_type} comes out as {norm:.1f} kg for the stated weight and height",
        )
    return norm


def _ready_made(account: _Account, factor: float, norm: str, rule: str) -> SuvConversion:
    """For images that need neither dose nor time."""
    return SuvConversion(
        factors=np.full(len(account.acquisition.frames), factor),
        norm=norm,
        rule=rule,
        uptake_min=_known_uptake_min(account),
    )


def _known_uptake_min(account: _Account) -> float | None:
    """Minutes from injection to scan, where the header happens to tell; SUV does not need it."""
    a = account.acquisition
    began = scan_start(a)
    if began is None or a.radionuclide_half_life_s is None or a.radionuclide_half_life_s <= 0:
        return None
    try:
        injected = injection_time(a, began, a.radionuclide_half_life_s, account.flags)
        return elapsed_s(injected, began, a.radionuclide_half_life_s) / 60.0
    except Refused as refused:
        account.flag(f"uptake-time-unknown-{refused.code}")
        return None


_BY_DECAY_CORRECTION: dict[str, Callable[[_Account], SuvConversion]] = {
    "START": _start,
    "ADMIN": _admin,
    "NONE": _none,
}
_BY_UNITS: dict[str, Callable[[_Account], SuvConversion]] = {
    "BQML": _from_activity,
    "GML": _from_suv,
    "CM2ML": _from_surface,
    "CNTS": _from_counts,
}
