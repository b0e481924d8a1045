"""The workflows, fetch, report and deliver: their steps, their ids, and what follows a failed try.

A step runs at least once and its outcome is recorded once, so that every step may be repeated.
A try that should be repeated later ends its workflow and enqueues the next one with a delay: it
waits in the file, holds no thread, and the record of a long outage stays short.
"""

from typing import Literal

from dbos import (
    DBOS,
    SetEnqueueOptions,
    SetWorkflowID,
    WorkflowStatus,
    WorkflowStatusString,
)

from pacsnode.jobs import journal
from pacsnode.jobs.asking import ask
from pacsnode.jobs.bringing import bring
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.making import make
from pacsnode.jobs.opening import DELIVERIES, FETCHES, REPORTS
from pacsnode.jobs.orders import Asked, DeliveryOrder, FetchOrder, Made, ReportOrder, Sent
from pacsnode.jobs.withholding import held
from storage.records import CaseState

COUNTED_TRIES = 3  # of a report that a faulty model or a defect ended
ASKED_TIMES = 100  # in one round: about a day; a new object of the study begins another
CRASHES = 25  # restarts with a report under way, whichever report ended the process

FETCH = "fetch:"  # what the id of every try to fetch begins with

_desk: Desk | None = None


def work_at(desk: Desk | None) -> None:
    """Set what the jobs of this process work with; before DBOS is launched."""
    global _desk  # a job's arguments are JSON, so that it cannot be handed in
    _desk = desk


def at_desk() -> Desk:
    """What the jobs of this process work with."""
    if _desk is None:
        raise RuntimeError("work_at comes before any job")
    return _desk


def report_prefix(seed: str) -> str:
    """What the ids of all tries of a report begin with."""
    return f"report:{seed}:"


def report_id(order: ReportOrder, tries: int) -> str:
    """The same order is the same job, however often it is given."""
    return f"{report_prefix(order['seed'])}{tries}"


def fetch_prefix(mask: str) -> str:
    """What the ids of all tries to fetch what a mask lacks begin with."""
    return f"{FETCH}{mask}:"


def delivery_prefix(order: DeliveryOrder) -> str:
    """One document and one destination are one job; what the ids of all its tries begin with."""
    return f"deliver:{order['documents'][-1]}:{order['destination']}:"


def delivery_id(order: DeliveryOrder, tries: int) -> str:
    """The id of one try."""
    return f"{delivery_prefix(order)}{tries}"


def start_report(order: ReportOrder) -> None:
    """Enqueue an order, unless a try of it is still to come or under way."""
    prefix = report_prefix(order["seed"])
    tries = DBOS.list_workflows(workflow_id_prefix=prefix, load_input=False, load_output=False)
    if not tries:
        enqueue_report(order, 1)
    elif all(job.status == WorkflowStatusString.SUCCESS.value for job in tries):
        # asked only now: what a try came to is written before it ends
        lines = at_desk().archive.decisions(order["study"], order["mask"])
        last = journal.last_of_seed(lines, order["seed"])
        if last is not None and last.state in ("ready", "running"):
            first = 1 + max(map(tries_of, tries))
            enqueue_report({**order, "first": first}, first)


def tries_of(job: WorkflowStatus) -> int:
    """Which try a job is."""
    return int(job.workflow_id.rpartition(":")[2])


def enqueue_report(order: ReportOrder, tries: int, delay_s: float | None = None) -> None:
    """Enqueue a try of a report; one that was enqueued before stays as it is."""
    if DBOS.get_workflow_status(report_id(order, tries)) is None:
        with SetWorkflowID(report_id(order, tries)), SetEnqueueOptions(delay_seconds=delay_s):
            DBOS.enqueue_workflow(REPORTS, report, order, tries)


def enqueue_delivery(order: DeliveryOrder, tries: int, delay_s: float | None = None) -> None:
    """Enqueue a try of a delivery; one that was enqueued before stays as it is."""
    if DBOS.get_workflow_status(delivery_id(order, tries)) is None:
        with (
            SetWorkflowID(delivery_id(order, tries)),
            SetEnqueueOptions(queue_partition_key=order["destination"], delay_seconds=delay_s),
        ):
            DBOS.enqueue_workflow(DELIVERIES, deliver, order, tries)


