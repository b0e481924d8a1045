"""Grammar around words that were taken out; where nothing was taken out, nothing is touched."""

import re

GAP = "\ufdd0"  # a noncharacter: it stands where words were, until all is tidy

_DANGLING = (
    r"with|and|or|of|at|an?|the|to|up|is|was|are|were|has|had|have|measur(?:ing|es|ed|e)|demonstrat(?:ing|es)"
    r"|show(?:ing|s)|having|which|that|by|on|in|from|about|approximately|approx\.?|roughly|nearly|around"
    r"|now|currently|today|than|above|below|between|compared|versus|vs\.?|reach(?:ing|es|ed)|as|for|within"
    r"|plus|less|greater|more|over|under|exceeding|least|most|only|ca\.?|both|dated|since|near|after|times|where|when|it"
)
_FOLLOWING = (
    r"and|or|in|at|on|within|along|involving|which|that|with|but|without|from|of|for|near|is|are|was"
    r"|were|consistent|suspicious|compatible|likely|representing|also|demonstrating|measuring|showing"
    r"|previously|to|by|as|than|has|had|adjacent|seen|noted|compared|now|currently|into|between|above|below|behind|beneath|beyond"
)
_ENDED = rf"(?=\s*(?:[,.;:()\[\]!?{GAP}]|$|\n|(?:{_FOLLOWING})\b))"
_STOP = (
    r"(?:\b(?:the|this|it|its|an?|lesion|which|there|that|are|is|with|and|of|at|to|was|measures"
    r"|measuring|has)\b\s*)"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.I), replacement)
    for pattern, replacement in (
        (rf"{GAP}(?:[\s,;:&/~=<>≤≥≈+±-]|\bx\b|\band\b|\bor\b|\bto\b|\bby\b)*{GAP}", GAP),
        (rf"[(\[]\s*(?:(?:{_DANGLING})\b[\s,:;]*|[,;:/~=<>-]\s*)*{GAP}"
         rf"\s*(?:[,;:/%~-]\s*)*[)\]]", GAP),
        (rf"(?:\b(?:{_DANGLING})|[=~<>≤≥≈±:/*-]|\bx)\s*{GAP}{_ENDED}", GAP),
        (rf"\b(?:approximately|about|roughly|nearly|almost|around|up\s+to|ca\.?)\s*{GAP}", GAP),
        (rf"[~<>≤≥≈±=]\s*{GAP}", GAP),
        (rf"{GAP}\s*(?:[%/*~=]|-(?=\s|$)|x\b|by\b(?=\s*\d))", GAP),
        (rf"(^|[.!?\n]\s*){_STOP}+{GAP}(?=\s*(?:[.!?\n]|$))", rf"\1{GAP}"),
        (rf",\s*{GAP}\s*,", ","),
        (rf"[,;:]\s*(?:and\s*)?{GAP}\s*(?=[.;:)\]!?]|$)", GAP),
        (rf"([(\[])\s*{GAP}\s*[,;:]?\s*(?:and\s+)?", r"\1"),
    )
)  # fmt: skip
_FIRST_SENTENCE = re.compile(rf"^\s*{GAP}[\s,;:]*[.!?]+\s*")
_EMPTY_SENTENCE = re.compile(rf"(^|[.!?\n])([ \t]*){GAP}[\s,;:]*[.!?]+")
_OPENING = re.compile(rf"(^|[.!?]\s+|\n\s*){GAP}[\s,;:-]*(?:(?:and|or|with|of)\s+)?(\w)?", re.I)
_ARTICLE = re.compile(rf"\b(an?)(\s+){GAP}\s*(\w+)", re.I)
_SPACE_BEFORE_STOP = re.compile(rf"\s*{GAP}\s*(?=[,.;:!?)\]])")
_AT_END = re.compile(rf"\s*{GAP}\s*$")
_BETWEEN = re.compile(rf"\s*{GAP}\s*")
_ACRONYM_WITH_VOWEL = re.compile(r"[AEFHILMNORSX][A-Z]")


def tidied(text: str) -> str:
    """The text without its gaps, and without the words and marks that only led to them."""
    previous = ""
    while GAP in text and previous != text:
        previous = text
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        text = _FIRST_SENTENCE.sub("", text)
        text = _EMPTY_SENTENCE.sub(r"\1", text)
    text = _OPENING.sub(lambda match: match[1] + (match[2] or "").upper(), text)
    text = _ARTICLE.sub(lambda match: article(match[1], match[3]) + match[2] + match[3], text)
    text = _SPACE_BEFORE_STOP.sub("", text)
    text = _AT_END.sub("", text)
    return _BETWEEN.sub(" ", text)


def article(written: str, word: str) -> str:
    """The indefinite article that `word` takes, capital as it was written."""
    if word[0].isdigit():
        vowel = bool(re.match(r"8|1[18](?:\D|$)", word))
    elif word[:2].isupper():
        vowel = bool(_ACRONYM_WITH_VOWEL.match(word))
    else:
        vowel = word[0].lower() in "aeiou" and not word.lower().startswith(("uni", "use", "eu"))
    return written[0] + ("n" if vowel else "")
