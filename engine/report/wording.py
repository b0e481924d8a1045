"""The sentences of an SR that no describer writes: flags, provenance, definitions, absences."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from engine.acquisition import PetAcquisition, SuvConversion, SuvRefusal
from engine.finding import Finding, ModelIdentity, Report, Unreported, printed

DEMONSTRATION = (
    "DEMONSTRATION. Words by a demonstration trained on synthetic phantoms, not for clinical use."
)
PEAK_DEFINITION = (
    "SUVpeak is the highest mean of a 1 cm3 sphere (radius 6.2 mm) centred on a voxel of the"
    " segment; each voxel counts by the fraction of it that lies inside the sphere."
)
VERIFIED_BY = "AI draft verified by "
FINDINGS_REJECTED_BY = "Findings rejected by "
UNVERIFIED = re.compile(r"\bunverified\b", re.IGNORECASE)
VERIFIED = re.compile(r"\bverified\b", re.IGNORECASE)
AXES_DEFINITION = (
    "Long and short axis are taken on the 0.5 iso-contour of the segment in an axial slice of the"
    " PET grid; they are not the size on CT."
)


def comment_of(finding: Finding, *, is_demonstration: bool, name: str = "") -> str:
    """The Comment of one group: the describer's text, then every flag in plain words.

    It begins with `name` where one is given and the describer does not say it.
    """
    parts = [DEMONSTRATION] if is_demonstration else []
    text = finding.description.text.strip()
    parts.append(text if name in text else f"{name}: {text}")
    if finding.unable is not None:
        parts.append(f"Not described by the model: {finding.unable.code.replace('-', ' ')}.")
    flags = [*quality_flags(finding), *finding.description.warnings]
    if flags:
        parts.append(_flags_in_words(flags))
    return plain(" ".join(parts))


def verified_by(name: str, organization: str, at: datetime, reason: str) -> str:
    """The first sentence of a report that a person verified."""
    return plain(
        f"{VERIFIED_BY}{_who(name, organization, at)}. Reason: {_ended(reason)} A program wrote"
        " and measured what follows; it was not edited."
    )


def findings_rejected(
    findings: Sequence[str], name: str, organization: str, at: datetime, reason: str
) -> str:
    """The first sentence of a report that a person took findings out of."""
    return plain(
        f"{FINDINGS_REJECTED_BY}{_who(name, organization, at)}: {', '.join(findings)}. Reason:"
        f" {_ended(reason)} What follows is the rest of the AI draft, unverified."
    )


def report_rejected(name: str, organization: str, at: datetime, reason: str) -> str:
    """What the note on a report says that a person rejected."""
    return plain(f"AI report rejected by {_who(name, organization, at)}. Reason: {_ended(reason)}")


def _who(name: str, organization: str, at: datetime) -> str:
    spoken = " ".join(part for part in reversed(name.split("^")[:2]) if part)
    return f"{spoken} ({organization}) on {at:%Y-%m-%d %H:%M %Z}".rstrip()


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def quality_flags(finding: Finding) -> tuple[str, ...]:
    """What was noticed of a segment and its measurements, each once, in order."""
    lesion = finding.lesion
    return tuple(dict.fromkeys([*lesion.segment.flags, *lesion.measurements.flags]))


def run_of(writer: ModelIdentity) -> Iterator[str]:
    """How a model was run, a statement each; nothing for a describer that is no model."""
    if writer.weights_sha256 is not None:
        yield f"weights sha256 {writer.weights_sha256}"
    if writer.profile is not None:
        yield f"profile {writer.profile}"
    if writer.device is not None:
        yield f"on {writer.device} {writer.dtype or ''}".strip()
    if writer.prompt is not None:
        yield f'asked "{plain(writer.prompt)}"'


def is_kebab(flag: str) -> bool:
    """Whether a flag can be a code value."""
    return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", flag) is not None and len(flag) <= 64


def notes_of(report: Report, without_voxels: tuple[Finding, ...] = ()) -> list[str]:
    """The Comments of the document as a whole, a sentence or two each."""
    notes = [*report.notes]
    notes += [_absent(unreported) for unreported in report.unreported]
    notes += [_vanished(finding) for finding in without_voxels]
    notes += [_acquisition(report), _suv(report), PEAK_DEFINITION, AXES_DEFINITION]
    notes.append(
        f"Measurements follow pacsnode's definitions, version {report.measurement_version}."
    )
    flags = tuple(dict.fromkeys([*report.scan.acquisition.flags, *report.scan.suv.flags]))
    if flags:
        notes.append(_flags_in_words(flags))
    return [plain(note) for note in notes]


def tracer_of(acquisition: PetAcquisition) -> str | None:
    """The tracer as a reader says it: "Fluorodeoxyglucose F-18", not "... F^18^"."""
    if acquisition.tracer is None:
        return acquisition.tracer_name
    return re.sub(r"\^(\d+m?)\^", r"-\1", acquisition.tracer.meaning).strip("-")


def plain(text: str) -> str:
    """Text without control characters, which a peer's labels may carry."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).strip()


def _flags_in_words(flags: tuple[str, ...] | list[str]) -> str:
    return f"Flags: {', '.join(flag.replace('-', ' ') for flag in flags)}."


def _absent(unreported: Unreported) -> str:
    return (
        f'Not measured: segment {unreported.number} ("{unreported.label[:64]}"),'
        f" {unreported.code}: {unreported.sentence}"
    )


def _vanished(finding: Finding) -> str:
    segment = finding.lesion.segment
    drawn = segment.drawn_volume_cm3
    volume = "" if drawn is None else f" It was drawn with {printed(drawn, 3)} cm3."
    return (
        f'Not measured: segment {segment.number} ("{segment.label[:64]}"), below-pet-resolution:'
        f" it holds the centre of no PET voxel.{volume}"
    )


def _acquisition(report: Report) -> str:
    acquisition = report.scan.acquisition
    stated = [
        f"tracer {tracer_of(acquisition) or 'not stated'}",
        f"Units {acquisition.units or 'not stated'}",
        f"DecayCorrection {acquisition.decay_correction or 'not stated'}",
        *_quantities(report),
    ]
    return f"PET: {', '.join(stated)}."


def _quantities(report: Report) -> Iterator[str]:
    """Dose and weight as the conversion knows them: a header's number may be in another unit."""
    suv = report.scan.suv
    dose_mbq = None if suv.dose_bq is None else suv.dose_bq / 1e6
    yield f"injected dose {'not stated' if dose_mbq is None else f'{printed(dose_mbq, 1)} MBq'}"
    weight_kg = suv.weight_kg
    yield f"body weight {'not stated' if weight_kg is None else f'{printed(weight_kg, 1)} kg'}"
    if isinstance(suv, SuvConversion) and suv.uptake_min is not None:
        yield f"uptake time {printed(suv.uptake_min, 1)} min"


def _suv(report: Report) -> str:
    suv = report.scan.suv
    if isinstance(suv, SuvRefusal):
        return f"SUV refused ({suv.code}): {suv.sentence}"
    norm = "" if suv.norm == "bw" else f" The image was normalised to {suv.norm}."
    origin = "Source" if suv.reference_at is None else "Reference time"
    return f"SUV by body weight. {origin}: {suv.rule.rstrip('.')}.{norm}"
