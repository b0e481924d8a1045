"""One source asked for what a mask lacks: what it lists, what is not here, and what came."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pacsnode.addresses import AnySource, WebSource
from pacsnode.asking.dicomweb import WebAsked
from pacsnode.asking.dimse import dimse_asked
from pacsnode.asking.door import Door
from pacsnode.asking.listed import Asked, ListedSeries
from pacsnode.assembly.needs import Needs
from pacsnode.settings import Settings
from pacsnode.web_peer import conversation
from storage.archive import Archive
from storage.errors import StorageError
from storage.records import Kept

IMAGES = {"PT": 0, "CT": 1}  # in the order in which they are fetched
# a mask may name these too, and no report is made from them
NO_IMAGES = frozenset({"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "RWV"})
NO_STUDY = "2.25.0"
MOST_ELSEWHERE = 20  # series that a mask names outside its study


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of asking one source."""

    source: str
    series: int  # that it lists and the mask needs
    listed: int  # their instances
    lacking: int  # of which were not here
    came: int  # of which are here now

    @property
    def sentence(self) -> str:
        if not self.series:
            return f"{self.source} was asked, and lists no series that it needs."
        said = f"{self.source} lists {self.listed} images in {self.series} series that it needs"
        if not self.lacking:
            return f"{said}; all of them are here."
        return f"{said}; asked for the {self.lacking} that were not here, {self.came} came."


def fetch(source: AnySource, needs: Needs, archive: Archive, settings: Settings) -> Fetched:
    """Ask a source for exactly the instances that are missing.

    Raises PeerFailed, PeerRefused, and StorageError where another try may keep what came.
    """
    door = Door(archive, settings.listen, source.name)
    series = listed = lacking = came = 0
    with _asked(source, settings, door) as peer:
        for one in _wanted(peer, needs):
            uids = peer.instances(one)
            absent = [uid for uid in uids if archive.instance(uid) is None]
            if absent:
                peer.fetch(one, absent, whole=len(absent) == len(uids))
            series, listed, lacking = series + 1, listed + len(uids), lacking + len(absent)
            came += sum(archive.instance(uid) is not None for uid in absent)
    return Fetched(source.name, series, listed, lacking, came)


@contextmanager
def _asked(source: AnySource, settings: Settings, door: Door) -> Iterator[Asked]:
    if isinstance(source, WebSource):
        with conversation(source, settings.listen.maximum_object_mb << 20) as peer:
            yield WebAsked(source, peer, door)
    else:
        with dimse_asked(source, settings.listen.ae_title, door) as asked:
            yield asked


def greet(source: AnySource, settings: Settings) -> None:
    """Ask a source for a study that nobody has; nothing is fetched. Raises as `fetch` does."""
    with _asked(source, settings, Door(_Shut(), settings.listen, source.name)) as peer:
        peer.series(NO_STUDY)


class _Shut:
    """Keeps nothing."""

    def keep(self, encoded: bytes, **_: object) -> Kept:
        raise StorageError("Nothing was asked for")


def _wanted(peer: Asked, needs: Needs) -> list[ListedSeries]:
    """The series that a mask names, and the PET and CT of its study in its frame of reference."""
    here = peer.series(needs.study_instance_uid)
    elsewhere = sorted(needs.series_instance_uids - {one.series_instance_uid for one in here})
    named = [one for uid in elsewhere[:MOST_ELSEWHERE] for one in peer.series(None, uid)]
    found = {one.series_instance_uid: one for one in (*here, *named) if _is_needed(one, needs)}
    return sorted(found.values(), key=lambda one: IMAGES.get(one.modality, len(IMAGES)))


def _is_needed(series: ListedSeries, needs: Needs) -> bool:
    if series.series_instance_uid in needs.series_instance_uids:
        return series.modality not in NO_IMAGES
    frames = {series.frame_of_reference_uid, needs.frame_of_reference_uid} - {None}
    in_study = series.study_instance_uid == needs.study_instance_uid
    return in_study and series.modality in IMAGES and len(frames) <= 1
