"""Claims that no single PET/CT scan can support: change, history, other examinations."""

import re

UNSUPPORTED_CLAIM = "unsupported-claim"

# "increased uptake" tells how much there is, "decreased attenuation" how dark it looks
_APPEARANCE = (
    r"(?:\s+(?:\w+[\s-]){0,3}?(?:uptake|avidity|activity|accumulation|metaboli\w+|intensity|attenuation"
    r"|density|signal|sclerosis|lucency|FDG|PSMA|DOTATATE|fluciclovine|radiotracer|tracer))"
)
_CHANGE = re.compile(
    rf"\b(?:new(?:ly)?\b|(?:increas|decreas|declin)(?:e[sd]?|ing)\b(?!{_APPEARANCE})"
    r"|reduced\b(?!" + _APPEARANCE + r")|resolv(?:ed|ing|es)|resolution|stable|unchanged|interval"
    r"|enlarging|growing|grown|shrunk|worsen(?:ed|ing)|improv(?:ed|ing|ement)|progress(?:ed|ion|ive|ing)"
    r"|regress(?:ed|ion|ing)|persist(?:s|ed|ent|ing)|recurren(?:t|ce)|residual|no\s+longer|again\s+(?:seen"
    r"|noted|demonstrated|identified)|redemonstrat\w+|compar(?:ed|ison)\s+(?:to|with)|since\s+the"
    r"|treatment\s+response|responding)\b",
    re.I,
)
_HISTORY = re.compile(
    r"\b(?:prior|previous(?:ly)?|former(?:ly)?|earlier|baseline|surgical\s+(?:clips?|staples?)|biops\w+"
    r"|histolog\w+|patholog(?:y|ically)|post-?\s?(?:surgical|operative|treatment|radiation|therapy)"
    r"|status\s+post|s/p|resect(?:ed|ion)|history\s+of|known|treated|MRI?|ultrasound|sonograph\w+)\b",
    re.I,
)
_ON_CT = re.compile(
    r"(?<![\w/])(?:on\s+(?:the\s+)?)?(?:CT|computed\s+tomography)\b(?!-?guid)", re.I
)
# The name of the examination, however it is joined; " - " begins another thought: "PET - CT shows"
_PET_CT = re.compile(
    r"\b(?:PET(?:[-\u2010-\u2015\u2212]|\s*[/+]\s*|\s*)CT|CT(?:[-\u2010-\u2015\u2212]|\s*[/+]\s*)PET)\b",
    re.I,
)
_DENIED = re.compile(r"\b(?:no|without|not|never|absence\s+of|lack\s+of)\b[^,;.]{0,30}$", re.I)


def claims_of(text: str, *, has_ct: bool) -> tuple[str, ...]:
    """`unsupported-claim` where a text says what one scan cannot know; CT too where there is none.

    A denied change ("no new lesion") is a comparison all the same; a denied finding is none.
    """
    if _CHANGE.search(text) or _stated(_HISTORY, text):
        return (UNSUPPORTED_CLAIM,)
    if not has_ct and _stated(_ON_CT, _PET_CT.sub("PET", text)):
        return (UNSUPPORTED_CLAIM,)
    return ()


def _stated(pattern: re.Pattern[str], text: str) -> bool:
    return any(not _DENIED.search(text[: match.start()]) for match in pattern.finditer(text))
