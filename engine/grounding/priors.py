"""Which numbers are said of an earlier examination; one mask cannot know them."""

import re

from engine.grounding.lengths import TO_ITS_END
from engine.grounding.marks import DATE, NAME
from engine.grounding.phrases import BEFORE_A_SITE, LESION, REFERENCE
from engine.grounding.terms import mentions_of, words_of

_EXAM = r"(?:exam\w*|stud(?:y|ies)|scans?|imaging|pet(?:\s*/\s*ct)?|ct|mri?|comparison|report|time)"
_CUE = re.compile(
    r"\b(?:previous(?:ly)?|prev\b\.?|pre-?\s?(?:treatment|therapy|operative(?:ly)?)|used\s+to\s+be|prior(?:ly)?|former(?:ly)?|initial(?:ly)?|original(?:ly)?|earlier|baseline"
    r"|compared\s+(?:to|with)|in\s+comparison\s+(?:to|with)|comparison|versus|vs\b\.?|last"
    r"|(?:changed|stable|increase[ds]?|decrease[ds]?|decline[ds]?|reduced|grown|enlarged|up|down"
    r"|improved|progressed|changing|increasing|decreasing|fall\w*|rise\w*|rose|fell|different|went|gone|goes"
    r"|dropp\w+|moved|shr[aiu]nk\w*|grew|grow\w*|wors\w+|progress\w+)"
    r"(?:\s+in\s+\w+)?\s+from)(?!\w)",
    re.I,
)
_MAY_STAND_BETWEEN = re.compile(
    rf"(?:[\s:=~(\[<>≤≥≈/,-]|\b(?:of|at|on|the|an?|was|were|is|measur\w+|had|with|where|when|it|this|up"
    r"|about|around|approximately|approx|in|dated|by|and|from|suv\w*|suls?|s\.|u\.|v\.|max\w*|mean|peak|average"
    r"|standardized|uptake|values?|sizes?|g/ml|previous(?:ly)?|prior|last|compared|to|than|baseline"
    rf"|axial|slices?|images?|series|im|se|number|less|greater|least|most|much|as|between|{_EXAM})\b"
    r"\.?|[\x01])*",
    re.I,
)
# "previous level 2 node SUV 3": the thing is of the earlier examination, and so is its number
_EARLIER_THING = re.compile(
    r"\b(?:previous|prior|prev\.?|former|earlier|baseline)\s+"
    r"(?:(?!(?:with|and|in|of|at|is|which|that|treat|resect|radiat|irradiat|surg|operat|biops|therap|chemo"
    rf"|descri|seen|not|known|report|measur|identif|demonstr)\w*)[\w'/{NAME}-]+\s+){{0,5}}?"
    rf"(?:{LESION}\b|{NAME}+)(?:\s+{LESION}\b)*"
    r"(?:[\s:,]|\b(?:had|has|was|were|measur\w+|with|at|of|an?)\b)*$",
    re.I,
)
_WAS = re.compile(
    r"\b(?:was|were|had\s+been|has\s+been|measured|had)\b(?:[\s~]|\b(?:of|at|an?|about|up|to|measured|approximately)\b)*$",
    re.I,
)
_IS_NOW = re.compile(
    r"\s*(?:(?P<and>,?\s*(?:and|but)\b)|[,;]|(?=-+>)|(?=\b(?:is|are|now|measures)\b))?\s*"
    r"(?:(?:which|it|this)\s+)?(?:(?:is|are|has|measures|measuring|reaches)\s+)?(?:\w+\s+)?"
    r"(?:\b(?:now|currently|today|presently|at\s+present)\b|-+>|\u2192"
    r"|\b(?:has|have)\s+(?:since\s+)?(?:decreas|increas|declin|grown|shrunk|fallen|risen|improv|progress)\w*\s+to\b)",
    re.I,
)
_COMPARED = re.compile(r"(?:in\s+)?compar|versus|vs", re.I)
_ELSEWHERE = re.compile(
    rf"\s*(?:(?:in|of|for|at|within)\s+(?:the\s+)?|(?:the\s+)?{REFERENCE.pattern}){TO_ITS_END}",
    re.I,
)
_AFTER = re.compile(
    r"\s*(?:(?:previously|formerly|before|earlier|initially|ago)\b"
    r"(?=\s*(?:[,.;:)\]]|$|(?:on|in|at)\b))"
    rf"|(?:on|at|in)\s+(?:the\s+|a\s+)?(?:prior|previous|last|earlier|baseline|comparison|old)\b"
    rf"|(?:on|in|dated|from|of)\s+(?=\x02)|on\s+the\s+{_EXAM}\s+(?:dated|of|from)\s+(?=\x02))",
    re.I,
)
_TRAILING = re.compile(
    r"(?:\s*(?:\b(?:on|in|at|from|of|the|an?|prior|previous(?:ly)?|formerly|last|earlier|dated|ago"
    rf"|before|baseline|then|initially|{_EXAM})\b|\x02+))*",
    re.I,
)
_CLAUSE_END = re.compile(r"[;()\[\]\n]|,(?!\d)")
_ENDINGS = (
    "prior", "previous", "previously", "formerly", "last", "earlier", "ago", "before", "baseline",
    "then", "initially", "exam", "examination", "study", "studies", "scan", "scans", "imaging",
    "pet", "ct", "comparison", "report", "time", "mri", DATE,
)  # fmt: skip


