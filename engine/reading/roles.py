"""Which segments and ROIs are lesions where no setting says so: a rule on plain attributes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.sr.coding import Code

from engine.codes import LESION, MORPHOLOGICALLY_ALTERED_STRUCTURE, SPATIAL_CONCEPT

if TYPE_CHECKING:
    from engine.lesion import Role

# CID 7150. pydicom compares SRT codes of older objects (M-01000, T-D0050) as their SCT equals.
TISSUE = Code("85756007", "SCT", "Tissue")
NEUTRAL_CATEGORIES = (TISSUE, SPATIAL_CONCEPT)
# A type that names no anatomy: what drawing programs write when nobody chose one.
NEUTRAL_TYPES = (
    TISSUE,
    SPATIAL_CONCEPT,
    Code("113343008", "SCT", "Body structure"),
    Code("111099", "DCM", "Selected region"),
)
# The members of CID 7159 and 7194 which are themselves a lesion.
LESION_TYPES = (
    MORPHOLOGICALLY_ALTERED_STRUCTURE,
    LESION,
    Code("4147007", "SCT", "Mass"),
    Code("27925004", "SCT", "Nodule"),
    Code("108369006", "SCT", "Neoplasm"),
    Code("372087000", "SCT", "Neoplasm, Primary"),
    Code("14799000", "SCT", "Neoplasm, Secondary"),
    Code("44132006", "SCT", "Abscess"),
    Code("409774005", "SCT", "Inflammation"),
    Code("6574001", "SCT", "Necrosis"),
)
BACKGROUND = Code("125040", "DCM", "Background")


@dataclass(frozen=True, slots=True)
class DefaultRole:
    """The role, and the sentence that says why."""

    role: "Role"
    reason: str


def default_role(
    *,
    is_roi: bool,
    category: Code | None = None,
    property_type: Code | None = None,
    interpreted_type: str | None = None,
) -> DefaultRole:
    """Say whether a SEG segment or an RTSTRUCT ROI (`is_roi`) is a lesion or context.

    A segment is a lesion when its Segmented Property Category is Morphologically Abnormal (older:
    Altered) Structure, or when the category is neutral - absent, Tissue, or Spatial and Relational
    Concept - and its type names no anatomy: it is itself a lesion (neoplasm, mass, nodule ...), or
    neutral or absent. An anatomic region says where a segment lies, not what it is. Every other
    category (Anatomical Structure, Function, Substance, Physical Object, Body Substance, a private
    one) is context.

    An ROI is a lesion when its RT ROI Interpreted Type (3006,00A4) is GTV, NONE, empty or absent,
    and its identification code, where there is one, is neutral or a lesion.
    """
    if is_roi:
        return _role_of_roi(interpreted_type, property_type)
    return _role_of_segment(category, property_type)


def _role_of_roi(interpreted_type: str | None, identification: Code | None) -> DefaultRole:
    stated = (interpreted_type or "").strip().upper()
    if stated == "GTV":
        return DefaultRole("lesion", "RT ROI Interpreted Type is GTV")
    if stated not in ("", "NONE"):
        return DefaultRole("context", f"RT ROI Interpreted Type is {stated}")
    if identification is None or identification in NEUTRAL_TYPES + LESION_TYPES:
        return DefaultRole("lesion", f"RT ROI Interpreted Type is {stated or 'empty'}")
    return DefaultRole("context", f"the ROI is identified as {identification.meaning}")


def _role_of_segment(category: Code | None, property_type: Code | None) -> DefaultRole:
    # pydicom's Code compares with codes only: None must not meet it.
    if category is not None and category == MORPHOLOGICALLY_ALTERED_STRUCTURE:
        return DefaultRole(
            "lesion", f"its property category is {MORPHOLOGICALLY_ALTERED_STRUCTURE.meaning}"
        )
    if category is not None and category not in NEUTRAL_CATEGORIES:
        return DefaultRole("context", f"its property category is {category.meaning}")
    named = f"its property category is {category.meaning if category else 'absent'}"
    if property_type is not None and property_type in LESION_TYPES:
        return DefaultRole("lesion", f"{named} and its type is a lesion")
    if property_type is not None and property_type not in NEUTRAL_TYPES:
        return DefaultRole("context", f"{named} and its type is {property_type.meaning}")
    return DefaultRole("lesion", f"{named} and its type names no anatomy")
