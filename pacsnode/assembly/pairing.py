"""Which PET and CT belong to a mask object, from what is here, with what speaks against them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pacsnode.assembly.choice import Choice
from pacsnode.assembly.ct import Anchor, choose_ct
from pacsnode.assembly.extent import Extent, cover, extent_of, lesions_extent
from pacsnode.assembly.pet import choose_pet
from pacsnode.assembly.ranking import named
from pacsnode.assembly.references import References, references_of, references_of_series
from pacsnode.assembly.stack import Stack, faults_of, stack_of, stated_slices
from pacsnode.settings import Assembly
from storage.records import Instance, Series

_PET_FAULTS: Final = {
    "gaps": "pet-has-gaps",
    "duplicate-positions": "duplicate-positions",
    "mixed-orientations": "mixed-orientations",
    "missing-positions": "missing-positions",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a pairing cannot be reported: a stable code, and the sentences that say it."""

    code: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """A mask object with the PET and CT chosen for it."""

    mask: Instance
    references: References
    pet: Choice
    pet_stack: Stack
    ct: Choice
    refusal: Refusal | None
    reasons: tuple[str, ...]
    flags: tuple[str, ...]


def pair(mask: Instance, candidates: Sequence[Series], rules: Assembly) -> Pairing:
    """Choose the PET, then the CT; the order of the candidates does not matter."""
    references = references_of(mask, candidates)
    extent = extent_of(mask, references, candidates)
    pet = choose_pet(mask, references, candidates, extent, rules)
    pet_stack = stack_of(pet.series) if pet.series else Stack(None, ())
    if pet.series is None:
        ct = Choice(None, "no-ct", ())
    else:
        anchor = Anchor(
            mask=mask,
            references=references,
            extent=lesions_extent(extent, pet_stack),
            pet=pet.series,
            pet_stack=pet_stack,
            pet_references=references_of_series(pet.series),
        )
        ct = choose_ct(anchor, candidates, rules)
    remarks = _remarks(references, pet, pet_stack, ct, extent)
    return Pairing(
        mask=mask,
        references=references,
        pet=pet,
        pet_stack=pet_stack,
        ct=ct,
        refusal=_refusal(pet, pet_stack, ct),
        reasons=(*pet.reasons, *ct.reasons, *(sentence for _, sentence in remarks)),
        flags=tuple(dict.fromkeys((*pet.flags, *ct.flags, *(flag for flag, _ in remarks)))),
    )


def _refusal(pet: Choice, pet_stack: Stack, ct: Choice) -> Refusal | None:
    if pet.series is None:
        return Refusal(pet.code, pet.reasons)
    if ct.code == "patient-mismatch":
        return Refusal(ct.code, ct.reasons)
    faults = faults_of(pet.series, pet_stack)
    if not faults:
        return None
    clauses = (f"{named(pet.series)} cannot be used: {fault.clause}." for fault in faults)
    return Refusal(_PET_FAULTS[faults[0].code], (*clauses, *pet.reasons))


def _remarks(
    references: References, pet: Choice, pet_stack: Stack, ct: Choice, extent: Extent | None
) -> list[tuple[str, str]]:
    """What a report must say of its inputs: (flag, sentence)."""
    found = []
    missing = len(references.missing_uids)
    if missing:
        named_count = len(references.instance_uids)
        sentence = f"Of {named_count} images that the mask refers to, {missing} never came."
        found.append(("references-missing", sentence))
    if pet.series is None:
        return found
    stated = stated_slices(pet.series)
    if stated is not None and 0 < len(pet_stack.positions_mm) < stated:
        sentence = (
            f"The PET states {stated} slices; {len(pet_stack.positions_mm)} are here, "
            "without gaps between them."
        )
        found.append(("fewer-slices-than-stated", sentence))
    if cover(pet_stack, extent) == "partly":
        found.append(("partly-outside-pet", "The mask object reaches beyond the PET's slices."))
    if ct.series is None:
        found.append(("no-ct", "It is reported without CT."))
    return found
