"""A judge of audit messages: the schema of PS3.15 A.5.1.1, written down a second time."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from xml.etree import ElementTree

TOKEN = r"\S(.*\S)?|"  # noqa: S105  no secret
BOOL = "true|false"
CODED = {"csd-code!": TOKEN, "codeSystemName!": TOKEN, "displayName": TOKEN, "originalText!": TOKEN}
# of each element: its attributes (! is required), its children in order (with how often)
ELEMENTS: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    "AuditMessage": ({}, [
        ("EventIdentification", "1"), ("ActiveParticipant", "+"),
        ("AuditSourceIdentification", "1"), ("ParticipantObjectIdentification", "*"),
    ]),
    "EventIdentification": (
        {
            "EventActionCode": "[CRUDE]", "EventOutcomeIndicator!": "0|4|8|12",
            "EventDateTime!": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
        },
        [("EventID", "1"), ("EventTypeCode", "*"), ("EventOutcomeDescription", "?")],
    ),
    "ActiveParticipant": (
        {
            "UserID!": ".*", "AlternativeUserID": ".*", "UserName": ".*", "UserIsRequestor!": BOOL,
            "NetworkAccessPointID": TOKEN, "NetworkAccessPointTypeCode": "[1-5]",
        },
        [("RoleIDCode", "*"), ("MediaIdentifier", "?")],
    ),
    "AuditSourceIdentification": (
        {"AuditEnterpriseSiteID": TOKEN, "AuditSourceID!": TOKEN}, [("AuditSourceTypeCode", "*")],
    ),
    "AuditSourceTypeCode": ({"csd-code!": "[1-9]"}, []),
    "ParticipantObjectIdentification": (
        {
            "ParticipantObjectID!": TOKEN, "ParticipantObjectTypeCode": "[1-4]",
            "ParticipantObjectTypeCodeRole": "[1-9]|1[0-9]|2[0-6]",
            "ParticipantObjectDataLifeCycle": "[1-9]|1[0-5]", "ParticipantObjectSensitivity": TOKEN,
        },
        [
            ("ParticipantObjectIDTypeCode", "1"), ("ParticipantObjectName", "?"),
            ("ParticipantObjectQuery", "?"), ("ParticipantObjectDetail", "*"),
            ("ParticipantObjectDescription", "*"),
        ],
    ),
    "ParticipantObjectDetail": ({"type!": TOKEN, "value!": "[A-Za-z0-9+/]*={0,2}"}, []),
    "ParticipantObjectDescription": ({}, [
        ("MPPS", "*"), ("Accession", "*"), ("SOPClass", "*"),
        ("ParticipantObjectContainsStudy", "?"), ("Encrypted", "?"), ("Anonymized", "?"),
    ]),
    "SOPClass": ({"UID": TOKEN, "NumberOfInstances!": r"\d+"}, [("Instance", "*")]),
    "Instance": ({"UID!": TOKEN}, []),
    **dict.fromkeys(
        ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"), (CODED, [])
    ),
    **dict.fromkeys(
        ("EventOutcomeDescription", "ParticipantObjectName", "ParticipantObjectQuery"), ({}, [])
    ),
}  # fmt: skip


def complaints(line: str) -> list[str]:
    """What is wrong with a message; nothing where it is valid."""
    root = ElementTree.fromstring(line)  # noqa: S314  our own
    found = [] if root.tag == "AuditMessage" else [f"the root is {root.tag}"]
    found += [problem for element in root.iter() for problem in _of(element)]
    for query in root.iter("ParticipantObjectQuery"):
        found += _in_base64(query)
    if sum(one.get("UserIsRequestor") == "true" for one in root.iter("ActiveParticipant")) > 1:
        found.append("two requestors (A.5.2)")
    return found


def _of(element: ElementTree.Element) -> Iterator[str]:
    if element.tag not in ELEMENTS:
        yield f"no element {element.tag}"
        return
    attributes, children = ELEMENTS[element.tag]
    patterns = {name.rstrip("!"): pattern for name, pattern in attributes.items()}
    for name in [each[:-1] for each in attributes if each.endswith("!")]:
        if name not in element.attrib:
            yield f"{element.tag} lacks {name}"
    for name, value in element.attrib.items():
        if name not in patterns or not re.fullmatch(patterns[name], value):
            yield f"{element.tag} {name}={value!r}"
    order = "".join(f"({name} ){'' if often == '1' else often}" for name, often in children)
    if not re.fullmatch(order, "".join(f"{child.tag} " for child in element)):
        yield f"{element.tag} holds {[child.tag for child in element]}"
    if element.tag == "ParticipantObjectIdentification":
        either = ("ParticipantObjectName", "ParticipantObjectQuery")
        if sum(child.tag in either for child in element) != 1:
            yield "an object has either a name or a query"


def _in_base64(element: ElementTree.Element) -> Iterator[str]:
    try:
        b64decode(element.text or "", validate=True)
    except Error:
        yield "a query is base64"
