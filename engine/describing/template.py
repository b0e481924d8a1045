"""The describer that needs no model: sentences made of measurements and of what the mask says."""

from collections.abc import Sequence

from pydicom.sr.coding import Code

from engine.acquisition import SuvRefusal
from engine.codes import ANATOMICAL_STRUCTURES, BILATERAL, same
from engine.finding import Description, ModelIdentity, printed, printed_cm, printed_cm3
from engine.lesion import Lesion, Measurements, Segment
from engine.volume import Scan

LABEL_LENGTH = 64  # a label is LO (PS3.5 6.2); longer ones come from broken writers

BELOW_PET_RESOLUTION = (
    "SUV is not stated: the segment is finer than the PET and holds the centre of none of its"
    " voxels; the volume is the drawn one."
)


class Template:
    """Describes a lesion by its measurements alone."""

    identity = ModelIdentity(name="template", version="1")

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description]:
        """One description a lesion, in order; the essential sentence comes first."""
        return [self._described(scan, lesion) for lesion in lesions]

    def _described(self, scan: Scan, lesion: Lesion) -> Description:
        segment, measured = lesion.segment, lesion.measurements
        sentences = _lesion if segment.role == "lesion" else _context
        parts = [*sentences(segment, measured), *_why_no_suv(scan, measured)]
        return Description(" ".join(parts), site_of(segment), segment.laterality)


def site_of(segment: Segment) -> Code | None:
    """Where the mask object says the segment lies: its anatomic region, or the anatomy it is."""
    if segment.anatomic_region is not None:
        return segment.anatomic_region
    if any(same(segment.property_category, anatomy) for anatomy in ANATOMICAL_STRUCTURES):
        return segment.property_type
    return None


def _lesion(segment: Segment, measured: Measurements) -> list[str]:
    place, label = _place(segment), segment.label.strip()[:LABEL_LENGTH]
    subject = f"Lesion {segment.number}"
    if place:
        subject += f", {place}"
    elif label:
        subject += f" ({label})"
    sentences = [f"{subject}: {', '.join(_essentials(measured))}."]
    more = _more(measured)
    if more:
        sentences.append(f"{', '.join(more)}.")
    if measured.hottest_slice is not None and measured.hottest_slice.instance_number is not None:
        sentences.append(f"Hottest in PET image {measured.hottest_slice.instance_number}.")
    if place and label:
        sentences.append(f'Drawn as "{label}".')
    return sentences


def _context(segment: Segment, measured: Measurements) -> list[str]:
    name = _place(segment) or segment.label.strip()[:LABEL_LENGTH] or f"segment {segment.number}"
    values = [*_named(measured, ("SUVmax", "SUVmean")), _volume(measured.volume_cm3)]
    return [
        f"Context: {name}.",
        "Context segment, not reported as a lesion.",
        f"{', '.join(values)}.",
    ]


def _essentials(measured: Measurements) -> list[str]:
    values = _named(measured, ("SUVmax",))
    if measured.long_axis_mm is not None and measured.short_axis_mm is not None:
        long_axis, short_axis = (
            printed_cm(measured.long_axis_mm),
            printed_cm(measured.short_axis_mm),
        )
        values.append(f"{long_axis} x {short_axis} cm")
    values.append(_volume(measured.volume_cm3))
    if measured.suv_refusal is not None:
        values.append("no SUV")
    return values


def _more(measured: Measurements) -> list[str]:
    values = _named(measured, ("SUVmean", "SUVpeak"))
    if measured.total_lesion_glycolysis_g is not None:
        values.append(f"total lesion glycolysis {printed(measured.total_lesion_glycolysis_g, 1)} g")
    return values


def _named(measured: Measurements, names: Sequence[str]) -> list[str]:
    values = {
        "SUVmax": measured.suv_max,
        "SUVmean": measured.suv_mean,
        "SUVpeak": measured.suv_peak,
    }
    return [f"{name} {printed(value, 1)}" for name in names if (value := values[name]) is not None]


def _volume(volume_cm3: float) -> str:
    return f"{printed_cm3(volume_cm3)} cm3"


def _why_no_suv(scan: Scan, measured: Measurements) -> list[str]:
    if measured.suv_refusal is None:
        return []
    if isinstance(scan.suv, SuvRefusal) and scan.suv.code == measured.suv_refusal:
        return [f"SUV is not stated: {scan.suv.sentence.rstrip('.')}."]
    if measured.suv_refusal == "below-pet-resolution":
        return [BELOW_PET_RESOLUTION]
    return [f"SUV is not stated: {measured.suv_refusal.replace('-', ' ')}."]


def _place(segment: Segment) -> str:
    site = site_of(segment)
    if site is None:
        return ""
    words = [_in_sentence(site.meaning)]
    if segment.laterality is not None:
        both = same(segment.laterality, BILATERAL)
        words.insert(0, "bilateral" if both else _in_sentence(segment.laterality.meaning))
    return " ".join(words)


def _in_sentence(meaning: str) -> str:
    """A code meaning in the middle of a sentence: "Lung" as "lung", "C6 vertebra" as it is."""
    return meaning[:1].lower() + meaning[1:] if meaning[1:2].islower() else meaning
