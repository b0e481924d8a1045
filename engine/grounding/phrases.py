"""Words that several rules of grounding share: an uptake's name, what stands between it and its
number, what is called a lesion, what lesions are compared with."""

import re

_STATISTIC = (
    r"(?:max(?:imum|imal)?|mean|peak|avg|average|min(?:imum)?|median|highest|bw|lbm|bsa|lean)"
)
SUV_PHRASE = (
    rf"(?:(?<![A-Za-z])(?:{_STATISTIC}\s+)?"
    r"(?:suvs?|s\.\s?u\.\s?v\.?|suls?|standard(?:i[sz]ed)?\s+uptake\s+values?(?:\s*\(\s*suvs?\s*\))?)"
    rf"(?:[\s_/,(\[-]*(?:suv)?{_STATISTIC}(?![A-Za-z])\.?[)\]]?)*(?![A-Za-z]))"
)
FILLING_WORD = (
    r"(?:\b(?:of|is|was|at|are|were|values?|measur(?:es|ing|ed)|to|up|reach\w*|an?"
    r"|the|now|currently|today|about|around|approximately|approx|roughly|nearly|equals?|rang\w+"
    r"|from|between|in|greater|more|less|higher|lower|than|above|below|over|under|exceeding|least|most"
    r"|much|as|high|only|overall|region|ca)\b\.?)"
)
FILLER = rf"(?:[\s:=~,(\[<>≤≥≈-]|{FILLING_WORD})*"
LESION = (
    r"(?:nod(?:es?|ules?|al|ular)|lesions?|mass(?:es)?|foc(?:us|i|al)|tumou?rs?|neoplasms?|metastas[ei]s"
    r"|(?:lymph)?adenopathy|opacit(?:y|ies)|consolidations?|cysts?|deposits?|implants?|lucenc(?:y|ies)"
    r"|uptake|activity|abnormalit(?:y|ies)|conglomerates?|collections?|polyps?|areas?|regions?|soft\s+tissue"
    r"|(?:hyper|hypo)densit(?:y|ies)|spots?|carcinomas?|malignanc(?:y|ies)|lymphomas?|primary)"
)
# What a lesion is called that an uptake or a region is not
THING = (
    r"(?:nod(?:es?|ules?)|lesions?|mass(?:es)?|foc(?:us|i)|tumou?rs?|neoplasms?|metastas[ei]s|primary"
    r"|(?:lymph)?adenopathy|opacit(?:y|ies)|consolidations?|cysts?|collections?|polyps?|carcinomas?|abscess\w*)"
)
REFERENCE = re.compile(
    r"\b(?:liver|hepatic|blood[\s-]?pool|aort(?:a|ic)|mediastin(?:al|um)|background|reference"
    r"|spleen|splenic|muscle|brain|parotid|contralateral|normal|physiologic\w*|threshold|cut-?\s?off"
    r"|window|prior)\b",
    re.I,
)
COMPARING = re.compile(
    r"\b(?:above|below|than|(?:compared|relative|similar|equal)\s+(?:to|with)|that\s+of|versus|vs"
    r"|exceed\w*)\b[^,;.()]*$",
    re.I,
)
COMPARATOR = re.compile(
    r"[<>≤≥]|\b(?:above|over|greater|more|higher|exceeding|larger|least)\b", re.I
)
NOT_THE_SITE = frozenset(("adjacent", "surrounding", "normal", "uninvolved", "unaffected"))
BEFORE_A_SITE = frozenset(("the", "a", "an", "left", "right")) | NOT_THE_SITE
