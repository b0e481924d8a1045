"""Which numbers are said of an earlier examination; one mask cannot know them."""

import re

from engine.grounding.marks import DATE

_EXAM = r"(?:exam\w*|stud(?:y|ies)|scans?|imaging|pet(?:\s*/\s*ct)?|ct|mri?|comparison|report|time)"
_CUE = re.compile(
    r"\b(?:previous(?:ly)?|prior(?:ly)?|former(?:ly)?|initial(?:ly)?|original(?:ly)?|earlier|baseline"
    r"|compared\s+(?:to|with)|in\s+comparison\s+(?:to|with)|comparison|versus|vs\b\.?|last"
    r"|(?:changed|stable|increase[ds]?|decrease[ds]?|decline[ds]?|reduced|grown|enlarged|up|down"
    r"|improved|progressed|changing|increasing|decreasing|fall\w*|rise\w*|rose|fell|different)"
    r"(?:\s+in\s+\w+)?\s+from)\b",
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


def trailing(tail: str) -> int:
    """How much of `tail` still speaks of the earlier examination."""
    match = _TRAILING.match(tail)
    words = match[0] if match else ""
    while words and not words.rstrip().endswith(_ENDINGS):
        words = words.rstrip()[: words.rstrip().rfind(" ") + 1].rstrip()
    return len(words)
