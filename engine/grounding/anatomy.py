"""What the words claim of a place, against where the mask lies; flags, never edits."""

from collections.abc import Sequence

from engine.codes import BILATERAL, LEFT, RIGHT, same
from engine.grounding.midline import side_in_body
from engine.grounding.neighbours import is_elsewhere, labelled, neighbours_of, site_stated
from engine.grounding.regions import is_far_from, is_outside
from engine.grounding.sides import claims_both_sides
from engine.grounding.site_table import Site, is_within, site_coded, table
from engine.grounding.sites import Located
from engine.grounding.uptake import flags_of_uptake
from engine.lesion import Lesion
from engine.volume import Scan

BILATERAL_CLAIM = "bilateral-claim"
LATERALITY_CONFLICT = "laterality-conflict"
ORGAN_MISMATCH = "organ-mismatch"
REGION_MISMATCH = "region-mismatch"


def flags_of(
    text: str, located: Located, lesion: Lesion, scan: Scan, context: Sequence[Lesion]
) -> tuple[str, ...]:
    """Kebab-case flags for conflicts of `text` with the mask; none where nothing can be judged.

    `context` are the measured segments that are no lesion; organ and region are judged by them
    alone. What one scan needs is computed once.
    """
    return (
        *_side(text, located, lesion, scan),
        *_place(located, lesion, context),
        *flags_of_uptake(text, lesion, scan, context),
    )


def _side(text: str, located: Located, lesion: Lesion, scan: Scan) -> tuple[str, ...]:
    claimed = located.laterality
    if same(claimed, BILATERAL) or claims_both_sides(text):
        return (BILATERAL_CLAIM,)  # one mask is one lesion
    if not (same(claimed, LEFT) or same(claimed, RIGHT)):
        return ()
    stated, centroid = lesion.segment.laterality, lesion.measurements.centroid_lps_mm
    lies = side_in_body(scan, centroid) if centroid is not None else None
    known = [side for side in (lies, stated) if same(side, LEFT) or same(side, RIGHT)]
    return (LATERALITY_CONFLICT,) if any(not same(claimed, side) for side in known) else ()


def _place(located: Located, lesion: Lesion, context: Sequence[Lesion]) -> tuple[str, ...]:
    claimed, organs = _claimed(located), labelled(context)
    if claimed is None:
        return ()
    neighbours = neighbours_of(lesion, organs) if organs else []
    is_another = _is_anothers(claimed, site_stated(lesion.segment))
    flags = []
    if is_another or is_elsewhere(claimed, neighbours, organs):
        flags.append(ORGAN_MISMATCH)
    elif any(_are_one(one.site, claimed) for one in neighbours):
        return ()  # the organ itself is near: breathing may have moved it out of its region
    if claimed.region is not None:
        centroid = lesion.measurements.centroid_lps_mm
        is_other_height = centroid is not None and is_outside(claimed.region, centroid[2], context)
        if is_other_height or is_far_from(claimed.region, neighbours):
            flags.append(REGION_MISMATCH)
    return tuple(flags)


def _is_anothers(claimed: Site, stated: Site | None) -> bool:
    """Whether the mask object codes its segment as lying in another organ than the words."""
    groups = (claimed.organ_group, stated.organ_group if stated else None)
    if stated is None or None in groups or claimed.rank < 2 or stated.rank < 2:
        return False
    if "Lymph node" in groups and claimed.region == stated.region:
        return False  # a node may be said to lie in the organ next to it
    return groups[0] != groups[1] and not _are_one(claimed, stated)


def _are_one(one: Site, other: Site) -> bool:
    return is_within(one, other) or is_within(other, one)


def _claimed(located: Located) -> Site | None:
    if located.name is not None:
        return table().get(located.name)
    return site_coded(located.site) if located.site is not None else None
