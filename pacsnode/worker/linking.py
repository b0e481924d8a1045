"""Which studies' masks a change in another study may concern: a PET and its mask in two studies."""

from collections import defaultdict
from collections.abc import Iterable

from storage.archive import Archive
from storage.records import Instance


class Links:
    """Studies joined by a frame of reference or by references, found when one of them changes."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)
        self._keys: dict[str, frozenset[str]] = {}  # of masks, which never change

    def note(self, study: str, needs: Iterable[str]) -> None:
        """The masks of `study` have candidates in each of `needs`."""
        for other in needs:
            if other != study:
                self._dependents[other].add(study)

    def reached_from(self, changed: str) -> set[str]:
        """Other studies with masks that the change may complete, or give another image to."""
        reached = set(self._dependents[changed])
        unmet = [
            line
            for line in self._archive.latest_decisions(states=("waiting", "refused"))
            if line.mask_instance_uid is not None and line.study_instance_uid != changed
        ]
        study = self._archive.study(changed) if unmet else None
        if study is not None:
            here = set().union(*(series_keys(series.instances) for series in study.series))
            reached |= {
                line.study_instance_uid
                for line in unmet
                if not here.isdisjoint(self._keys_of(str(line.mask_instance_uid)))
            }
        return reached

    def _keys_of(self, mask_uid: str) -> frozenset[str]:
        if mask_uid not in self._keys:
            mask = self._archive.instance(mask_uid)
            self._keys[mask_uid] = mask_keys(mask) if mask is not None else frozenset()
        return self._keys[mask_uid]


def series_keys(instances: Iterable[Instance]) -> set[str]:
    """By what a mask may point at these instances."""
    keys = {one.sop_instance_uid for one in instances}
    keys |= {one.series_instance_uid for one in instances}
    return keys | {one.frame_of_reference_uid for one in instances if one.frame_of_reference_uid}


def mask_keys(mask: Instance) -> frozenset[str]:
    """What a mask points at: instances, series, and its frame of reference."""
    keys = {reference.sop_instance_uid for reference in mask.references}
    keys |= set(mask.referenced_series)
    return frozenset(keys | ({mask.frame_of_reference_uid or ""} - {""}))
