"""Where a sentence says a lesion lies: the longest term of a table of sites, and its side."""

from dataclasses import dataclass

from pydicom.sr.coding import Code


@dataclass(frozen=True, slots=True)
class Located:
    """The site that words name. `term` is the part of the text that said so.

    `region` is Head, Neck, Chest, Abdomen, Pelvis or Extremity; `organ_group` groups sites as
    structured PET reports do (Lung, Lymph node, Bone, ...).
    """

    site: Code | None = None
    laterality: Code | None = None
    region: str | None = None
    organ_group: str | None = None
    term: str | None = None


def site_of(text: str) -> Located:
    """The site that `text` names for its lesion; all None where it names none."""
    return Located()
