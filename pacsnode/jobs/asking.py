"""One try to get from the sources what a mask lacks."""

import logging
from datetime import UTC, datetime

from pacsnode import log
from pacsnode.access.audit import open_audit
from pacsnode.access.audit_message import Partner, Transfer
from pacsnode.addresses import AnySource, Source
from pacsnode.asking.fetching import fetch
from pacsnode.assembly.needs import Needs, needs_of
from pacsnode.errors import PeerFailed, PeerRefused
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.orders import Asked, FetchOrder
from storage.errors import StorageError
from storage.records import CaseState

MAY_BE_ASKED_FOR: frozenset[CaseState] = frozenset({"waiting", "refused"})


def ask(order: FetchOrder, desk: Desk) -> Asked:
    """Ask one source after the other, until nothing is missing; never raises.

    Asking again is harmless: what has come is not asked for, and what comes twice is kept once.
    """
    try:
        return _ask(order, desk)
    except StorageError as exc:
        log.event("fetch-put-off", level=logging.ERROR, error=exc, reason=str(exc))
    except Exception as exc:  # noqa: BLE001 the fetching step: a mask is never lost to a defect
        log.event("fetch-fault", level=logging.ERROR, error=exc, where=log.where(exc))
    return Asked(outcome="again", sentences=[], refused=order["refused"])


def _ask(order: FetchOrder, desk: Desk) -> Asked:
    refused = list(order["refused"])
    sentences: list[str] = []
    if _still_coming(order["study"], desk):
        return Asked(outcome="again", sentences=[], refused=refused)
    for source in desk.settings.sources:
        needs = _needs(order, desk)
        if needs is None:
            return Asked(outcome="over", sentences=sentences, refused=refused)
        if source.name in refused:
            continue
        reach("asking")
        sentence, goes_on = _asked(source, needs, desk)
        sentences.append(sentence)
        refused += [] if goes_on else [source.name]
    over = _needs(order, desk) is None or len(set(refused)) == len(desk.settings.sources)
    return Asked(outcome="over" if over else "again", sentences=sentences, refused=refused)


def _still_coming(study: str, desk: Desk) -> bool:
    """Whether somebody sends the study just now: what is missing may be on its way."""
    last = desk.archive.last_received_at(study)
    ago_s = (datetime.now(UTC) - last).total_seconds() if last is not None else 0.0
    return 0 <= ago_s < desk.backoff.first_s


def _needs(order: FetchOrder, desk: Desk) -> Needs | None:
    mask = desk.archive.instance(order["mask"])
    last = desk.archive.decisions(order["study"], order["mask"])[-1:]
    if mask is None or not any(line.state in MAY_BE_ASKED_FOR for line in last):
        return None
    return needs_of(mask, desk.archive.candidates(mask), desk.settings.assembly)


def _asked(source: AnySource, needs: Needs, desk: Desk) -> tuple[str, bool]:
    """What came of it, and whether the source may be asked again."""
    try:
        fetched = fetch(source, needs, desk.archive, desk.settings)
    except PeerRefused as exc:
        return f"{source.name} refuses: {exc}. To fix: {exc.fix}.", False
    except (PeerFailed, StorageError) as exc:
        return f"{source.name} could not be asked now: {exc}.", True
    log.event(
        "source-asked", study_instance_uid=needs.study_instance_uid, source=source.name,
        count=fetched.came,
    )  # fmt: skip
    by_move = isinstance(source, Source) and source.retrieve == "move"
    if fetched.came and not by_move:  # what is moved comes through our listener, which tells of it
        came = {needs.study_instance_uid: fetched.came}
        open_audit(desk.settings).transferred(Transfer("fetched", Partner.at(source), came))
    return fetched.sentence, True
