"""What a CT was made for, by its kernel and description: attenuation, soft tissue, or edges."""

import re

from pacsnode.assembly.attributes import text, texts
from storage.records import Series

_ATTENUATION = re.compile(r"(^|[^A-Z])(CT)?AC([^A-Z]|CT|$)|ATTEN", re.IGNORECASE)
_SHARP_NAMES = ("LUNG", "BONE", "EDGE", "SHARP", "DETAIL", "ULTRA", "YA", "YB", "YC", "YD")
_SOFT_NAMES = ("STANDARD", "STND", "SOFT", "SMOOTH", "BODY")
# Siemens: family letters and a sharpness (B30f, Br38f, I31f, Hr40d); Canon: FC and a number
_NUMBERED = re.compile(r"^(?P<family>[A-Z]{1,2})(?P<sharpness>\d{2})", re.IGNORECASE)
_SHARP_SIEMENS = 50
_SOFT_CANON = range(20)
# Philips: single letters from soft to sharp
_SOFT_PHILIPS, _SHARP_PHILIPS = ("A", "B", "C"), ("D", "E", "F", "L")

SOFT, UNKNOWN, SHARP = 0, 1, 2


def kernel_rank(ct: Series) -> int:
    """SOFT for attenuation correction or soft tissue, SHARP for lung or bone, else UNKNOWN."""
    first = min(ct.instances, key=lambda one: one.sop_instance_uid)
    if _ATTENUATION.search(text(first.attributes, "SeriesDescription") or ""):
        return SOFT
    kernels = texts(first.attributes, "ConvolutionKernel")
    return _rank(kernels[0].upper()) if kernels else UNKNOWN


def _rank(kernel: str) -> int:
    if kernel in _SOFT_PHILIPS or kernel.startswith(_SOFT_NAMES):
        return SOFT
    if kernel in _SHARP_PHILIPS or kernel.startswith(_SHARP_NAMES):
        return SHARP
    match = _NUMBERED.match(kernel)
    if match is None:
        return UNKNOWN
    sharpness = int(match["sharpness"])
    if match["family"] == "FC":
        return SOFT if sharpness in _SOFT_CANON else SHARP
    return SOFT if sharpness < _SHARP_SIEMENS else SHARP
