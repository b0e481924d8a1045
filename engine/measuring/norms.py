"""What SUV may be normalised to besides body weight: lean body mass, ideal weight, surface.

Formulas by Sugawara et al. 1999 (LBM, surface), James 1976 (LBMJAMES128), Janmahasatian et al.
2005 (LBMJANMA), as PS3.3 C.8.9.1.1 names them in SUV Type (0054,1006).
"""

LEAN_BODY_MASS = ("LBM", "LBMJAMES128", "LBMJANMA")


def lean_body_mass_kg(norm: str, weight_kg: float, height_cm: float, sex: str) -> float:
    """Lean body mass by the formula `norm` stands for; `sex` is M or F.

    The first two turn over for heavy, short patients and may come out negative.
    """
    is_male = _is_male(sex)
    if norm == "LBMJANMA":
        bmi = weight_kg / (height_cm / 100.0) ** 2
        constant, slope = (6680.0, 216.0) if is_male else (8780.0, 244.0)
        return 9270.0 * weight_kg / (constant + slope * bmi)
    quadratic = {"LBM": 120.0, "LBMJAMES128": 128.0}[norm]
    linear, quadratic = (1.10, quadratic) if is_male else (1.07, 148.0)
    return linear * weight_kg - quadratic * (weight_kg / height_cm) ** 2


def ideal_body_weight_kg(height_cm: float, sex: str) -> float:
    """Ideal body weight (IBW); `sex` is M or F."""
    at_152_cm, per_cm = (48.0, 1.06) if _is_male(sex) else (45.5, 0.91)
    return at_152_cm + per_cm * (height_cm - 152.0)


def body_surface_area_cm2(weight_kg: float, height_cm: float) -> float:
    """Body surface area (BSA) by Du Bois and Du Bois 1916."""
    return float(71.84 * weight_kg**0.425 * height_cm**0.725)


def _is_male(sex: str) -> bool:
    return {"M": True, "F": False}[sex]
