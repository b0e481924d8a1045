"""Lesion or context, from what mask objects say; the cases are those met in the wild."""

import subprocess
import sys

import pytest
from pydicom.sr.coding import Code

from engine.reading.roles import default_role

ALTERED = Code("49755003", "SCT", "Morphologically Altered Structure")
ALTERED_SRT = Code("M-01000", "SRT", "Morphologically Altered Structure")
TISSUE = Code("85756007", "SCT", "Tissue")
TISSUE_SRT = Code("T-D0050", "SRT", "Tissue")
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
OLD_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
SPATIAL = Code("309825002", "SCT", "Spatial and Relational Concept")
LIVER = Code("10200004", "SCT", "Liver")
NEOPLASM_SRT = Code("M-8FFFF", "SRT", "Neoplasm")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
PRIVATE = Code("X1", "99ACME", "Something")


@pytest.mark.parametrize(
    ("category", "property_type", "role"),
    [
        (ALTERED, NEOPLASM, "lesion"),
        (ALTERED_SRT, NEOPLASM_SRT, "lesion"),
        (ALTERED, None, "lesion"),
        (TISSUE, TISSUE, "lesion"),
        (TISSUE_SRT, TISSUE_SRT, "lesion"),
        (TISSUE, None, "lesion"),
        (None, None, "lesion"),
        (SPATIAL, None, "lesion"),
        (None, NEOPLASM, "lesion"),
        (TISSUE, LIVER, "context"),
        (None, LIVER, "context"),
        (ANATOMY, LIVER, "context"),
        (OLD_ANATOMY, NEOPLASM, "context"),
        (PRIVATE, None, "context"),
        (Code("260787004", "SCT", "Physical object"), None, "context"),
    ],
)
def test_segments(category: Code | None, property_type: Code | None, role: str) -> None:
    decided = default_role(is_roi=False, category=category, property_type=property_type)
    assert decided.role == role
    assert decided.reason


@pytest.mark.parametrize(
    ("interpreted_type", "identification", "role"),
    [
        ("GTV", None, "lesion"),
        (" gtv ", LIVER, "lesion"),
        ("NONE", None, "lesion"),
        ("", None, "lesion"),
        (None, None, "lesion"),
        (None, NEOPLASM, "lesion"),
        ("", LIVER, "context"),
        *[(kind, None, "context") for kind in ("ORGAN", "EXTERNAL", "PTV", "CTV", "AVOIDANCE")],
    ],
)
def test_rois(interpreted_type: str | None, identification: Code | None, role: str) -> None:
    decided = default_role(
        is_roi=True, interpreted_type=interpreted_type, property_type=identification
    )
    assert decided.role == role
    assert decided.reason


def test_the_rule_loads_nothing_heavy() -> None:
    program = """
import sys
import engine.reading.roles
print([name for name in ("highdicom", "scipy", "engine.volume") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert found.stdout.split() == [b"[]"]
