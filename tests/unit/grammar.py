"""A grammar of PET/CT sentences, written from how reports are worded and apart from the scanner.

A sentence remembers which of its words name anatomy, tracers or scores: they must survive. All
other numbers in it are inventions of a model. `numbers_in` finds numbers by walking characters, so
that it shares no pattern with what it judges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st

from engine.grounding.measured import Measured

# every quantity with digits of its own, so that a number tells what it is
MEASURED = Measured(
    suv={"max": "9.8", "mean": "5.7", "peak": "8.6", "median": "5.5"},
    long_cm="3.1",
    short_cm="2.4",
    craniocaudal_cm="2.9",
    slice="57",
    slices="52-61",
    volume_cm3="13.6",
    glycolysis_g="78.8",
)

Pick = Callable[[Sequence[str]], str]

SMALL_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
LARGE_WORDS = (
    "twelve", "fifteen", "seventeen", "twenty", "twenty-one", "thirty two", "forty", "fifty-five",
    "sixty-six", "ninety", "ninety-nine", "thirty-one point five", "one hundred",
)  # fmt: skip
DECIMAL_WORDS = ("two point five", "one point two", "six point three", "zero point eight")
PLACEHOLDERS = ("[#]", "[ # ]", "[#.#]", "[##]")
NUMERALS = (
    "6.3", "15.8", "3.25", "4", "8.2", "11", "0.9", "2.47", "18", "6,3", "12,45", "1,200", ".8",
    "\uff16.\uff13", "\u0666.\u0663", "8.0", "007", "1.2.3", "100", "22.75",
)  # fmt: skip
ANATOMY = (
    "C6", "L4-L5", "T9", "L5-S1", "L4-5", "T11/T12", "S1", "C2", "T9 vertebral body", "D8",
    "level 2/3", "levels IIA IIB and III", "level 2A", "levels 2-4", "level IV", "level 5B",
    "levels 2, 3 and 4", "level II", "station 4R", "stations 4R and 7", "station 7",
    "stations 2R/4R",
    "segment VIII", "segment 8", "segments 5/6", "segment 4A", "segments VII and VIII",
    "7th rib", "right 7th rib", "left 3rd and 4th ribs", "seventh rib", "rib 9", "ribs 3-5",
    "2nd lumbar vertebra", "first rib", "5th metatarsal", "3rd portion of the duodenum",
    "6th intercostal space", "T12 and L1", "fourth ventricle", "12th rib", "1st metacarpal",
)  # fmt: skip
TRACERS = (
    "18F",
    "18F-FDG",
    "F-18 FDG",
    "68Ga-DOTATATE",
    "[18F]FDG",
    "¹⁸F-FDG",
    "Ga-68",
    "PSMA-1007",
)
SCORES = ("Deauville score 4", "Deauville 4", "Deauville 5-point score of 4", "Krenning score 3")
NOUNS = (
    "lymph node", "nodule", "focus", "mass", "lesion", "soft tissue", "osseous lesion", "activity",
    "pulmonary nodule", "thickening", "lytic lesion", "right hilar lymph node", "uptake",
)  # fmt: skip
ADJECTIVES = (
    "Hypermetabolic", "Intense", "Mild", "Moderately FDG avid", "Focal", "Spiculated", "Enlarged",
    "Subcentimeter", "Asymmetric", "Ill-defined", "Multiple", "Bilateral",
)  # fmt: skip
PLACES = (
    "in the left upper lobe", "in the right axilla", "of the liver", "along the left iliac chain",
    "in the mediastinum", "within the pelvis", "near the carina", "at the lung base",
)  # fmt: skip
TAILS = (
    "consistent with metastasis", "suspicious for malignancy", "likely inflammatory",
    "compatible with the known primary", "which is nonspecific", "without CT correlate",
)  # fmt: skip
MONTHS = ("January", "Feb", "March", "Sept.", "October", "December")


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words, and those of them that must be there afterwards."""

    text: str
    must_survive: tuple[str, ...] = ()


def number(pick: Pick) -> str:
    """One invented number, in digits of some script, in words or as a placeholder."""
    return pick(
        (*NUMERALS, *NUMERALS, *SMALL_WORDS, *LARGE_WORDS, *DECIMAL_WORDS, *PLACEHOLDERS, "one")
    )


