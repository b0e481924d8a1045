"""Which lesions the model may describe: what it was trained on, and what its input needs."""

import re

from pydicom.sr.coding import Code

from engine.acquisition import PetAcquisition, SuvRefusal
from engine.finding import Unable
from engine.lesion import Lesion
from engine.petar.options import Options
from engine.volume import Scan

BELOW_PET_RESOLUTION = "below-pet-resolution"

# The tracers of PETAR's training data (paper, section 4.1) as codes and free texts call them.
# Bounds keep FDG from FDGal, and DOTATATE from DOTATOC and from its therapy.
TRAINED = {
    "FDG": r"(?<![a-z])fdg(?![a-z])|fluoro-?2?-?deoxy-?(d-?)?glucose|fludeoxyglucose",
    "DOTATATE": r"(?<![a-z])(dota-?)?tate(?![a-z])|(?<![a-z])oxodotreotide|detectnet|netspot",
    "fluciclovine": r"fluciclovine|facbc(?![a-z])|axumin",
    "DCFPyL": r"dcfpyl|piflufolastat|pylarify",
}
OF_THERAPY = re.compile(r"177|lutetium|lutathera|(?<![a-z])lu(?![a-z])|yttrium|(?<!\d)90(?!\d)")
TRAINED_CODES = {  # DICOM CID 4021
    ("SCT", "35321007"): "FDG",
    ("SRT", "C-B1031"): "FDG",
    ("SCT", "724025002"): "DOTATATE",
    ("SCT", "457000009"): "fluciclovine",
    ("NCIt", "C116352"): "DCFPyL",
}


def reason_against_scan(scan: Scan, options: Options) -> Unable | None:
    """Why no lesion of this scan is for the model, or None."""
    if isinstance(scan.suv, SuvRefusal):
        return Unable("suv-refused", f"The model sees SUV, and none is stated: {scan.suv.sentence}")
    if scan.ct is None and not options.ct_of_air:
        return Unable("no-ct", "The model sees PET and CT, and there is no usable CT.")
    if not options.allow_untrained_tracers and trained_tracer(scan.acquisition) is None:
        return Unable(
            "untrained-tracer",
            "The model was trained on FDG, DOTATATE, fluciclovine and DCFPyL; the tracer of this"
            " PET is none of them, or is not stated.",
        )
    return None


def reason_against_lesion(lesion: Lesion) -> Unable | None:
    """Why this lesion is not for the model, or None."""
    if lesion.segment.role != "lesion":
        return Unable("context", "A context segment is not described by the model.")
    if BELOW_PET_RESOLUTION in (*lesion.segment.flags, *lesion.measurements.flags):
        return Unable(
            BELOW_PET_RESOLUTION,
            "The segment is finer than the PET and holds the centre of none of its voxels.",
        )
    return None


def trained_tracer(acquisition: PetAcquisition) -> str | None:
    """Which of the four tracers this is; None where it is another, unknown, or contradictory."""
    by_code = _coded(acquisition.tracer) if acquisition.tracer is not None else None
    by_name = named_tracer(acquisition.tracer_name or "")
    if acquisition.tracer is None:
        return by_name
    return by_code if by_name in (None, by_code) else None


def named_tracer(text: str) -> str | None:
    """The one trained tracer that a text names."""
    text = text.lower()
    if OF_THERAPY.search(text):
        return None
    named = [tracer for tracer, pattern in TRAINED.items() if re.search(pattern, text)]
    return named[0] if len(named) == 1 else None


def _coded(code: Code) -> str | None:
    known = TRAINED_CODES.get((code.scheme_designator, code.value))
    return known or named_tracer(code.meaning)
