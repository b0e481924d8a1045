"""Destinations: when each last took a report, and why it last did not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pacsnode.addresses import AnyDestination, WebDestination
from pacsnode.jobs import journal
from pacsnode.settings import Settings
from storage.archive import Archive

FAILURES = (journal.PARKED, "delivery-postponed")


@dataclass(frozen=True, slots=True)
class DestinationShown:
    """`state` by what was heard last; `unused` where nothing was ever sent."""

    name: str
    address: str
    way: Literal["C-STORE", "STOW-RS"]
    mode: str
    state: Literal["ok", "failing", "refusing", "unused"]
    last_success_at: datetime | None  # aware, UTC
    last_failure_at: datetime | None
    last_failure_reasons: tuple[str, ...]
    last_failure_study: str | None


def destinations_shown(archive: Archive, settings: Settings) -> tuple[DestinationShown, ...]:
    """Every destination of the settings, in their order."""
    return tuple(_shown(archive, one) for one in settings.destinations)


def _shown(archive: Archive, destination: AnyDestination) -> DestinationShown:
    taken = archive.overview.last_about(destination.name, (journal.DELIVERED_TO,))
    failed = archive.overview.last_about(destination.name, FAILURES)
    state: Literal["ok", "failing", "refusing", "unused"] = "unused"
    if failed is not None and (taken is None or failed.decided_at > taken.decided_at):
        state = "refusing" if failed.code == journal.PARKED else "failing"
    elif taken is not None:
        state = "ok"
    return DestinationShown(
        name=destination.name,
        mode=destination.mode,
        address=destination.address,
        way="STOW-RS" if isinstance(destination, WebDestination) else "C-STORE",
        state=state,
        last_success_at=taken.decided_at if taken is not None else None,
        last_failure_at=failed.decided_at if failed is not None else None,
        last_failure_reasons=failed.reasons if failed is not None else (),
        last_failure_study=failed.study_instance_uid if failed is not None else None,
    )
