"""Work that stopped outside its own workflow: given up, broken off or parked, and taken up."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from dbos import DBOS, WorkflowStatus, WorkflowStatusString

from pacsnode import log
from pacsnode.jobs import journal
from pacsnode.jobs.asked import RETRY, is_cancelled
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.judged import open_orders
from pacsnode.jobs.orders import DeliveryOrder, ReportOrder
from pacsnode.jobs.withholding import undelivered
from pacsnode.jobs.workflows import (
    CRASHES,
    delivery_prefix,
    enqueue_delivery,
    enqueue_fetch,
    enqueue_report,
    fetch_prefix,
    report_prefix,
    start_report,
    tries_of,
)
from storage.records import Decision

FORGET_AFTER = timedelta(days=30)
FORGET_AT_ONCE = 100
LONGEST_TRY_S = 7200.0  # to bring or to fetch: peers that fall silent time out long before

# a report goes out after those before it: behind a delivered one nothing is left
NOTHING_LEFT = ("delivered", "context", "cancelled")

_ACTIVE = {
    WorkflowStatusString.PENDING.value,
    WorkflowStatusString.ENQUEUED.value,
    WorkflowStatusString.DELAYED.value,
}
_BROKEN = [
    WorkflowStatusString.ERROR.value,
    WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value,
    WorkflowStatusString.CANCELLED.value,
]


def take_up_deliveries(desk: Desk) -> None:
    """At the start of a process: try parked deliveries once more, and start any that is missing.

    What persons said of reports and is not written down yet comes first.
    """
    for last in desk.archive.latest_decisions():
        if last.mask_instance_uid is not None and last.state not in NOTHING_LEFT:
            lines = desk.archive.decisions(last.study_instance_uid, last.mask_instance_uid)
            _take_up_judgements(lines, desk)
            for order in _undelivered(lines):
                _take_up(order)
            if last.code == RETRY:
                take_up_now(last, desk)


def _undelivered(lines: Sequence[Decision]) -> Iterator[DeliveryOrder]:
    """Of every report of a mask, to every destination that it was made for and may go to."""
    made = {line.facts["seed"]: line for line in lines if "documents" in line.facts}
    for seed, line in made.items():
        for name in undelivered(lines, seed):
            yield _delivery_of(line, name)


def _take_up(order: DeliveryOrder) -> None:
    tries = DBOS.list_workflows(
        workflow_id_prefix=delivery_prefix(order), load_input=False, load_output=False
    )
    if not any(job.status in _ACTIVE for job in tries):
        first = 1 + max(map(tries_of, tries), default=0)
        enqueue_delivery({**order, "first": first}, first)


def take_up_now(line: Decision, desk: Desk) -> bool:
    """Go on now with whatever a mask waits for: its fetch, its report, what was said of it, its
    deliveries.

    False where a delivery is under way: what it comes to decides whether another try is due. The
    report itself is ordered by whoever looks at the study.
    """
    mask = str(line.mask_instance_uid)
    lines = desk.archive.decisions(line.study_instance_uid, mask)
    if is_cancelled(lines):
        return True
    _take_up_judgements(lines, desk)
    under_way = any(map(_is_under_way, _undelivered(lines)))  # by now, and not by what follows
    for order in _undelivered(lines):
        _take_up(order)
        _hurry(delivery_prefix(order))
    seeds = {one.facts["seed"] for one in lines if "seed" in one.facts}
    for prefix in (fetch_prefix(mask), *map(report_prefix, seeds)):
        _hurry(prefix)
    return not under_way


def _take_up_judgements(lines: Sequence[Decision], desk: Desk) -> None:
    names = [destination.name for destination in desk.settings.destinations]
    for judgement in open_orders(lines, names):
        start_report(judgement)


def _is_under_way(order: DeliveryOrder) -> bool:
    return bool(
        DBOS.list_workflows(
            workflow_id_prefix=delivery_prefix(order), status=WorkflowStatusString.PENDING.value,
            load_input=False, load_output=False,
        )
    )  # fmt: skip


def _hurry(prefix: str) -> None:
    for job in DBOS.list_workflows(
        workflow_id_prefix=prefix, status=WorkflowStatusString.DELAYED.value, load_input=False,
        load_output=False,
    ):  # fmt: skip
        DBOS.set_workflow_delay(job.workflow_id, delay_seconds=0)


def _delivery_of(line: Decision, destination: str) -> DeliveryOrder:
    order = DeliveryOrder(
        study=line.study_instance_uid,
        mask=str(line.mask_instance_uid),
        seed=line.facts["seed"],
        documents=list(line.facts["documents"]),
        destination=destination,
        destinations=list(line.facts["destinations"]),
    )
    if journal.REJECTS in line.facts:
        order["rejects"] = line.facts[journal.REJECTS]
    return order


class Reviver:
    """Looks now and then for jobs that ended in an error or ended the process too often."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def look(self) -> None:
        """Try again what may be tried, write down what is given up, forget what is long done."""
        for found in DBOS.list_workflows(status=_BROKEN, load_input=False, load_output=False):
            job = DBOS.list_workflows(workflow_ids=[found.workflow_id])[0]
            self._revive(job)
            # only now: its successor is in the file, or what became of it in the journal
            DBOS.delete_workflows([found.workflow_id])
        self._shorten_delays()
        _forget(before=datetime.now(UTC) - FORGET_AFTER)

    def stuck(self) -> bool:
        """Whether a job has run for longer than any may: its record could not be written.

        Only a new process takes it up again.
        """
        pending = WorkflowStatusString.PENDING.value
        running = DBOS.list_workflows(status=pending, load_output=False)
        now_s = time.time()
        return any(
            job.dequeued_at is not None and now_s - job.dequeued_at / 1000 > self._longest_s(job)
            for job in running
        )

    def _longest_s(self, job: WorkflowStatus) -> float:
        if job.name != "report" or job.input is None:
            return LONGEST_TRY_S
        order, _ = job.input["args"]
        return 2 * self._desk.allowed_s(len(order["lesion_numbers"]))

    def _revive(self, job: WorkflowStatus) -> None:
        if job.input is None:
            return
        order, tries = job.input["args"]
        log.event(
            "job-broken-off", level=logging.ERROR, workflow_id=job.workflow_id, status=job.status
        )
        pause_s = self._desk.backoff.delay_s(tries)
        if job.name == "deliver":
            enqueue_delivery(order, tries + 1, pause_s)
        elif job.name == "fetch":
            enqueue_fetch(order, tries + 1, pause_s)
        elif job.status == WorkflowStatusString.ERROR.value:
            enqueue_report(order, tries + 1, pause_s)  # the journal could not be written
        else:
            self._give_up(order)

    def _give_up(self, order: ReportOrder) -> None:
        lines = self._desk.archive.decisions(order["study"], order["mask"])
        last = journal.last_of_seed(lines, order["seed"])
        if last is not None and last.state in ("ready", "running"):
            journal.write(
                self._desk.archive, order["study"], order["mask"], "failed", "process-ended",
                [f"The worker process ended {CRASHES + 1} times with this report under way."],
                seed=order["seed"],
            )  # fmt: skip
            self._desk.look_again.put(order["study"])

    def _shorten_delays(self) -> None:
        """No try is further away than the longest pause, even where the clock was set back."""
        latest_ms = (time.time() + self._desk.backoff.cap_s) * 1000
        delayed = WorkflowStatusString.DELAYED.value
        for job in DBOS.list_workflows(status=delayed, load_input=False, load_output=False):
            if job.delay_until_epoch_ms is not None and job.delay_until_epoch_ms > latest_ms:
                DBOS.set_workflow_delay(job.workflow_id, delay_seconds=self._desk.backoff.cap_s)


def _forget(before: datetime) -> None:
    """Drop jobs done long ago: the journal and the archive tell of them, and the file stays small.

    Were one ordered once more, it would find its report in the archive.
    """
    done = DBOS.list_workflows(
        status=WorkflowStatusString.SUCCESS.value, completed_before=before.isoformat(),
        load_input=False, load_output=False, limit=FORGET_AT_ONCE,
    )  # fmt: skip
    if done:
        DBOS.delete_workflows([job.workflow_id for job in done])
