"""What a sentence says of a lesion, in the values that a record has."""

from typing import Literal

from engine.codes import BILATERAL, LEFT, RIGHT, same
from engine.grounding.site_table import table
from engine.grounding.sites import Located
from engine.grounding.uptake import INTENSE, MILD, MODERATE, grades_in

Grade = Literal["mild", "moderate", "intense"]
GRADES: dict[int, Grade] = {MILD: "mild", MODERATE: "moderate", INTENSE: "intense"}
_SIDES = (("left", LEFT), ("right", RIGHT), ("bilateral", BILATERAL))


def grade_in(text: str) -> Grade | None:
    """The first grade of the first sentence that grades an uptake; no uptake has none."""
    grades = grades_in(text)
    return GRADES.get(grades[0]) if grades else None


def side_in(located: Located) -> str | None:
    """left, right or bilateral, as words or the only side of a site say."""
    if located.laterality is not None:
        return next((name for name, code in _SIDES if same(located.laterality, code)), None)
    site = table().get(located.name or "")
    return site.side if site is not None and site.side in ("left", "right") else None