def cue_before(head: str) -> int | None:
    """Where in `head` the words begin that make the number behind it an earlier one."""
    for cue in _CUE.finditer(head):
        between = head[cue.end() :]
        is_change = cue[0].lower().endswith("from")
        if is_change and re.search(r"\x01\s*\b(?:to|through)\b", between):
            continue
        if _MAY_STAND_BETWEEN.fullmatch(between) and not _CLAUSE_END.search(between.rstrip("([ ")):
            return cue.end() - len("from") if is_change else cue.start()
    return None


def cue_after(tail: str, next_number: int | None) -> int | None:
    """How long the words behind a number are that make it an earlier one.

    A number may follow them, `next_number` characters on, that they belong to instead.
    """
    cue = _AFTER.match(tail)
    if cue is None:
        return None
    if next_number is not None and next_number >= cue.end():
        between = tail[cue.end() : next_number]
        if _MAY_STAND_BETWEEN.fullmatch(between) and not _CLAUSE_END.search(between.rstrip("([ ")):
            return None
    return cue.end() + trailing(tail[cue.end() :])


def elsewhere(words: str, tail: str) -> int:
    """How much of `tail` says where else the number is that the lesion's is compared with.

    `words` are the cue and what stands between it and the number.
    """
    if not _COMPARED.match(words) or trailing(tail):
        return 0
    match = _ELSEWHERE.match(tail)
    return match.end() if match else _site_at(tail)


def _site_at(tail: str) -> int:
    """Where a site of the table ends that `tail` begins with: " the left kidney"."""
    words = words_of(re.split(r"[^\w\s/-]", tail, maxsplit=1)[0])
    first = next(iter(mentions_of(words)), None)
    if first is None or any(one.text not in BEFORE_A_SITE for one in words[: first.first]):
        return 0
    return words[first.last].end


def earlier_thing_before(head: str) -> int | None:
    """Where the words begin that say the number of a thing of the earlier examination."""
    thing = _EARLIER_THING.search(head)
    return thing.start() if thing else None


def past_before_now(head: str, tail: str) -> tuple[int, int] | None:
    """How much before and behind a number says what was, where what is now follows."""
    was, now = _WAS.search(head), _IS_NOW.match(tail)
    if was is None or now is None:
        return None
    return len(head) - was.start(), max(now.end("and"), 0)


def trailing(tail: str) -> int:
    """How much of `tail` still speaks of the earlier examination."""
    match = _TRAILING.match(tail)
    words = match[0] if match else ""
    while words and not words.rstrip().endswith(_ENDINGS):
        words = words.rstrip()[: words.rstrip().rfind(" ") + 1].rstrip()
    return len(words)