def amount(pick: Pick) -> str:
    """An invented quantity: a number, a range, or something about a number."""
    form = pick(("{a}", "{a}", "{a}", "{a}-{b}", "{a} to {b}", "{a} \u2013 {b}", "~{a}",
                 "about {a}", "approximately {a}", ">{a}", "less than {a}", "up to {a}",
                 "{a} ± {b}", "≥ {a}",
                 "between {a} and {b}", "at least {a}", "{a}/{b}", "as much as {a}"))  # fmt: skip
    return form.format(a=number(pick), b=number(pick))


def uptake(pick: Pick) -> str:
    form = pick((
        "SUV max of {n}", "max SUV {n}", "SUVmax: {n}", "SUVmax {n}", "SUV max measures up to {n}",
        "SUV {n}", "SUV of {n}", "maximum SUV of {n}", "SUVmax = {n}", "SUVmax={n}", "SUVs of {n}",
        "SUV-max {n}", "S.U.V. {n}", "suv max {n} g/mL", "a SUV max value of {n}", "SUV ({n})",
        "standardized uptake value of {n}", "standardized uptake value (SUV) max of {n}",
        "SUVpeak {n}", "SUV mean of {n}", "mean SUV {n}", "SUVmax/SUVmean {n}", "SUL peak {n}",
        "peak SUV is {n}", "SUV max currently {n}", "a maximum standardized uptake value of {n}",
        "{n} SUV", "SUVmax was measured at {n}", "SUV max in this node is {n}", "uptake of {n}",
        "SUVmax on delayed images {n}", "SUV max in this slice {n}", "SUV ratio of {n}",
    ))  # fmt: skip
    return form.format(n=amount(pick))


def extent(pick: Pick) -> str:
    unit = pick(
        ("cm", "mm", " cm", " mm", " cm", " mm", " centimeters", " millimetres", "-mm", "-cm")
    )
    by = pick((" x ", "x", " \u00d7 ", " X ", " by ", "\u00d7", " x", " * "))
    form = pick((
        "{a}{u}", "{a}{u}", "{a}{by}{b}{u}", "{a}{by}{b}{u}", "{a}{by}{b}{by}{c}{u}",
        "{a}{u}{by}{b}{u}", "{a}{u}{by}{b}{u}{by}{c}{u}", "{a}-{b}{u}", "{a} to {b}{u}",
        "{a}{u} in short axis", "{a}{u} in greatest dimension", "{a}{by}{b}", "{a}{u} (AP)",
        "{a}{u} right of midline", "{a}{u} left of the aorta", "{a}{u} into the chest wall",
        "extending {a}{u}", "extends inferiorly by {a}{u}", "displacing the trachea by {a}{u}",
        "craniocaudal extent of {a}{u}", "{a}{u} craniocaudal", "short axis of {a}{u}",
        "width of {a}{u}", "{a}{u} in width", "a height of {a}{u}", "radius {a}{u}",
        "{a}{u} in radius", "circumference of {a}{u}", "transverse diameter of {a}{u}",
        "greatest dimension of {a}{u}", "{a}{u} long axis", "{a}{u} behind the carina",
        "approximately {a}{u}", "~{a}{by}{b}{u}", "less than {a}{u}", "{a} and a half{u}",
        "long axis {a}{u} short axis {b}{u}", "short axis {a}{u} long axis {b}{u}",
    ))  # fmt: skip
    return form.format(a=number(pick), b=number(pick), c=number(pick), u=unit, by=by)


def position(pick: Pick) -> str:
    form = pick((
        "PET/CT axial slice {n}", "axial slices {n}-{m}", "image {n}", "image #{n}", "slice {n}",
        "axial image {n} of {m}", "series {m}, image {n}", "CT image {n}", "images {n} and {m}",
        "image {n}/{m}", "slice number {n}", "axial slice: {n}", "im {n}", "slices {n} through {m}",
        "se {m} im {n}", "PET image {n}", "axial slice {n} and {m}",
    ))  # fmt: skip
    return form.format(n=number(pick), m=number(pick))


def date(pick: Pick) -> str:
    form = pick(
        ("3/4/2021", "2021-03-04", "{m} 4, 2021", "4 {m} 2021", "{m} 2021", "2019", "04.03.21")
    )
    return form.format(m=pick(MONTHS))


