"""The acquisition of images that are SUV already and have no DICOM header."""

from pydicom.sr.coding import Code

from engine.acquisition import PetAcquisition


def plain_acquisition(tracer: str | None, code: Code | None = None) -> PetAcquisition:
    """SUV by body weight of a tracer, by name, code or both, and nothing else known."""
    return PetAcquisition(
        units="GML", suv_type="BW", decay_correction=None, corrected_image=(),
        rescale_intercepts=(0.0,), series_at=None, frames=(), patient_weight_kg=None,
        patient_size_m=None, patient_sex=None, radionuclide_total_dose_bq=None,
        radionuclide_half_life_s=None, injected_at=None, injected_at_is_time_only=False,
        has_radiopharmaceutical=not (tracer is None and code is None), tracer=code,
        tracer_name=tracer,
        ge_scan_at=None, ge_injected_at=None, philips_suv_factor=None,
        philips_activity_factor=None,
    )  # fmt: skip
