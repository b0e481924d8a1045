"""What a mask refers to, and what of it has come."""

from collections.abc import Sequence
from dataclasses import dataclass

from pacsnode.assembly.attributes import items, text
from storage.records import Instance, Series

# what a mask may refer to beside images, by the beginning of its class: the study itself
# (RTReferencedStudySequence, a retired class), and earlier masks, value maps, reports, plans
_NO_IMAGES = tuple(
    f"1.2.840.10008.{tail}"
    for tail in ("3.1.2.", "5.1.4.1.1.66", "5.1.4.1.1.67", "5.1.4.1.1.88.", "5.1.4.1.1.11.",
                 "5.1.4.1.1.481.")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class References:
    """The images and series an object names, and which of the images nobody has."""

    instance_uids: frozenset[str]
    series_uids: frozenset[str]
    missing_uids: frozenset[str] = frozenset()

    def images_in(self, series: Series) -> int:
        """How many instances of the series are named."""
        return sum(one.sop_instance_uid in self.instance_uids for one in series.instances)

    def name(self, series: Series) -> bool:
        """Whether the series is named by its own UID."""
        return series.series_instance_uid in self.series_uids

    def point_to(self, series: Series) -> bool:
        """Whether the series, or any instance in it, is named."""
        return self.name(series) or self.images_in(series) > 0


def references_of(instance: Instance, candidates: Sequence[Series] = ()) -> References:
    """The references of one object, held against the series that are here."""
    named = {
        reference.sop_instance_uid
        for reference in instance.references
        if not (reference.sop_class_uid or "").startswith(_NO_IMAGES)
        and reference.sop_instance_uid != instance.study_instance_uid
    }
    present = {one.sop_instance_uid for series in candidates for one in series.instances}
    series = {
        reference.series_instance_uid
        for reference in instance.references
        if reference.series_instance_uid
    }
    series.update(instance.referenced_series)
    return References(frozenset(named), frozenset(series), frozenset(named - present))


def references_of_series(series: Series) -> References:
    """Everything that any image of a series refers to (a PET: the CT that corrected it)."""
    each = [references_of(one) for one in series.instances]
    images = {
        text(item, "ReferencedSOPInstanceUID") or ""
        for one in series.instances
        for item in items(one.attributes, "ReferencedImageSequence")
    }
    return References(
        frozenset(images).union(*(one.instance_uids for one in each)),
        frozenset[str]().union(*(one.series_uids for one in each)),
    )
