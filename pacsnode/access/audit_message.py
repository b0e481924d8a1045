"""DICOM audit messages (PS3.15 A.5.1): who did what to which study, as one line of XML.

The standard would name the patient in them (A.5.3). Ours do not: the study by its UID alone.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from pacsnode.access.person import Person
from pacsnode.addresses import DimsePeer, WebAddress

Outcome = Literal["success", "failure"]
OUTCOMES: Final = {"success": "0", "failure": "4"}  # nominal success, minor failure
LONGEST_TEXT: Final = 500
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
OWN: Final = "99PACSNODE"


class Code(NamedTuple):
    """A coded value (CodedValueType): of DICOM where nothing else is said."""

    value: str
    meaning: str
    system: str = "DCM"


class Event(NamedTuple):
    """What an action is in the audit log: EventID, EventTypeCode, EventActionCode."""

    id: Code
    type: Code | None
    action: Literal["C", "R", "U", "D", "E"]


AUTHENTICATION: Final = Code("110114", "User Authentication")
ACTIVITY: Final = Code("110100", "Application Activity")
TRANSFERRED: Final = Code("110104", "DICOM Instances Transferred")
ACCESSED: Final = Code("110103", "DICOM Instances Accessed")
ALERT: Final = Code("110113", "Security Alert")
RESTRICTED: Final = Code("110132", "Use of Restricted Function")
EVENTS: Final = {
    "start": Event(ACTIVITY, Code("110120", "Application Start"), "E"),
    "stop": Event(ACTIVITY, Code("110121", "Application Stop"), "E"),
    "login": Event(AUTHENTICATION, Code("110122", "Login"), "E"),
    "logout": Event(AUTHENTICATION, Code("110123", "Logout"), "E"),
    "login-barred": Event(ALERT, Code("login-barred", "Too many refused logins", OWN), "E"),
    "role-missing": Event(ALERT, RESTRICTED, "E"),
    "query": Event(Code("110112", "Query"), None, "E"),
    "store": Event(TRANSFERRED, None, "C"),
    "retrieve": Event(TRANSFERRED, None, "R"),
    "access": Event(ACCESSED, None, "R"),
}
ARRIVED: Final = Event(TRANSFERRED, None, "C")
HELD_BEFORE: Final = Event(TRANSFERRED, None, "R")  # the receiver had them all
SOURCE: Final = Code("110153", "Source Role ID")
DESTINATION: Final = Code("110152", "Destination Role ID")
APPLICATION: Final = Code("110150", "Application")
STUDY_UID: Final = Code("110180", "Study Instance UID")
CLASS_UID: Final = Code("110181", "SOP Class UID")
OBJECT_UID: Final = Code("sop-instance", "SOP Instance UID", OWN)
NODE: Final = Code("110182", "Node ID")


@dataclass(frozen=True, slots=True)
class Deed:
    """What there is to tell."""

    action: str
    person: Person
    outcome: Outcome = "success"
    study: str | None = None
    objects: Sequence[str] = ()
    reason: str = ""
    address: str = ""
    query: str = ""  # resource and names of its keys, without their values


@dataclass(frozen=True, slots=True)
class Partner:
    """Who is at the other end of a transfer: by AE title or URL, and host."""

    name: str
    host: str
    ae_title: str | None = None

    @classmethod
    def at(cls, peer: DimsePeer | WebAddress) -> Self:
        """One that the settings name."""
        if isinstance(peer, DimsePeer):
            return cls(peer.ae_title, peer.host, peer.ae_title)
        return cls(peer.url, urlsplit(peer.url).hostname or peer.url)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Objects that went from one application to another, once that is over."""

    way: Literal["received", "fetched", "sent"]
    partner: Partner
    studies: Mapping[str, int]  # objects by Study Instance UID
    is_news: bool = True  # whether the receiver had not held them all before
    outcome: Outcome = "success"
    reason: str = ""


def message(deed: Deed, source: str, site: str | None, now: datetime) -> str:
    """One AuditMessage, without a line break. `now` has a time zone."""
    event = EVENTS.get(deed.action) or Event(ACCESSED, Code(deed.action, deed.action, OWN), "U")
    root = Element("AuditMessage")
    _tell_event(root, event, deed.outcome, deed.reason, now)
    _tell_persons(root, deed, source)
    _tell_source(root, source, site)
    _tell_objects(root, deed, event, source)
    return tostring(root, "unicode", short_empty_elements=True)


def transfer_message(transfer: Transfer, source: str, site: str | None, now: datetime) -> str:
    """One AuditMessage of DICOM Instances Transferred (A.5.3.7)."""
    event = ARRIVED if transfer.is_news else HELD_BEFORE
    root = Element("AuditMessage")
    _tell_event(root, event, transfer.outcome, transfer.reason, now)
    _tell_ends(root, transfer, source)
    _tell_source(root, source, site)
    for study, count in transfer.studies.items():
        description = SubElement(_named(root, study, STUDY_UID), "ParticipantObjectDescription")
        SubElement(description, "SOPClass", {"NumberOfInstances": str(count)})
    return tostring(root, "unicode", short_empty_elements=True)


