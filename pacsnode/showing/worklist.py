"""The worklist: studies with where they stand, a page at a time. The one place that names patients.

What the catalog answers is kept until an object or a line of the journal comes, so that a page that
asks every few seconds costs next to nothing.
"""

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from pacsnode.showing.states import GROUPS, Group, State, state_of_study
from storage.archive import Archive
from storage.catalog.overview import QueriedStudy, StandingStudy, Wanted

ROWS: Final = 50
MOST_WORDS: Final = 8
KEPT_ANSWERS: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of the worklist is wanted; `group` None is all of it, pages count from 1."""

    search: str = ""
    since: date | None = None
    until: date | None = None
    group: Group | None = None
    page: int = 1


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """A study; `modalities` and the counts are of what is kept."""

    study_instance_uid: str
    patient_name: str
    patient_id: str
    study_date: date | None
    accession_number: str
    study_description: str
    modalities: tuple[str, ...]
    series: int
    instances: int
    state: State
    received_at: datetime  # of the last object; aware, UTC


@dataclass(frozen=True, slots=True)
class Worklist:
    """One page, and how many studies of the search there are by group; `None` among them is all."""

    entries: tuple[WorklistEntry, ...]
    page: int
    pages: int
    total: int  # in the group asked for
    counts: dict[str, int]  # by group, and "all"
    is_empty: bool  # nothing has ever come


class Worklists:
    """Answers for any number of askers; threads may share one."""

    def __init__(self, archive: Archive, quiet_s: float) -> None:
        self._archive = archive
        self._quiet = timedelta(seconds=quiet_s)
        self._kept: OrderedDict[Wanted, tuple[object, tuple[StandingStudy, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, asked: Asked, now: datetime | None = None) -> Worklist:
        """The page that is asked for, or the last one where there are fewer."""
        arriving_since = (now or datetime.now(UTC)) - self._quiet
        wanted = _wanted(asked)
        standing = [
            (one, state_of_study(one.lines, is_arriving=one.received_at > arriving_since))
            for one in self._standing(wanted)
        ]
        counts = Counter[str](state.group for _, state in standing)
        shown = [pair for pair in standing if asked.group in (None, pair[1].group)]
        pages = max(1, -(-len(shown) // ROWS))
        page = min(max(asked.page, 1), pages)
        return Worklist(
            entries=self._entries(shown[(page - 1) * ROWS : page * ROWS]),
            page=page,
            pages=pages,
            total=len(shown),
            counts={"all": len(standing), **{group: counts[group] for group in GROUPS}},
            is_empty=not standing and wanted == Wanted(),
        )

    def _standing(self, wanted: Wanted) -> tuple[StandingStudy, ...]:
        version = self._archive.overview.version()
        with self._lock:
            kept = self._kept.get(wanted)
        if kept is not None and kept[0] == version:
            return kept[1]
        found = self._archive.overview.standing(wanted)
        with self._lock:
            self._kept[wanted] = (version, found)
            self._kept.move_to_end(wanted)
            while len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)
        return found

    def _entries(self, shown: Sequence[tuple[StandingStudy, State]]) -> tuple[WorklistEntry, ...]:
        queried = self._archive.overview.queried([one.study_instance_uid for one, _ in shown])
        return tuple(
            _entry(one, queried[one.study_instance_uid], state)
            for one, state in shown
            if one.study_instance_uid in queried
        )


def _entry(one: StandingStudy, told: QueriedStudy, state: State) -> WorklistEntry:
    return WorklistEntry(
        study_instance_uid=one.study_instance_uid,
        patient_name=readable_name(told.patient_name or ""),
        patient_id=told.patient_id or "",
        study_date=read_date(told.study_date or ""),
        accession_number=told.accession_number or "",
        study_description=told.study_description or "",
        modalities=told.modalities,
        series=told.series,
        instances=told.instances,
        state=state,
        received_at=one.received_at,
    )


def readable_name(name: str) -> str:
    """A PN (PS3.5 6.2.1) as people write it: family name, then the others; first group that is."""
    group = next((part for part in name.split("=") if part.strip("^ ")), "")
    family, *others = [part.strip() for part in group.split("^")]
    given = " ".join(part for part in others if part)
    return ", ".join(part for part in (family, given) if part)


def read_date(text: str) -> date | None:
    """A DA as a date, None where it is none."""
    try:
        return datetime.strptime(text.replace(".", ""), "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _wanted(asked: Asked) -> Wanted:
    # commas and carets part names, on the page and in DICOM
    words = tuple(re.split(r"[\s,^]+", asked.search.strip())) if asked.search.strip() else ()
    return Wanted(
        words=tuple(word for word in words if word)[:MOST_WORDS],
        since=f"{asked.since:%Y%m%d}" if asked.since else None,
        until=f"{asked.until:%Y%m%d}" if asked.until else None,
    )
