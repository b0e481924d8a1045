"""Choose the PET that a mask belongs to, or say why none can be chosen."""

from collections.abc import Sequence
from typing import Literal

from pacsnode.assembly.attributes import text, texts
from pacsnode.assembly.choice import Choice, Obstacle
from pacsnode.assembly.extent import Extent, cover
from pacsnode.assembly.gates import patient, space_of_mask, spaces_of
from pacsnode.assembly.kinds import is_derived, is_pet, motion, not_a_volume
from pacsnode.assembly.ranking import Criterion, deciding, named, preference_rank, ranked
from pacsnode.assembly.references import References
from pacsnode.assembly.stack import stack_of
from pacsnode.settings import Assembly
from storage.records import Instance, Series

Link = Literal["images", "series", "space"]
LINKS: tuple[Link, ...] = ("images", "series", "space")


def choose_pet(
    mask: Instance,
    references: References,
    candidates: Sequence[Series],
    extent: Extent | None,
    rules: Assembly,
) -> Choice:
    """The PET by the strongest link: images the mask refers to, its series UID, its space.

    A stronger link is never given up for a weaker one: a mask drawn on a gated PET is not
    measured on another.
    """
    pets = [series for series in candidates if is_pet(series)]
    if not pets:
        return Choice(None, "no-pet", ("No PET has come that could belong to this mask.",))
    link, linked = _strongest(mask, references, pets)
    if link is None:
        return _unlinked(mask, pets)
    criteria = _criteria(rules)
    obstacles = {one: _obstacle(mask, one, link, extent) for one in linked}
    usable = ranked([one for one in linked if obstacles[one] is None], criteria)
    strangers = [one for one in linked if _must_refuse(mask, one, link, obstacles[one])]
    passed_over = _passed_over(linked, obstacles) + _weaker(pets, linked, link, references)
    if strangers or not usable:
        first = strangers[0] if strangers else ranked(linked, criteria)[0]
        obstacle = obstacles[first]
        code = obstacle.code if obstacle else "no-pet"
        return Choice(None, code, passed_over, link != "space")
    tied = [one for one in usable if deciding(usable[0], one, criteria) is None]
    if len(tied) > 1:
        return Choice(None, "ambiguous-pet", (_tie(tied, link), *passed_over), link != "space")
    chosen = usable[0]
    reasons = (_why(chosen, usable, link, references, criteria), *passed_over)
    strays = link == "images" and any(references.point_to(one) for one in pets if one not in linked)
    return Choice(chosen, "ready", reasons, link != "space", _flags(mask, chosen, strays))


def _strongest(
    mask: Instance, references: References, pets: Sequence[Series]
) -> tuple[Link | None, list[Series]]:
    by_images = [one for one in pets if references.images_in(one)]
    by_series = [one for one in pets if references.name(one)]
    # the series that the object as a whole refers to outranks what single contours repeat:
    # programs copy contours with the image UIDs of the scan they were drawn on
    by_images = [one for one in by_images if one in by_series] or by_images
    in_space = [one for one in pets if space_of_mask(mask, one) == "same"]
    # a frame of reference may outlive its study: the mask's own study comes first
    at_home = [one for one in in_space if one.study_instance_uid == mask.study_instance_uid]
    for link, found in zip(LINKS, (by_images, by_series, at_home or in_space), strict=True):
        if found:
            return link, found
    return None, []


def _unlinked(mask: Instance, pets: Sequence[Series]) -> Choice:
    if not spaces_of(mask):
        reason = "The mask states no frame of reference and refers to none of the PETs here."
        return Choice(None, "no-frame-of-reference", (reason,))
    reasons = tuple(
        f"{named(one)} was passed over: it lies in another frame of reference than the mask, "
        "which does not refer to it."
        for one in ranked(pets, ())
    )
    return Choice(None, "frame-of-reference-mismatch", reasons)


def _obstacle(mask: Instance, pet: Series, link: Link, extent: Extent | None) -> Obstacle | None:
    flavour = not_a_volume(pet)
    if flavour is not None:
        return Obstacle(f"{flavour}-pet", f"it is a {flavour}, not a stack of slices")
    # a mask that does not say whose it is cannot vouch for images of two patients
    if patient([mask, pet.instances[0]], pet) == "other":
        return Obstacle("patient-mismatch", "it is of another patient than the mask")
    displaced = _displaced(mask, pet, link)
    if displaced is not None:
        return displaced
    stack = stack_of(pet)
    moving = motion(pet) or ("dynamic" if stack.has_time_slices() else None)
    if moving is not None:
        return Obstacle(f"{moving}-pet", f"it is {moving}: several time slices at one position")
    if cover(stack, extent) == "outside":
        return Obstacle("mask-outside-pet", "the mask lies wholly outside its slices")
    return None