def past(pick: Pick) -> str:
    form = pick((
        "previously {u}", "previously {e}", "previously {n}", "compared to {n} on the prior exam",
        "prior {u}", "formerly {e}", "decreased from {n} to {n}", "increased from {e} to {e}",
        "was {n} previously", "versus {n} on {d}", "{u} on the study dated {d}", "vs. {n} before",
        "compared with {u} on {d}", "measured {e} in {d}", "initially {n}", "{n} at baseline",
        "last measured {e}", "unchanged from {d}", "previous {u} and {e}", "down from {n}",
    ))  # fmt: skip
    return form.format(u=uptake(pick), e=extent(pick), n=amount(pick), d=date(pick))


def stray(pick: Pick) -> str:
    form = pick((
        "attenuation of {n} HU", "{n} foci", "{n}% of the lobe", "{n} cm from the carina",
        "liver: SUVmean {n}", "the liver has an SUV of {n}", "segmented at SUV {n}",
        "liver SUV max {n}", "above blood pool SUV of {n}", "volume of {n} mL", "MTV {n} cc",
        "TLG {n}", "volume of {n} liters", "volume {n} L", "TLG {n} mL", "MTV of {n} \u00b5L",
        "TLG of {n} g", "volume of {n} cm",
        "volume of {n} pints", "{n} dL",
        "{n} hours after injection", "a Gleason score of {n}", "on {d}", "{n}-fold",
        "within {n} mm of the pleura", "stage T{n}N0", "HER{n}", "{n} of {n} nodes",
        "half the lobe", "SUV max 5R", "SUV of C6", "SUV is at level 6", "SUVmax: T9",
        "SUV in the mid-twenties", "SUV in the teens", "SUV of nil", "{n} inches", "a 4L mass",
        "SUV {n} as threshold", "delta SUV {n}", "another {n} mm nodule",
        "twice that of the liver", "a twofold increase", "{n}fold", "thrice background uptake",
        "a couple of foci", "a pair of nodes", "Deauville {n}", "score of {n}", "one of the nodes",
        "wall thickness {n} mm", "a threshold SUV of {n}", "grade {n}", "{n} years ago", "({n})",
        "COVID-{n}", "number {n}", "area of {n} cm2", "volume {n} cm³", "one third of the lobe",
        "{n} times liver uptake", "two-thirds of the body",
        "¾ of it", "½ {n}", "\u2163 of them", "\u4e09 foci",
        "no uptake above SUV {n}", "dose {n} MBq", "{n}mCi", "({n}x)", "a dozen nodes", "#{n}",
    ))  # fmt: skip
    return form.format(n=amount(pick), d=date(pick))


def clause(pick: Pick) -> Sentence:
    """A piece that may stand between commas, with its anatomy where it has any."""
    kind = pick(
        ("uptake", "extent", "position", "past", "stray", "anatomy", "beside", "kept", "words")
    )
    if kind == "anatomy":
        named = pick(ANATOMY)
        return Sentence(
            pick(("at {}", "in the {}", "involving {}", "near {}")).format(named), (named,)
        )
    if kind == "beside":  # a number that must neither take the name along nor pass as part of it
        named = pick(ANATOMY)
        form = pick((
            "{n} cm from {}", "{n} mm from the {}", "within {n} cm of {}", "twice that of {}",
            "at {} {w} by {v} cm", "in the {} {n} by {w} cm", "at {} {w} x {v} x {n} mm",
            "at {}, {w} mm", "SUV max of {} lesion: {n}", "SUV of the {} node is {n}",
            "prior {} node SUV {n}", "at {} with SUV {w}",
        ))  # fmt: skip
        words = {"n": number(pick), "w": pick(SMALL_WORDS), "v": pick(SMALL_WORDS)}
        return Sentence(form.format(named, **words), (named,))
    if kind == "kept":
        named = pick((*TRACERS, *SCORES))
        return Sentence(named, (named,))
    makers = {
        "uptake": uptake,
        "extent": extent,
        "position": position,
        "past": past,
        "stray": stray,
    }
    if kind == "words":
        return Sentence(pick((*PLACES, *TAILS)))
    led = pick(("", "", "with ", "measuring ", "and ", "demonstrating ", "which measures ", "at "))
    return Sentence(led + makers[kind](pick))


