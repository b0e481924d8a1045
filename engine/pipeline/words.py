"""Words for every lesion: the describer's, held to what was measured, or the template's."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.acquisition import SuvRefusal
from engine.describing.template import Template, site_of
from engine.errors import ModelFault
from engine.finding import Describer, Description, Finding, ModelIdentity, Unable
from engine.grounding import Grounded, ground
from engine.lesion import Lesion
from engine.volume import Scan

EMPTY = Unable("empty-text", "The model's words hold nothing that could be reported.")


@dataclass(frozen=True, slots=True, eq=False)
class Worded:
    """A finding, and the words of a model as they became it; None where no model spoke."""

    finding: Finding
    grounded: Grounded | None


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """The words of a report, who wrote them, and what to say of those that a model did not."""

    worded: tuple[Worded, ...]
    model: ModelIdentity
    notes: tuple[str, ...]


def describe_all(
    scan: Scan,
    lesions: Sequence[Lesion],
    describer: Describer,
    elsewhere: Sequence[Lesion] = (),
) -> Described:
    """Words for lesions by the describer, for context by the template, in the order given.

    A describer that is a model is held to what was measured, and where it has no words the
    template speaks. `elsewhere` are context segments of other mask objects. Raises ModelFault.
    """
    asked = [lesion for lesion in lesions if lesion.segment.role == "lesion"]
    answers = _asked(scan, asked, describer)
    if len(answers) != len(asked):
        name, told = describer.identity.name, f"{len(answers)} of {len(asked)}"
        raise ModelFault(f"{name} described {told} lesions")
    answer_of = dict(zip(map(id, asked), answers, strict=True))
    context = [lesion for lesion in lesions if lesion.segment.role != "lesion"]
    context += elsewhere
    is_model = not isinstance(describer, Template)
    worded = tuple(
        _worded(scan, lesion, answer_of.get(id(lesion)), context, is_model=is_model)
        for lesion in lesions
    )
    is_silent = is_model and all(one.grounded is None for one in worded)
    return Described(
        worded,
        Template.identity if is_silent else describer.identity,
        tuple(_notes([one.finding for one in worded], describer.identity)),
    )


def _asked(
    scan: Scan, lesions: Sequence[Lesion], describer: Describer
) -> Sequence[Description | Unable]:
    if not lesions:
        return ()
    if isinstance(scan.suv, SuvRefusal) and not isinstance(describer, Template):
        # without SUV only the mask can speak, whatever the model would say
        return [Unable("suv-refused", scan.suv.sentence)] * len(lesions)
    return describer.describe(scan, lesions)


def _worded(
    scan: Scan,
    lesion: Lesion,
    answer: Description | Unable | None,
    context: Sequence[Lesion],
    *,
    is_model: bool,
) -> Worded:
    """`answer` is None for a context segment."""
    if not is_model and isinstance(answer, Description):
        return Worded(Finding(lesion, answer), None)
    if isinstance(answer, Description):
        grounded = ground(answer, lesion, scan, context)
        if re.search(r"[^\W\d_]", grounded.text):
            return Worded(Finding(lesion, _fit(answer, grounded, lesion)), grounded)
        answer = EMPTY
    (description,) = Template().describe(scan, [lesion])
    writer = Template.identity if is_model else None
    return Worded(Finding(lesion, description, writer, answer), None)


def _fit(raw: Description, grounded: Grounded, lesion: Lesion) -> Description:
    """What may be reported; where the mask object states the site, its word counts."""
    stated = site_of(lesion.segment)
    return replace(
        raw,
        text=grounded.text,
        site=stated or grounded.site,
        laterality=lesion.segment.laterality if stated is not None else grounded.laterality,
        warnings=tuple(dict.fromkeys((*raw.warnings, *grounded.flags))),
    )


def _notes(findings: Sequence[Finding], model: ModelIdentity) -> Iterator[str]:
    """A sentence for each reason for which a model described no words."""
    numbers: dict[Unable, list[int]] = {}
    for finding in findings:
        if finding.unable is not None:
            numbers.setdefault(finding.unable, []).append(finding.lesion.segment.number)
    who = model.name if model.weights_sha256 is None else f"{model.name} {model.version}"
    for unable, which in numbers.items():
        segments = f"segment{'s' if len(which) > 1 else ''} {', '.join(map(str, which))}"
        yield (
            f"Not described by {who} but by the template: {segments},"
            f" {unable.code}: {unable.sentence}"
        )
