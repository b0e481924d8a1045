"""What came of a study, a series at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pacsnode.assembly.attributes import text
from pacsnode.assembly.kinds import MASK_CLASSES
from pacsnode.assembly.ours import is_ours
from pacsnode.assembly.ranking import named
from storage.records import Series, Study


@dataclass(frozen=True, slots=True)
class Arrival:
    """A series as far as it is kept; `senders` are AE titles, none of what came from files."""

    modality: str
    series_instance_uid: str
    sop_class_uid: str
    series_number: str | None
    objects: int
    first_received_at: datetime  # aware, UTC
    last_received_at: datetime
    senders: tuple[str, ...]
    is_mask: bool
    is_ours: bool
    sentence: str


def arrivals(study: Study) -> tuple[Arrival, ...]:
    """Every series of a study, in the order in which they began to come."""
    came = [_arrival(series) for series in study.series if series.instances]
    return tuple(sorted(came, key=lambda one: (one.first_received_at, one.series_instance_uid)))


def _arrival(series: Series) -> Arrival:
    instances = series.instances
    times = sorted(one.received_at for one in instances)
    senders = tuple(sorted({one.calling_ae for one in instances if one.calling_ae}))
    ours = all(is_ours(one) for one in instances)
    return Arrival(
        modality=series.modality,
        series_instance_uid=series.series_instance_uid,
        sop_class_uid=series.sop_class_uid,
        series_number=text(instances[0].attributes, "SeriesNumber"),
        objects=len(instances),
        first_received_at=times[0],
        last_received_at=times[-1],
        senders=senders,
        is_mask=series.sop_class_uid in MASK_CLASSES and not ours,
        is_ours=ours,
        sentence=", ".join(
            (named(series), *_from(senders), _when(times[0], times[-1]), *_own(ours))
        ),
    )


def _from(senders: tuple[str, ...]) -> Iterator[str]:
    if senders:
        yield f"from {' and '.join(senders)}"


def _when(first: datetime, last: datetime) -> str:
    began, ended = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (first, last))
    return f"{began} UTC" if began == ended else f"{began} to {ended} UTC"


def _own(ours: bool) -> Iterator[str]:
    if ours:
        yield "a document of our own"
