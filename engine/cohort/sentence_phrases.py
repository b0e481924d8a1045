"""The words for each fact of a finding: those of training, and others that it never sees."""

from typing import Literal

Words = tuple[str, ...]
Style = Literal["home", "unseen"]

# {0}: the adverb or adjective of the grade
GRADE_ADJECTIVES: dict[Style, dict[str, Words]] = {
    "home": {"mild": ("mild",), "moderate": ("moderate",), "intense": ("intense",)},
    "unseen": {
        "mild": ("faint", "low"),
        "moderate": ("moderate",),
        "intense": ("marked", "strong"),
    },
}
GRADE_ADVERBS: dict[Style, dict[str, Words]] = {
    "home": {"mild": ("mildly",), "moderate": ("moderately",), "intense": ("intensely",)},
    "unseen": {"mild": ("faintly",), "moderate": ("moderately",), "intense": ("markedly",)},
}

INTERPRETATIONS: dict[Style, dict[str, Words]] = {
    "home": {
        "malignant": ("suspicious for malignancy", "concerning for malignancy",
                      "compatible with malignancy"),
        "malignant node": ("suspicious for nodal metastasis", "compatible with metastatic disease",
                           "concerning for malignancy"),
        "malignant bone": ("suspicious for osseous metastasis", "concerning for malignancy",
                           "compatible with metastatic disease"),
        "inflammatory": ("likely inflammatory", "favored to be inflammatory"),
        "inflammatory node": ("likely reactive", "favored to be reactive"),
        "inflammatory bone": ("likely degenerative", "favored to be degenerative"),
        "physiologic": ("likely physiologic", "compatible with physiologic activity"),
        "physiologic urine": ("compatible with physiologic excretion", "likely physiologic"),
        "uncertain": ("indeterminate", "nonspecific"),
    },
    "unseen": {
        "malignant": ("worrisome for tumor", "in keeping with neoplasm"),
        "malignant node": ("in keeping with nodal disease from cancer", "worrisome for lymphoma"),
        "malignant bone": ("in keeping with skeletal tumor", "worrisome for neoplasm"),
        "inflammatory": ("in keeping with infection", "presumably benign"),
        "inflammatory node": ("presumably reactive", "in keeping with granulomatous change"),
        "inflammatory bone": ("in keeping with arthritis", "presumably degenerative"),
        "physiologic": ("expected", "within normal physiologic limits"),
        "physiologic urine": ("from excreted tracer", "expected"),
        "uncertain": ("equivocal", "of uncertain significance"),
    },
}  # fmt: skip

NOUNS: dict[Style, dict[str, Words]] = {
    "home": {
        "mass": ("mass", "lesion"), "nodule": ("nodule", "lesion"), "bone": ("lesion",),
        "tissue": ("lesion", "nodule"), "focus": ("focus",), "organ": ("activity",),
    },
    "unseen": {
        "mass": ("abnormality",), "nodule": ("opacity",), "bone": ("deposit",),
        "tissue": ("deposit",), "focus": ("spot",), "organ": ("activity",),
    },
}  # fmt: skip

# {what}, {What}: the lesion and its place; {adjective}, {adverb}: of the grade; {tracer}
# {size}, {suv}, {slice}: measured; {meaning}: the interpretation
SENTENCES: dict[Style, Words] = {
    "home": (
        "{Adverb} {tracer} avid {what} measuring {size} with SUV max of {suv}"
        " (axial slice {slice}), {meaning}.",
        "{What} measuring {size} with {adjective} {tracer} uptake, SUV max {suv}"
        " (axial slice {slice}), {meaning}.",
        "There is {adjective} {tracer} uptake in a {size} {what}, SUV max {suv}"
        " (slice {slice}), {meaning}.",
        "{Adverb} hypermetabolic {what}, {size}, SUVmax: {suv} (axial slice {slice}), {meaning}.",
        "{What} with {adjective} {tracer} uptake (SUV max {suv}, axial slice {slice}),"
        " measuring {size}, {meaning}.",
    ),
    "unseen": (
        "On axial slice {slice}, {adjective} {tracer} accumulation is seen in the {what}: size"
        " {size}, SUVmax {suv}. This is {meaning}.",
        "{What}: {size}, {adverb} hypermetabolic, maximum SUV {suv}, axial slice {slice},"
        " {meaning}.",
        "Seen is a {what} of {size} that shows {adjective} metabolic activity to an SUV max"
        " of {suv} (slice {slice}), {meaning}.",
    ),
}
# of normal uptake no size is stated
NORMAL_SENTENCES: dict[Style, Words] = {
    "home": (
        "{Adjective} {tracer} uptake in the {where} with SUV max of {suv} (axial slice {slice}),"
        " {meaning}.",
        "Focal {adjective} {tracer} uptake in the {where}, SUV max {suv} (slice {slice}),"
        " {meaning}.",
    ),
    "unseen": (
        "The {where} shows {adjective} {tracer} accumulation, maximum SUV {suv} on axial slice"
        " {slice}, {meaning}.",
    ),
}