def _displaced(mask: Instance, pet: Series, link: Link) -> Obstacle | None:
    # what points to a PET does not say where on it the mask lies
    verdict = space_of_mask(mask, pet)
    if verdict == "other":
        clause = f"the mask {_POINTS[link]} but lies in another frame of reference"
        return Obstacle("frame-of-reference-mismatch", clause)
    if verdict == "unknown":
        which = "it" if spaces_of(mask) else "the mask"
        clause = f"the mask {_POINTS[link]} but {which} states no frame of reference"
        return Obstacle("no-frame-of-reference", clause)
    return None


_POINTS = {
    "images": "refers to its images",
    "series": "names its series",
    "space": "shares its frame of reference",
}


def _must_refuse(mask: Instance, pet: Series, link: Link, obstacle: Obstacle | None) -> bool:
    # another patient in the mask's own study, or one the mask points to, is no matter of choice;
    # in another study a frame of reference may be shared by accident
    if obstacle is None or obstacle.code != "patient-mismatch":
        return False
    return link != "space" or pet.study_instance_uid == mask.study_instance_uid


def _criteria(rules: Assembly) -> tuple[Criterion, ...]:
    return (
        Criterion("it is attenuation- and decay-corrected", _uncorrected),
        Criterion(
            "a setting prefers its description",
            lambda pet: preference_rank(pet, rules.pet_preference),
        ),
        Criterion("its ImageType is ORIGINAL", is_derived),
    )


def _uncorrected(pet: Series) -> tuple[bool, bool]:
    attenuation = _is_corrected(pet, {"ATTN"}, "AttenuationCorrected")
    decay = _is_corrected(pet, {"DECY", "DECAY"}, "DecayCorrected")
    return not attenuation, not decay


def _is_corrected(pet: Series, values: set[str], enhanced_keyword: str) -> bool:
    # PS3.3 C.8.9.1: Corrected Image (0028,0051); enhanced PET says it in attributes of their own
    return all(
        not values.isdisjoint(value.upper() for value in texts(one.attributes, "CorrectedImage"))
        or (text(one.attributes, enhanced_keyword) or "").upper() == "YES"
        for one in pet.instances
    )


def _why(
    chosen: Series,
    usable: Sequence[Series],
    link: Link,
    references: References,
    criteria: Sequence[Criterion],
) -> str:
    points = _POINTS[link]
    if link == "images":
        points = f"refers to {references.images_in(chosen)} of its objects"
    sentence = f"{named(chosen)} was chosen: the mask {points}"
    if len(usable) > 1:
        criterion = deciding(chosen, usable[1], criteria)
        others = ", ".join(named(one) for one in usable[1:])
        if criterion is not None:
            sentence += (
                f", and of {len(usable)} such PETs {criterion.clause} (passed over: {others})"
            )
    return sentence + "."


def _tie(tied: Sequence[Series], link: Link) -> str:
    listed = "; ".join(named(one) for one in tied)
    points = _POINTS[link].replace("its", "their")
    return (
        f"{len(tied)} PETs fit equally well (the mask {points}): {listed}. A mask that refers "
        "to one of them alone, or the setting assembly.pet_preference, would decide."
    )


def _passed_over(
    linked: Sequence[Series], obstacles: dict[Series, Obstacle | None]
) -> tuple[str, ...]:
    return tuple(
        f"{named(one)} was passed over: {obstacle.clause}."
        for one in ranked(linked, ())
        if (obstacle := obstacles[one]) is not None
    )


def _weaker(
    pets: Sequence[Series], linked: Sequence[Series], link: Link, references: References
) -> tuple[str, ...]:
    sentences = []
    for one in ranked([pet for pet in pets if pet not in linked], ()):
        clause = f"the mask {_POINTS[link].replace('its', 'the')} of another PET"
        if link == "space":
            clause = "it lies in another frame of reference, or in another study, than the mask"
        elif references.images_in(one):
            clause = (
                f"the mask names another PET's series, though it repeats "
                f"{references.images_in(one)} of this one's images"
            )
        sentences.append(f"{named(one)} was passed over: {clause}.")
    return tuple(sentences)


def _flags(mask: Instance, chosen: Series, strays: bool) -> tuple[str, ...]:
    flags = []
    if strays:
        flags.append("references-disagree")
    if patient([mask], chosen) == "unknown":
        flags.append("patient-unverified")
    if any(_uncorrected(chosen)):
        flags.append("pet-not-corrected")
    return tuple(flags)
