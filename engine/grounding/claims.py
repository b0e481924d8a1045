"""Claims that no single PET/CT scan can support: change, history, other examinations."""

import re

UNSUPPORTED_CLAIM = "unsupported-claim"

# "increased uptake" tells how much there is, "decreased attenuation" how dark it looks
_APPEARANCE = (
    r"(?:\s+(?:\w+[\s-]){0,3}?(?:uptake|avidity|activity|accumulation|metaboli\w+|intensity|attenuation"
    r"|density|signal|sclerosis|lucency|FDG|PSMA|DOTATATE|fluciclovine|radiotracer|tracer))"
)
_PLACE = (  # "compared to liver" compares within the scan
    r"(?:liver|hepatic|blood|background|mediastin|aort|spleen|splenic|muscle|brain|parotid|salivary|contralateral"
    r"|opposite|other|surrounding|adjacent|normal|parenchyma|physiologic|bone|marrow|lung|kidney|renal|left|right"
    r"|soft\s+tissue|tissue|thyroid|cortex|cortical|rest\s+of)"
)
_BEFORE = r"(?:before|previous(?:ly)?|prior|last|earlier|then|baseline)"
_CHANGE = re.compile(
    rf"\b(?:new(?:ly)?\b|(?:increas|decreas|declin)(?:e[sd]?|ing)\b(?!{_APPEARANCE})"
    r"|reduced\b(?!" + _APPEARANCE + r")|resolv(?:ed|ing|es)|resolution|stable|unchanged|interval"
    r"|enlarging|growing|grown|shrunk|worsen(?:ed|ing)|improv(?:ed|ing|ement)|progress(?:ed|ion|ive|ing)"
    r"|regress(?:ed|ion|ing)|persist(?:s|ed|ent|ing)|recurren(?:t|ce)|residual|no\s+longer|again\s+(?:seen"
    r"|noted|demonstrated|identified)|redemonstrat\w+|responding|doubled|tripled|halved"
    rf"|compar(?:ed|ison)\s+(?:to|with)(?!\s+(?:(?:that|those)\s+(?:of|in)\s+)?(?:the\s+)?{_PLACE})"
    rf"|since\s+(?:the|\d{{4}}|{_BEFORE}|surgery|treatment|therapy|(?:jan|feb|mar|apr|may|ju[nl]|aug|sep|oct|nov|dec)\w*)"
    rf"|(?:than|as|from)\s+{_BEFORE}"
    r"|(?:larger|smaller|bigger|hotter|brighter)(?=\s*(?:[.,;)]|$)|\s+(?:in\s+size|now|since)\b)"
    r"|(?:no|without|little|minimal|slight)\s+(?:(?:significant|appreciable|relevant|substantial|major|definite"
    r"|notable|interval)\s+)*change"
    r"|(?:has|have|had)\s+(?:\w+\s+)?(?:developed|appeared|spread|occurred|changed|disappeared)"
    r"|(?:partial|complete|metabolic|mixed|treatment|therapeutic|favou?rable|good|poor)\s+(?:metabolic\s+)?response"
    r"|response\s+to\s+\w*(?:therap|treat|chemo|radi)\w*)(?!\w)",
    re.I,
)
_HISTORY = re.compile(
    r"\b(?:prior|previous(?:ly)?|former(?:ly)?|earlier|baseline|(?:surgical\s+)?(?:clips?|staples?|sutures?)|biops\w+"
    r"|histolog\w+|patholog(?:y|ically)|(?:status[\s-]+)?post[\s-]*(?:surg|operat|treat|radi|therap|chemo|transplant"
    r"|excis|resect|ablat|\w+ectomy)\w*|status[\s-]+post|s/p|resect(?:ed|ion)|\w{3,}ectomy|history\s+of|known|treated"
    r"|MRI?|ultrasound|sonograph\w+)\b",
    re.I,
)
# A later scan that is asked for is no earlier one
_FOLLOW_UP = re.compile(
    r"\b(?:(?:recommend|suggest|advis|consider|warrant|should|could|may|require|need)\w*[^.;]*)?follow[\s-]?up\b"
    r"(?![^.;]*\b(?:recommend|suggest|advis|consider|warrant|should|could|may|require|need)\w*)",
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
    followed = _FOLLOW_UP.search(text)
    is_followed = followed is not None and followed[0][:6].lower() == "follow"
    if is_followed or _CHANGE.search(text) or _stated(_HISTORY, text):
        return (UNSUPPORTED_CLAIM,)
    if not has_ct and _stated(_ON_CT, _PET_CT.sub("PET", text)):
        return (UNSUPPORTED_CLAIM,)
    return ()


def _stated(pattern: re.Pattern[str], text: str) -> bool:
    return any(not _DENIED.search(text[: match.start()]) for match in pattern.finditer(text))
