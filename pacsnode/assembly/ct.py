"""Choose the CT that goes with a mask and its PET; a tie is broken, never refused."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pacsnode.assembly.attributes import moment, number, text
from pacsnode.assembly.choice import Choice, Obstacle
from pacsnode.assembly.extent import Extent, cover, covered_part, extent_of_stack
from pacsnode.assembly.gates import patient, space
from pacsnode.assembly.kernels import kernel_rank
from pacsnode.assembly.kinds import is_ct, not_a_volume
from pacsnode.assembly.ranking import Criterion, deciding, named, preference_rank, ranked
from pacsnode.assembly.references import References
from pacsnode.assembly.stack import Stack, faults_of, stack_of
from pacsnode.settings import Assembly
from storage.records import Instance, Series


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a CT is held against: the mask, where its lesions lie, the PET, what both refer to."""

    mask: Instance
    references: References
    extent: Extent | None
    pet: Series
    pet_stack: Stack
    pet_references: References

    @property
    def known(self) -> tuple[Instance, Instance]:
        """Who the patient is, as far as mask and PET say."""
        return self.mask, self.pet.instances[0]


def choose_ct(anchor: Anchor, candidates: Sequence[Series], rules: Assembly) -> Choice:
    """The best CT in the PET's frame of reference that holds the mask; none is no refusal."""
    cts = [series for series in candidates if is_ct(series)]
    if not cts:
        return Choice(None, "no-ct", ("No CT has come that could belong to this PET.",))
    stacks = {ct: stack_of(ct) for ct in cts}
    obstacles = {ct: _obstacle(anchor, ct, stacks[ct]) for ct in cts}
    usable = [ct for ct in cts if obstacles[ct] is None]
    passed_over = tuple(
        f"{named(ct)} was passed over: {obstacle.clause}."
        for ct in ranked(cts, ())
        if (obstacle := obstacles[ct]) is not None
    )
    if any(_must_refuse(anchor, ct, obstacles[ct]) for ct in cts):
        return Choice(None, "patient-mismatch", passed_over)
    if not usable:
        return Choice(None, "no-ct", passed_over)
    criteria = _criteria(anchor, stacks, rules)
    order = ranked(usable, criteria)
    chosen = order[0]
    return Choice(
        chosen,
        "ready",
        (_why(order, criteria), *passed_over),
        _is_named(anchor, chosen),
        ("patient-unverified",) if patient(anchor.known, chosen) == "unknown" else (),
    )


def _obstacle(anchor: Anchor, ct: Series, stack: Stack) -> Obstacle | None:
    flavour = not_a_volume(ct)
    if flavour is not None:
        return Obstacle(flavour, f"it is a {flavour}, not a stack of slices")
    if space(anchor.pet.frame_of_reference_uid, ct.frame_of_reference_uid) != "same":
        return Obstacle("frame-of-reference-mismatch", "it is not in the PET's frame of reference")
    if patient(anchor.known, ct) == "other":
        return Obstacle("patient-mismatch", "it is of another patient than the mask and the PET")
    faults = faults_of(ct, stack)
    if faults:
        return Obstacle(faults[0].code, faults[0].clause)
    held = cover(stack, anchor.extent)
    if held in ("partly", "outside"):
        return Obstacle("mask-not-covered", "it does not cover the mask")
    if held == "unknown" and covered_part(stack, extent_of_stack(anchor.pet_stack)) == 0:
        return Obstacle("mask-not-covered", "it covers no part of the PET")
    return None


def _must_refuse(anchor: Anchor, ct: Series, obstacle: Obstacle | None) -> bool:
    # in another study a frame of reference may be shared by accident
    if obstacle is None or obstacle.code != "patient-mismatch":
        return False
    return _is_named(anchor, ct) or ct.study_instance_uid == anchor.mask.study_instance_uid


def _criteria(
    anchor: Anchor, stacks: Mapping[Series, Stack], rules: Assembly
) -> tuple[Criterion, ...]:
    home = anchor.mask.study_instance_uid
    begun = begun_at(anchor.pet)
    criteria = [
        Criterion("the mask refers to it", lambda ct: not anchor.references.point_to(ct)),
        Criterion("the PET refers to it", lambda ct: not anchor.pet_references.point_to(ct)),
        Criterion("it lies in the mask's study", lambda ct: ct.study_instance_uid != home),
        Criterion(
            "a setting prefers its description",
            lambda ct: preference_rank(ct, rules.ct_preference),
        ),
        Criterion("its kernel is for attenuation or soft tissue", kernel_rank),
        Criterion("it is nearest to the PET in time", lambda ct: _apart_s(begun_at(ct), begun)),
        Criterion("its slices are thinner", _thickness_mm),
    ]
    if anchor.extent is None:
        # where the lesions lie is not known: prefer what covers the PET, to a tenth
        pet_extent = extent_of_stack(anchor.pet_stack)
        covers = Criterion(
            "it covers more of the PET",
            lambda ct: -round(covered_part(stacks[ct], pet_extent) or 0, 1),
        )
        criteria.insert(0, covers)
    return tuple(criteria)


def _is_named(anchor: Anchor, ct: Series) -> bool:
    return anchor.references.point_to(ct) or anchor.pet_references.point_to(ct)


def _why(order: Sequence[Series], criteria: Sequence[Criterion]) -> str:
    sentence = f"{named(order[0])} was chosen"
    if len(order) == 1:
        return sentence + ": it is the only usable CT in the PET's frame of reference."
    others = ", ".join(named(one) for one in order[1:])
    criterion = deciding(order[0], order[1], criteria)
    clause = criterion.clause if criterion else "nothing tells them apart but their UIDs"
    return f"{sentence}: of {len(order)} usable CTs {clause} (passed over: {others})."


def begun_at(series: Series) -> datetime | None:
    """When the first slice was acquired, as stated; else when the series began."""
    for pair in (("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "SeriesTime")):
        stated = {
            tuple(text(one.attributes, key) or "" for key in pair) for one in series.instances
        }
        for day, time in sorted(stated):  # DA and TM sort as text
            found = moment({"day": day, "time": time}, "day", "time")
            if found is not None:
                return found
    whole = {text(one.attributes, "AcquisitionDateTime") or "" for one in series.instances}
    found_whole = (
        moment({"day": one[:8], "time": re.split("[+-]", one[8:])[0]}, "day", "time")
        for one in sorted(whole)
    )
    return next((one for one in found_whole if one is not None), None)


def _apart_s(one: datetime | None, other: datetime | None) -> float:
    if one is None or other is None:
        return math.inf
    return abs((one - other).total_seconds())


def _thickness_mm(ct: Series) -> float:
    stated = (number(one.attributes, "SliceThickness") for one in ct.instances)
    return min((value for value in stated if value), default=math.inf)
