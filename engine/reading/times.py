"""DICOM dates and times as datetimes of one clock (PS3.5 6.2: DA, TM, DT; PS3.3 C.12.1.1)."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from engine.acquisition import parse_offset

# Coarser than a minute is no time: DT "20250101" must not become midnight.
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?")
_DATE_TIME = re.compile(r"(\d{8})(\d{4}(?:\d{2}(?:\.\d{1,6})?)?)([+-]\d{4})?")


@dataclass(frozen=True, slots=True)
class Moment:
    """A date and time as stated, with its own offset from UTC where one is stated."""

    local: datetime
    offset: timedelta | None = None

    def seen_by(self, clock: timedelta | None) -> datetime:
        """As the wall clock with that offset shows it; unchanged where an offset is unknown."""
        if clock is None or self.offset is None:
            return self.local
        return self.local - self.offset + clock


def parse_date(text: str | None) -> date | None:
    """A DA, or None where it is no date."""
    found = _DATE.fullmatch(text or "")
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def parse_time(text: str | None) -> time | None:
    """A TM of at least hours and minutes, or None."""
    found = _TIME.fullmatch(text or "")
    if not found:
        return None
    hours, minutes, seconds, fraction = found.groups()
    microseconds = int((fraction or "0").ljust(6, "0"))
    try:
        # A leap second is told as the one before it: Python's clock has none.
        return time(int(hours), int(minutes), min(int(seconds or 0), 59), microseconds)
    except ValueError:
        return None


def parse_date_time(text: str | None) -> Moment | None:
    """A DT of at least hours and minutes, or None."""
    found = _DATE_TIME.fullmatch(text or "")
    if not found:
        return None
    day, hour = parse_date(found[1]), parse_time(found[2])
    offset = parse_offset(found[3])
    if day is None or hour is None or (found[3] and offset is None):
        return None
    return Moment(datetime.combine(day, hour), offset)


def joined(day_text: str | None, time_text: str | None) -> Moment | None:
    """A DA with its TM."""
    day, hour = parse_date(day_text), parse_time(time_text)
    return None if day is None or hour is None else Moment(datetime.combine(day, hour))