def start_fetch(study: str, mask: str) -> None:
    """Have the sources asked for what a mask lacks, unless they are asked for it already."""
    prefix = fetch_prefix(mask)
    tries = DBOS.list_workflows(workflow_id_prefix=prefix, load_input=False, load_output=False)
    if all(job.status == WorkflowStatusString.SUCCESS.value for job in tries):
        first = 1 + max(map(tries_of, tries), default=0)
        order = FetchOrder(study=study, mask=mask, first=first, refused=[])
        enqueue_fetch(order, first, at_desk().backoff.first_s)


def enqueue_fetch(order: FetchOrder, tries: int, delay_s: float | None = None) -> None:
    """Enqueue a try to fetch; one that was enqueued before stays as it is."""
    fetch_id = f"{fetch_prefix(order['mask'])}{tries}"
    if DBOS.get_workflow_status(fetch_id) is None:
        with (
            SetWorkflowID(fetch_id),
            SetEnqueueOptions(queue_partition_key=order["study"], delay_seconds=delay_s),
        ):
            DBOS.enqueue_workflow(FETCHES, fetch, order, tries)


def studies_being_fetched() -> frozenset[str]:
    """The studies that images are being fetched for, or were when a process died: that goes on.

    A try that waits for its turn or its pause holds nothing up: a dead source costs no report.
    """
    tries = DBOS.list_workflows(
        workflow_id_prefix=FETCH, load_input=False, load_output=False,
        status=[WorkflowStatusString.PENDING.value, WorkflowStatusString.ENQUEUED.value],
    )  # fmt: skip
    return frozenset(str(job.queue_partition_key) for job in tries if job.recovery_attempts)


@DBOS.workflow(name="fetch", max_recovery_attempts=CRASHES)
def fetch(order: FetchOrder, tries: int) -> str:
    """Ask the sources for what a mask lacks; gives the outcome."""
    asked = ask_sources(order)
    note_asked(order, asked)
    round_ends = tries - order["first"] + 1 >= ASKED_TIMES
    if asked["outcome"] == "again" and not round_ends:
        later = FetchOrder(
            study=order["study"], mask=order["mask"], first=order["first"],
            refused=asked["refused"],
        )  # fmt: skip
        enqueue_fetch(later, tries + 1, at_desk().backoff.delay_s(tries - order["first"] + 1))
    return asked["outcome"]


@DBOS.workflow(name="report", max_recovery_attempts=CRASHES)
def report(order: ReportOrder, tries: int) -> str:
    """Make the documents of an order and send them on their way; gives the outcome."""
    if note_running(order) is False:  # None is what an earlier version of this step recorded
        return "not-wanted"
    reach("running-written")
    made = make_documents(order, _in_its_round(order, tries))
    reach("made-recorded")
    if made["outcome"] == "again":
        return _report_again(order, made, tries)
    if made["outcome"] in ("refused", "failed"):
        return _give_up(order, made["outcome"], made["code"], made["reasons"])
    note_reported(order, made)
    reach("reported-written")
    for destination in order["destinations"]:
        enqueue_delivery(_delivery(order, made["documents"], destination), 1)
    reach("deliveries-enqueued")
    return "reported"


def _report_again(order: ReportOrder, made: Made, tries: int) -> str:
    in_round = _in_its_round(order, tries)
    if made["counted"] and in_round >= COUNTED_TRIES:
        given_up = [*made["reasons"], f"Given up after {in_round} tries."]
        return _give_up(order, "failed", made["code"], given_up)
    if in_round == 1:
        note_outcome(order, "ready", journal.POSTPONED, made["reasons"])
    enqueue_report(order, tries + 1, at_desk().backoff.delay_s(in_round))
    return "postponed"


def _in_its_round(order: ReportOrder | DeliveryOrder, tries: int) -> int:
    """Which try of its round one is: a person who asks for another try begins a new round."""
    return tries - order.get("first", 1) + 1


def _give_up(
    order: ReportOrder, outcome: Literal["refused", "failed"], code: str, reasons: list[str]
) -> str:
    note_outcome(order, outcome, code, reasons)
    at_desk().look_again.put(order["study"])
    return outcome