def sentence(pick: Pick, clauses: Sequence[Sentence]) -> Sentence:
    """A subject and its clauses, joined as reports join them, brackets included."""
    text = f"{pick(ADJECTIVES)} {pick(NOUNS)} {pick(PLACES)}"
    if pick(("no", "no", "yes")) == "yes":
        text = f"{pick(('A', 'An', 'There is a', 'Stable'))} {extent(pick)} {pick(NOUNS)}"
    survive: tuple[str, ...] = ()
    for one in clauses:
        text += pick(
            (", {}", " with {}", " ({})", "; {}", " and {}", " {}", " [{}]", ": {}")
        ).format(one.text)
        survive += one.must_survive
    return Sentence(text + pick((".", ".", ".", "", " .", "!")), survive)


def description(pick: Pick) -> Sentence:
    """One to three sentences, as a describer writes them."""
    parts = [
        sentence(pick, [clause(pick) for _ in range(int(pick("1223")))])
        for _ in range(int(pick("1123")))
    ]
    text = pick((" ", "  ", "\n")).join(part.text for part in parts)
    return Sentence(text, tuple(word for part in parts for word in part.must_survive))


def descriptions() -> st.SearchStrategy[Sentence]:
    """Descriptions by the seed of their choices: many a second, and a failure prints its text."""
    return st.integers(0, 2**64 - 1).map(lambda seed: description(Random(seed).choice))


def numberless() -> st.SearchStrategy[str]:
    """Texts without a number: whatever their wording and spacing, nothing in them is to change."""
    pieces = st.sampled_from((
        *ADJECTIVES, *NOUNS, *PLACES, *TAILS, ",", " ", "  ", "(", ")", ".", ";", "\n", " ,", "()",
        "SUV max", "with", "and", "cm", "an", "increased", "new", "stable compared to prior", "x",
        "level II", "levels IIA IIB and III", "segment VIII", "stage IV", "one of", "first", "é",
        "\u200b", "\u00a0", "lone", "often", "weight", "tent", "[", "]", "%", "previously", "at",
    ))  # fmt: skip
    return st.lists(pieces, max_size=12).map(" ".join)


def numbers_in(text: str) -> list[tuple[str, str, str]]:
    """Every number left in a text as (before, number, after), by walking its characters."""
    found: list[tuple[str, str, str]] = []
    at = 0
    while at < len(text):
        if not text[at].isnumeric() and text[at] != "#":
            at += 1
            continue
        end = at + 1
        while end < len(text) and (
            text[end].isnumeric()
            or (text[end] in ".," and end + 1 < len(text) and text[end + 1].isnumeric())
        ):
            end += 1
        found.append((text[:at], text[at:end], text[end:]))
        at = end
    return found + [("", word, "") for word in number_words_in(text)]


SPELLED = frozenset(
    {"zero", "twice", "thrice", "couple", "pair", "dozen", "dozens", "hundred", "thousand"}
    | {"two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
    | {f"{stem}teen" for stem in ("thir", "four", "fif", "six", "seven", "eigh", "nine")}
    | {f"{stem}ty" for stem in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine")}
)
DECADES = frozenset(
    f"{stem}ties" for stem in ("twen", "thir", "for", "fif", "six", "seven", "nine")
)
LEAD_TO_ONE = frozenset(
    {"deauville", "mtv", "tlg"}
    | {f"{noun}{end}" for noun in ("slice", "image", "volume", "score") for end in ("", "s")}
    | {f"{suv}{of}" for suv in ("suv", "sul") for of in ("", "s", "max", "mean", "peak")}
)
LEADING_ON = frozenset(
    {"of", "is", "was", "at", "in", "max", "mean", "peak", "about", "approximately", "a", "an"}
    | {"to", "up", "least", "less", "than", "as", "much", "between", "the", "from"}
)


def number_words_in(text: str) -> list[str]:
    """The words of a text that are numbers; "one" where a word such as SUV leads to it."""
    plain = "".join(one if one.isalnum() or one in ".;!?\n" else " " for one in text.lower())
    found, before = [], ""
    for mark in ".;!?\n":
        plain = plain.replace(mark, " | ")
    for word in plain.split():
        number = word.removesuffix("fold")
        if (
            number in SPELLED
            or word in ("teens", "eighties", *DECADES)
            or (number == "one" and number != word)
            or (word == "one" and before in LEAD_TO_ONE)
        ):
            found.append(word)
        if word not in LEADING_ON:
            before = word
    return found
