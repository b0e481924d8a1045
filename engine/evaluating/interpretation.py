"""What a text takes a lesion for: malignant, inflammatory, physiologic, or uncertain."""

import re

MALIGNANT, INFLAMMATORY = "malignant", "inflammatory"
PHYSIOLOGIC, UNCERTAIN = "physiologic", "uncertain"

_CLASSES = {
    MALIGNANT: (
        r"malignan\w*|metasta\w+|carcino\w+|cancer\w*|lymphoma\w*|neoplas\w*|tumou?r\w*|sarcoma\w*"
        r"|melanoma\w*|myeloma\w*|oncologic\w*"
        r"|(?:active|known|nodal|residual|recurrent|viable|bulky|oncologic)\s+disease"
        r"|(?:site|focus|foci|area)s?\s+of\s+disease|suspicious|suspected|concerning|worrisome"
    ),
    INFLAMMATORY: (
        r"inflam\w+|infect\w+|reactive|granulomat\w+|sarcoid\w*|pneumoni\w+|degenerat\w+|arthrit\w+"
        r"|arthrosis|osteoarth\w+|fractur\w+|traumatic|post-?\s?(?:treatment|radiation|operative"
        r"|surgical)|healing|benign|abscess\w*|colitis|esophagitis|thyroiditis|diverticulitis"
    ),
    # a size or an appearance that is normal says nothing of the uptake
    PHYSIOLOGIC: (
        r"physiolog\w*|normal(?:ly)?(?![\s-]+(?:in\s+)?(?:siz|appear|calib|morpholog|contour)\w+)"
        r"|excret\w+|brown\s+(?:fat|adipose)\w*|expected"
    ),
}
_PATTERNS = {name: re.compile(rf"\b(?:{words})\b", re.I) for name, words in _CLASSES.items()}
_UNCERTAIN = re.compile(
    r"\b(?:indeterminate|nonspecific|non-specific|equivocal|uncertain|unclear|undetermined"
    r"|(?:cannot|can\s+not|could\s+not)\s+be\s+(?:excluded|determined|ruled)|not\s+excluded"
    r"|versus|vs)\b",
    re.I,
)
# of the same clause; "no longer", "not only" deny nothing here either way
_DENIED = re.compile(
    r"\b(?:no|not|without|negative\s+for|unlikely|free\s+of|rather\s+than|instead\s+of"
    r"|(?:less|more)\s+than|above|beyond|exclude[sd]?|than)\b[^,;.]{0,40}$",
    re.I,
)
_UNLIKELY_AFTER = re.compile(
    r"^[^,;.]{0,25}\b(?:unlikely|less\s+likely|excluded|ruled\s+out)\b", re.I
)


def interpretation_in(text: str) -> str | None:
    """The class that `text` states; two different ones, or a word of doubt, are uncertain."""
    if _UNCERTAIN.search(text):
        return UNCERTAIN
    found = {name for name, pattern in _PATTERNS.items() if _is_stated(pattern, text)}
    if len(found) > 1:
        return UNCERTAIN
    return found.pop() if found else None


def _is_stated(pattern: re.Pattern[str], text: str) -> bool:
    return any(
        not _DENIED.search(text[: match.start()]) and not _UNLIKELY_AFTER.match(text[match.end() :])
        for match in pattern.finditer(text)
    )
