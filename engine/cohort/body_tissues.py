"""What the body is made of: uptake by tracer, and density.

SUV (g/ml, body weight) are rounded from everyday images; the second number is the spread between
patients, as the standard deviation of the logarithm. They are ours, not measured in a cohort.
"""

import math
from collections.abc import Mapping

import numpy as np

FDG, PSMA, DOTATATE = "Fluorodeoxyglucose", "PSMA-1007", "DOTATATE"

# tissue: SUV of FDG, spread, HU
_TISSUES: Mapping[str, tuple[float, float, float]] = {
    "air": (0.05, 0.0, -1000),
    "fat": (0.25, 0.15, -100),
    "muscle": (0.65, 0.15, 50),
    "visceral fat": (0.35, 0.15, -95),
    "lung": (0.45, 0.15, -800),
    "gas": (0.4, 0.2, -950),
    "blood": (1.7, 0.12, 42),
    "myocardium": (3.5, 0.6, 45),
    "mediastinum": (1.2, 0.1, 20),
    "mucosa": (1.7, 0.25, 45),
    "tonsil": (2.6, 0.25, 50),
    "salivary": (1.9, 0.25, 30),
    "thyroid": (1.4, 0.25, 90),
    "tongue": (1.7, 0.2, 50),
    "larynx": (1.6, 0.25, 50),
    "oesophagus": (1.6, 0.2, 40),
    "breast": (0.6, 0.2, -20),
    "liver": (2.2, 0.12, 60),
    "spleen": (1.8, 0.12, 50),
    "gallbladder": (0.9, 0.2, 10),
    "pancreas": (1.6, 0.15, 40),
    "stomach": (1.9, 0.25, 35),
    "duodenum": (1.9, 0.25, 30),
    "small bowel": (1.5, 0.35, 28),
    "colon": (1.6, 0.4, 22),
    "adrenal": (1.5, 0.15, 20),
    "kidney": (3.0, 0.2, 35),
    "urine": (12.0, 0.5, 8),
    "prostate": (1.5, 0.15, 42),
    "uterus": (1.7, 0.25, 50),
    "ovary": (1.3, 0.2, 35),
    "testis": (2.4, 0.2, 35),
    "grey matter": (8.0, 0.2, 38),
    "white matter": (3.4, 0.2, 32),
    "eye": (0.9, 0.2, 10),
    "marrow": (1.5, 0.15, 260),
    "vertebra": (1.8, 0.15, 220),
    "bone": (0.9, 0.15, 550),
    "skull": (0.9, 0.15, 800),
    "cartilage": (0.9, 0.15, 90),
}

# where another tracer differs from FDG; all else takes up as blood does, or less
_OTHERS: Mapping[str, Mapping[str, float]] = {
    PSMA: {
        "liver": 9.0, "spleen": 7.0, "kidney": 16.0, "salivary": 14.0, "gallbladder": 25.0,
        "duodenum": 9.0, "small bowel": 4.0, "urine": 5.0, "blood": 2.0, "grey matter": 0.4,
        "white matter": 0.3, "myocardium": 2.0, "marrow": 1.2, "vertebra": 1.2, "pancreas": 2.5,
    },
    DOTATATE: {
        "liver": 6.0, "spleen": 16.0, "kidney": 12.0, "salivary": 2.5, "adrenal": 7.0,
        "stomach": 3.0, "duodenum": 4.0, "small bowel": 2.5, "urine": 14.0, "blood": 1.2,
        "grey matter": 0.3, "white matter": 0.2, "myocardium": 1.2, "thyroid": 2.5,
        "pancreas": 3.5, "marrow": 0.8, "vertebra": 0.9,
    },
}  # fmt: skip
TRACERS = (FDG, *_OTHERS)
SHORT_NAMES: Mapping[str, str] = {FDG: "FDG", PSMA: "PSMA", DOTATATE: "DOTATATE"}  # as reports say
TISSUES = tuple(_TISSUES)


def uptakes(tracer: str, rng: np.random.Generator, spread: float = 1.0) -> dict[str, float]:
    """SUV of every tissue in one patient; `spread` widens the difference between patients."""
    other = _OTHERS.get(tracer, {})
    drawn = {}
    for tissue, (suv, sd, _) in _TISSUES.items():
        middle = other.get(tissue, suv if tracer == FDG else min(suv, 1.2))
        drawn[tissue] = middle * math.exp(sd * spread * float(np.clip(rng.normal(), -2, 2)))
    return drawn


def densities(rng: np.random.Generator) -> dict[str, float]:
    """HU of every tissue in one patient."""
    return {
        tissue: hu + (0 if hu <= -900 else float(rng.normal(0, 0.03 * abs(hu) + 2)))
        for tissue, (_, _, hu) in _TISSUES.items()
    }
