"""The document that says what a person said of a report, made of that report and the journal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydicom import Dataset, dcmread

from engine.errors import Unreadable
from engine.report.attesting import Judgement, verified, without
from engine.report.rejecting import rejection_note
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.judged import KIND, judgement_of_seed
from pacsnode.jobs.orders import ReportOrder


def judged_document(order: ReportOrder, desk: Desk) -> Dataset:
    """What an order of this kind asks for; the same whenever it is asked. Raises EngineError."""
    lines = desk.archive.decisions(order["study"], order["mask"])
    asked = judgement_of_seed(lines, order["seed"])
    sr = desk.archive.instance(order["judges"])
    if asked is None or sr is None:
        raise Unreadable(f"The report {order['judges']} or what was said of it is no longer here")
    organization = desk.settings.report.verifying_organization
    return document_of(dcmread(sr.path), asked.facts, organization)


def document_of(sr: Dataset, facts: Mapping[str, Any], organization: str) -> Dataset:
    """What the facts of a judgement make of the SR that was judged. Raises InvalidReport."""
    judgement = Judgement(
        seed=str(facts["seed"]),
        name=str(facts["by"]),
        organization=organization,
        at=datetime.fromisoformat(facts["asked_at"]),
        reason=str(facts["reason"]),
    )
    match facts[KIND]:
        case "verified":
            return verified(sr, judgement)
        case "corrected":
            return without(sr, facts["findings"], judgement)
    return rejection_note(sr, judgement)