def _tell_ends(root: Element, transfer: Transfer, source: str) -> None:
    partner, by_us = transfer.partner, transfer.way != "received"
    theirs = {"UserID": _text(partner.name) or "unknown"}
    if partner.ae_title:
        theirs["AlternativeUserID"] = f"AETITLES={_text(partner.ae_title)}"
    theirs["UserIsRequestor"] = "false" if by_us else "true"
    if partner.host:
        theirs |= {
            "NetworkAccessPointID": _text(partner.host),
            "NetworkAccessPointTypeCode": "2" if _is_ip(partner.host) else "1",
        }
    ours = {"UserID": _text(source), "UserIsRequestor": "true" if by_us else "false"}
    ends = [(ours, SOURCE), (theirs, DESTINATION)]
    if transfer.way != "sent":
        ends = [(theirs, SOURCE), (ours, DESTINATION)]
    for attributes, role in ends:
        _coded(SubElement(root, "ActiveParticipant", attributes), "RoleIDCode", role)


def _is_ip(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _tell_source(root: Element, source: str, site: str | None) -> None:
    told = SubElement(root, "AuditSourceIdentification")
    if site:
        told.set("AuditEnterpriseSiteID", _text(site))
    told.set("AuditSourceID", _text(source))
    SubElement(told, "AuditSourceTypeCode", {"csd-code": "4"})  # application server


def _tell_event(root: Element, event: Event, outcome: Outcome, reason: str, now: datetime) -> None:
    stamp = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = SubElement(root, "EventIdentification", {
        "EventActionCode": event.action,
        "EventDateTime": stamp,
        "EventOutcomeIndicator": "8" if event.id is ALERT else OUTCOMES[outcome],
    })  # fmt: skip
    _coded(told, "EventID", event.id)
    if event.type is not None:
        _coded(told, "EventTypeCode", event.type)
    if reason.strip():
        SubElement(told, "EventOutcomeDescription").text = _text(reason)


def _tell_persons(root: Element, deed: Deed, source: str) -> None:
    by_itself = deed.action in ("start", "stop")
    ours = {"UserID": _text(source), "UserIsRequestor": "true" if by_itself else "false"}
    if not by_itself:
        theirs = {
            "UserID": _text(deed.person.name),
            "AlternativeUserID": f"{deed.person.way}:{_text(deed.person.name)}",
            "UserIsRequestor": "true",
        }
        if deed.address:
            theirs |= {
                "NetworkAccessPointID": _text(deed.address), "NetworkAccessPointTypeCode": "2",
            }  # fmt: skip
        SubElement(root, "ActiveParticipant", theirs)
    _coded(SubElement(root, "ActiveParticipant", ours), "RoleIDCode", APPLICATION)


def _tell_objects(root: Element, deed: Deed, event: Event, source: str) -> None:
    if deed.query:
        told = _object(root, STUDY_ROOT_FIND, CLASS_UID)
        query = base64.b64encode(_text(deed.query).encode()).decode()
        SubElement(told, "ParticipantObjectQuery").text = query
    elif deed.study is not None:
        told = _named(root, deed.study, STUDY_UID)
        if deed.objects:
            description = SubElement(told, "ParticipantObjectDescription")
            count = {"NumberOfInstances": str(len(deed.objects))}
            listed = SubElement(description, "SOPClass", count)
            for uid in deed.objects:
                SubElement(listed, "Instance", {"UID": _text(uid)})
    else:
        for uid in deed.objects:
            _named(root, uid, OBJECT_UID)
    if event.id is ALERT:
        told = _named(root, source, NODE)
        value = base64.b64encode(_text(deed.reason).encode()).decode()
        detail = {"type": "Alert Description", "value": value}
        SubElement(told, "ParticipantObjectDetail", detail)


def _named(root: Element, name: str, kind: Code) -> Element:
    told = _object(root, name, kind)
    SubElement(told, "ParticipantObjectName").text = _text(name)
    return told


def _object(root: Element, name: str, kind: Code) -> Element:
    told = SubElement(root, "ParticipantObjectIdentification", {
        "ParticipantObjectID": _text(name),
        "ParticipantObjectTypeCode": "2",  # system object
        "ParticipantObjectTypeCodeRole": "3",  # report
    })  # fmt: skip
    _coded(told, "ParticipantObjectIDTypeCode", kind)
    return told


def _coded(root: Element, name: str, code: Code) -> None:
    SubElement(root, name, {
        "csd-code": _text(code.value), "codeSystemName": code.system,
        "originalText": _text(code.meaning),
    })  # fmt: skip


def _text(told: str) -> str:
    """One line of what XML can hold."""
    held = "".join(
        letter if letter.isprintable() and letter not in "\ufffe\uffff" else " " for letter in told
    )
    return re.sub(r"\s+", " ", held).strip()[:LONGEST_TEXT]
