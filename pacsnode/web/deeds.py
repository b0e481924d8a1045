"""What persons can do over the web, once for forms and API: role, words, and the call itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from starlette.exceptions import HTTPException

from engine.report.attesting import LONGEST_NAME
from pacsnode.access import Person, Role
from pacsnode.access.audit import Audit
from pacsnode.acting import Actions, CannotAct
from storage.archive import Archive
from storage.header import is_uid
from storage.records import Decision

STUDY: Final = "/studies/{study}"
MASK: Final = f"{STUDY}/masks/{{mask}}"
REPORT: Final = f"{STUDY}/reports/{{sr}}"


@dataclass(frozen=True, slots=True)
class Deed:
    """One action: `done` is what the page says once it is asked for."""

    name: str
    path: str
    role: Role
    summary: str
    done: str
    needs_reason: bool = False
    takes_findings: bool = False
    names_observer: bool = False  # in a document, which says who judged


DEEDS: Final = (
    Deed("requeue", f"{STUDY}/requeue", "operate", "Look at every mask of a study anew.",
         "Every mask of the study is looked at anew."),
    Deed("retry", f"{MASK}/retry", "operate",
         "Try now what failed, was refused or cancelled, or waits for its next try.",
         "Another try was asked for."),
    Deed("cancel", f"{MASK}/cancel", "operate",
         "Make and send nothing more for a mask until somebody retries or requeues it.",
         "Nothing more is made or sent for the mask.", needs_reason=True),
    Deed("accept", f"{MASK}/accept", "verify", "Release a report that is held for review.",
         "The report goes to its destinations.", needs_reason=True),
    Deed("verify", f"{REPORT}/verify", "verify",
         "Have a report written anew as VERIFIED, with your name, in the place of this one.",
         "The verified report is being written.", needs_reason=True, names_observer=True),
    Deed("reject", f"{REPORT}/reject", "verify",
         "Reject a report, or some of its findings, with the reason.",
         "The rejection is being written.", needs_reason=True, takes_findings=True,
         names_observer=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What a person says with an action.

    `findings` are Tracking Unique Identifiers; `observer` is who judges, where the way of the
    person tells no name.
    """

    reason: str = ""
    findings: tuple[str, ...] = ()
    observer: str = ""


class Doing:
    """Calls the actions, and has each told in the audit log with its outcome."""

    def __init__(self, actions: Actions, archive: Archive, audit: Audit) -> None:
        self._actions = actions
        self._archive = archive
        self._audit = audit

    def perform(self, deed: Deed, path: Mapping[str, str], person: Person, told: Told) -> Decision:
        """What was written down. Raises CannotAct, HTTPException (404) and StorageError."""
        study = self._checked(path)
        objects = [uid for name, uid in path.items() if name != "study"]
        try:
            if deed.needs_reason and not told.reason.strip():
                raise CannotAct("A reason has to be given.")
            if deed.names_observer:
                person = _observing(person, told.observer)
            decision = self._call(deed, path, person, told.reason.strip(), told.findings)
        except CannotAct:
            self._audit.write(
                deed.name, person, study=study, objects=objects, reason=told.reason,
                outcome="failure",
            )  # fmt: skip
            raise
        self._audit.write(deed.name, person, study=study, objects=objects, reason=told.reason)
        return decision

    def _checked(self, path: Mapping[str, str]) -> str:
        """The study, where everything the path names is a UID and the report lies in the study."""
        if not all(is_uid(uid) for uid in path.values()):
            raise HTTPException(404, "A UID of the path is none.")
        if "sr" in path:
            report = self._archive.instance(path["sr"])
            if report is None or report.study_instance_uid != path["study"]:
                raise HTTPException(404, "No such report is kept in this study.")
        return path["study"]

    def _call(
        self,
        deed: Deed,
        path: Mapping[str, str],
        person: Person,
        reason: str,
        findings: tuple[str, ...],
    ) -> Decision:
        actions = self._actions
        match deed.name:
            case "requeue":
                return actions.requeue(path["study"], person)
            case "retry":
                return actions.retry(path["study"], path["mask"], person)
            case "cancel":
                return actions.cancel(path["study"], path["mask"], person, reason)
            case "accept":
                return actions.accept(path["study"], path["mask"], person, reason)
            case "verify":
                return actions.verify(path["sr"], person, reason)
            case "reject":
                return actions.reject(path["sr"], person, reason, findings or None)
        raise RuntimeError(f"No action is called {deed.name}")


def _observing(person: Person, observer: str) -> Person:
    """Who judges, by name: whoever sits at this machine says so. Raises CannotAct."""
    told = " ".join(observer.split())
    if person.way != "loopback":
        if told and told != person.name:
            raise CannotAct(
                f"The document names {person.name}, who is logged in: leave `observer` away."
            )
        return person
    if not told:
        raise CannotAct(
            "The document names who judges: give your name, Family^Given, as `observer`."
        )
    if len(told) > LONGEST_NAME:
        raise CannotAct(f"The name is longer than {LONGEST_NAME} characters.")
    return replace(person, name=told)