def _delivery(order: ReportOrder, documents: list[str], destination: str) -> DeliveryOrder:
    delivery = DeliveryOrder(
        study=order["study"],
        mask=order["mask"],
        seed=order["seed"],
        documents=documents,
        destination=destination,
        destinations=order["destinations"],
    )
    if order.get("kind") == "rejected":
        delivery["rejects"] = order["judges"]
    return delivery


@DBOS.workflow(name="deliver", max_recovery_attempts=None)  # a delivery is never given up
def deliver(order: DeliveryOrder, tries: int) -> str:
    """Bring the documents to one destination; gives the outcome."""
    sent = bring_documents(order)
    reach("sent-recorded")
    if sent["outcome"] == "again":
        in_round = _in_its_round(order, tries)
        if in_round == 1:
            note_sent(order, sent)
        enqueue_delivery(order, tries + 1, at_desk().backoff.delay_s(in_round))
        return "postponed"
    note_sent(order, sent)
    reach("sent-written")
    conclude(order)
    return sent["outcome"]


# The journal's steps are patient: a locked or full disk comes back. A name is what a job that is
# under way is known by: one that changes breaks it off, and it is tried again from its beginning.


@DBOS.step(name="note_outcome", retries_allowed=True, max_attempts=20, backoff_rate=1.5)
def note_outcome(order: ReportOrder, state: CaseState, code: str, reasons: list[str]) -> None:
    """Write a line about the report of an order."""
    journal.write(
        at_desk().archive, order["study"], order["mask"], state, code, reasons, seed=order["seed"]
    )


@DBOS.step(name="note", retries_allowed=True, max_attempts=20, backoff_rate=1.5)
def note_running(order: ReportOrder) -> bool:
    """Write that a report is being made; False, and nothing, where nobody waits for it now."""
    if not journal.is_wanted(at_desk().archive, order):
        return False
    journal.write(
        at_desk().archive, order["study"], order["mask"], "running", "running", [],
        seed=order["seed"],
    )  # fmt: skip
    return True


@DBOS.step(name="note_reported", retries_allowed=True, max_attempts=20, backoff_rate=1.5)
def note_reported(order: ReportOrder, made: Made) -> None:
    """Write down that the documents are made and kept; name what they take the place of."""
    journal.write_reported(at_desk().archive, order, made)


@DBOS.step(name="note_sent", retries_allowed=True, max_attempts=20, backoff_rate=1.5)
def note_sent(order: DeliveryOrder, sent: Sent) -> None:
    """Write down what came of a try to deliver."""
    journal.write_sent(at_desk().archive, order, sent)


@DBOS.step(name="note_asked", retries_allowed=True, max_attempts=20, backoff_rate=1.5)
def note_asked(order: FetchOrder, asked: Asked) -> None:
    """Write down what was asked of whom, and what came."""
    journal.write_asked(at_desk().archive, order, asked)


@DBOS.step(name="ask_sources")
def ask_sources(order: FetchOrder) -> Asked:
    """One try to fetch."""
    return ask(order, at_desk())


@DBOS.step(name="conclude", retries_allowed=True, max_attempts=20, backoff_rate=1.5)
def conclude(order: DeliveryOrder) -> None:
    """Write down where the report stands when no destination is left to wait for."""
    archive = at_desk().archive
    lines = archive.decisions(order["study"], order["mask"])
    journal.write_conclusion(archive, order, held(lines, order["seed"]))


@DBOS.step(name="make_documents")
def make_documents(order: ReportOrder, tries: int) -> Made:
    """The heavy step."""
    return make(order, at_desk(), is_last_try=tries >= COUNTED_TRIES)


@DBOS.step(name="bring_documents")
def bring_documents(order: DeliveryOrder) -> Sent:
    """One try to deliver."""
    return bring(order, at_desk(), rejected_broke_off=_rejected_broke_off(order))


def _rejected_broke_off(order: DeliveryOrder) -> bool:
    """Whether a process died with the report on its way that this note rejects: it may be there.

    The journal cannot say so: what came of that try was never written.
    """
    if "rejects" not in order:
        return False
    prefix = delivery_prefix({**order, "documents": [order["rejects"]]})
    tries = DBOS.list_workflows(workflow_id_prefix=prefix, load_input=False, load_output=False)
    return any((job.recovery_attempts or 0) > 1 for job in tries)  # the first start counts too
