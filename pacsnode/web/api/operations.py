"""The table of operations: what each takes, what it gives, who may ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, TypeVar, get_args

from starlette.exceptions import HTTPException

from pacsnode.access import Person, Role
from pacsnode.settings import Settings
from pacsnode.showing.destinations import DestinationShown, destinations_shown
from pacsnode.showing.in_force import SectionShown, settings_shown
from pacsnode.showing.quarantine import QuarantinedShown, one_quarantined, quarantine_shown
from pacsnode.showing.states import GROUPS, Group
from pacsnode.showing.studies import StudyShown, study_shown
from pacsnode.showing.worklist import Asked, Worklist, Worklists
from pacsnode.web.deeds import DEEDS, Deed, Doing, Told
from storage.archive import Archive
from storage.header import is_uid

Shown = TypeVar("Shown")


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asked with: values of the path and of the query, the body, and who asks."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    person: Person
    csrf: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value of the path or of the query string."""

    name: str
    place: Literal["path", "query"]
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path; `takes` are members of a JSON body: name, words, whether needed."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    role: Role
    summary: str
    gives: Any  # the type of the answer
    run: Callable[[Call], Any]
    parameters: tuple[Parameter, ...] = ()
    takes: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class PersonTold:
    """Who asks, and the token that a change needs where none of an API client is sent."""

    name: str
    roles: tuple[Role, ...]
    way: str
    csrf: str


@dataclass(frozen=True, slots=True)
class Written:
    """The line of the journal that an action wrote."""

    study_instance_uid: str
    mask_instance_uid: str | None
    state: str
    code: str
    reasons: tuple[str, ...]


_TEXT: Final = {"type": "string"}
_DATE: Final = {"type": "string", "format": "date"}
_UID: Final = {"type": "string", "pattern": r"^[0-9.]{1,64}$"}
_PATHS: Final = {
    "study": ("StudyInstanceUID", _UID),
    "mask": ("SOPInstanceUID of the SEG or RTSTRUCT", _UID),
    "sr": ("SOPInstanceUID of the report", _UID),
    "sha256": ("Digest of the object that was set apart", {"type": "string"}),
}
_OBSERVER: Final = (
    "Who judges, Family^Given: the document names them. Needed on loopback without users; who is"
    " logged in or sends a token is named without it"
)
_QUERY: Final = (
    Parameter("q", "query", "Words, each part of the patient's name or id or the accession number",
              _TEXT),
    Parameter("since", "query", "First study date", _DATE),
    Parameter("until", "query", "Last study date", _DATE),
    Parameter("group", "query", "Where studies stand", {"type": "string", "enum": [*GROUPS]}),
    Parameter("page", "query", "Page, from 1", {"type": "integer", "minimum": 1}),
)  # fmt: skip


def operations(
    archive: Archive, settings: Settings, worklists: Worklists, doing: Doing
) -> tuple[Operation, ...]:
    """Everything under `/api`."""
    quiet_s = settings.assembly.quiet_s

    def study(call: Call) -> StudyShown:
        uid = call.path["study"]
        return _found(study_shown(archive, uid, quiet_s) if is_uid(uid) else None)

    def quarantined(call: Call) -> QuarantinedShown:
        return _found(one_quarantined(archive, call.path["sha256"]))

    return (
        Operation("studies", "GET", "/studies", "read",
                  "The worklist: studies with where they stand, the latest first, 50 a page.",
                  Worklist, lambda call: worklists.page(_asked(call.query)), _QUERY),
        Operation("study", "GET", "/studies/{study}", "read",
                  "What came of a study, what was decided and why, reports with findings, "
                  "deliveries.", StudyShown, study, _in_path("study")),
        *(_operation(deed, doing) for deed in DEEDS),
        Operation("quarantine", "GET", "/quarantine", "read",
                  "Objects set apart from the first of their UID.",
                  tuple[QuarantinedShown, ...], lambda _: quarantine_shown(archive)),
        Operation("quarantined", "GET", "/quarantine/{sha256}", "read",
                  "One of them beside the first, with the attributes that differ.",
                  QuarantinedShown, quarantined, _in_path("sha256")),
        Operation("destinations", "GET", "/destinations", "read",
                  "Destinations with their last success and why they last failed.",
                  tuple[DestinationShown, ...], lambda _: destinations_shown(archive, settings)),
        Operation("settings", "GET", "/settings", "read", "Settings in force, secrets hidden.",
                  tuple[SectionShown, ...], lambda _: settings_shown(settings)),
        Operation("person", "GET", "/person", "read",
                  "Who asks, with which roles, and the token for changes without an API token.",
                  PersonTold, _person),
    )  # fmt: skip


def _operation(deed: Deed, doing: Doing) -> Operation:
    def run(call: Call) -> Written:
        reason, findings = call.body.get("reason", ""), call.body.get("findings", [])
        observer = call.body.get("observer", "")
        if not isinstance(reason, str):
            raise HTTPException(400, "The reason is a text.")
        if not isinstance(observer, str):
            raise HTTPException(400, "The observer is a name, Family^Given.")
        if not isinstance(findings, list) or not all(isinstance(one, str) for one in findings):
            raise HTTPException(400, "The findings are a list of Tracking Unique Identifiers.")
        line = doing.perform(deed, call.path, call.person, Told(reason, tuple(findings), observer))
        return Written(
            line.study_instance_uid, line.mask_instance_uid, line.state, line.code, line.reasons
        )

    takes: list[tuple[str, str, bool]] = []
    if deed.needs_reason:
        takes.append(("reason", "Why, in a sentence", True))
    if deed.names_observer:
        takes.append(("observer", _OBSERVER, False))
    if deed.takes_findings:
        takes.append(
            ("findings", "Tracking Unique Identifiers; without any, the whole report", False)
        )
    names = tuple(part[1:-1] for part in deed.path.split("/") if part.startswith("{"))
    return Operation(
        deed.name, "POST", deed.path, deed.role, deed.summary, Written, run, _in_path(*names),
        tuple(takes),
    )  # fmt: skip


def _in_path(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "path", *_PATHS[name]) for name in names)


def _found(shown: Shown | None) -> Shown:
    if shown is None:
        raise HTTPException(404, "Nothing of that name is known.")
    return shown


def _person(call: Call) -> PersonTold:
    person = call.person
    return PersonTold(person.name, tuple(sorted(person.roles)), person.way, call.csrf)


def _asked(query: Mapping[str, str]) -> Asked:
    """As the page reads it, but what cannot be read is said."""
    group = query.get("group")
    if group is not None and group not in get_args(Group):
        raise HTTPException(400, f"The group is one of {', '.join(GROUPS)}.")
    page = query.get("page", "1")
    if not (page.isascii() and page.isdigit() and 0 < len(page) < 7):
        raise HTTPException(400, "The page is a number from 1 on.")
    return Asked(
        search=query.get("q", "")[:200],
        since=_date(query, "since"),
        until=_date(query, "until"),
        group=group,  # type: ignore[arg-type]  # checked above
        page=int(page),
    )


def _date(query: Mapping[str, str], name: str) -> date | None:
    try:
        return date.fromisoformat(query[name]) if query.get(name) else None
    except ValueError:
        raise HTTPException(400, f"{name} is a date such as 2024-01-31.") from None
