"""STOW-RS (PS3.18 10.5): kept Part 10 files to a destination in one request, and what it answers.

Each instance is judged by what is said of it. One that is said to be there already, or that a 409
or a mere 200 leaves in doubt, is retrieved and compared: the same bytes there are success.
"""

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial

from pacsnode.addresses import WebDestination
from pacsnode.delivery.outgoing import Other, Outgoing, outgoing
from pacsnode.delivery.statuses import (
    ALREADY_THERE,
    ASK_ITS_LOG,
    CLASS_REFUSED,
    needs_a_person,
)
from pacsnode.errors import DeliveryFailed, DeliveryRejected, PeerRefused
from pacsnode.web_peer import ROOT, Answer, Conversation, by_status, conversation

OK, ACCEPTED, BAD_REQUEST, CONFLICT = 200, 202, 400, 409
TELLS_OF_EACH = frozenset({OK, ACCEPTED, BAD_REQUEST, CONFLICT})  # PS3.18 table 10.5.3-1
WRONG = ("refused", "not now")
SOURCE_APPLICATION_ENTITY_TITLE = 0x00020016
SAY_ALREADY_THERE = frozenset({ALREADY_THERE, 0xB00E})  # the latter of Azure's DICOM service

REFERENCED, FAILED = "00081199", "00081198"  # Referenced SOP Sequence, Failed SOP Sequence
INSTANCE, FAILURE, WARNING = "00081155", "00081197", "00081196"

REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("calls the request malformed", ASK_ITS_LOG),
    404: ("has no STOW-RS there", ROOT),
    405: ("stores nothing there", ROOT),
    406: ("cannot answer in application/dicom+json", "Enable the JSON answers of STOW-RS there"),
    409: ("refuses the documents and does not say why", ASK_ITS_LOG),
    413: (
        "calls the documents too large",
        "Raise the largest request body at the destination, and at a proxy before it",
    ),
    415: ("does not take application/dicom", "Enable STOW-RS of Part 10 files there"),
}


@dataclass(frozen=True, slots=True)
class WebProbe:
    """What a destination said to a search and to a question what it allows."""

    search_status: int
    studies: int | None  # found with a limit of one; None where that was not answered
    allows_storing: bool | None  # None where it does not say
    elapsed_s: float


def send(
    paths: Sequence[Path],
    destination: WebDestination,
    *,
    others: Sequence[Other] = (),
    extras: Sequence[Path] = (),
) -> list[dict[str, str]]:
    """Store every file at the destination; gives what became of each there.

    Where the answer refuses the class of the last one, the first of `others` that is taken goes in
    its place; `extras` follow, and are left out where they are refused. Raises as C-STORE does:
    PeerFailed where another try may work, PeerRefused, with the fix, where not. To send again what
    has arrived is harmless.
    """
    files = [outgoing(path) for path in paths]
    with conversation(destination) as peer:
        verdicts = _in_its_place(_stored(files, peer, destination), others, peer, destination)
        _raise_if_wrong(verdicts, destination)
        if extras:
            verdicts += _extras([outgoing(path) for path in extras], peer, destination)
            _raise_if_wrong([one for one in verdicts if one.outcome == "not now"], destination)
    return [verdict.in_words() for verdict in verdicts]


def _stored(
    files: Sequence[Outgoing], peer: Conversation, destination: WebDestination
) -> list["_Verdict"]:
    answer = peer.store([_bare(one.path) for one in files])
    if answer.status not in TELLS_OF_EACH:
        raise by_status(destination.url, answer.status, REFUSALS)
    told = _Told(answer)
    return [_judge(one, told, answer.status, peer, destination) for one in files]


def _bare(path: Path) -> Dataset:
    """A file to send, without what the archive notes in its group 0002: when and from whom."""
    dataset = dcmread(path)
    del dataset.file_meta[SOURCE_APPLICATION_ENTITY_TITLE:]  # and private information behind it
    return dataset


def _in_its_place(
    verdicts: list["_Verdict"],
    others: Sequence[Other],
    peer: Conversation,
    destination: WebDestination,
) -> list["_Verdict"]:
    """The verdicts, with one of `others` in the place of the last where its class is refused."""
    *companions, last = verdicts
    refused = last
    for other in others:
        if not refused.is_of_class:
            break
        if not other.stands_alone and any(one.is_of_class for one in companions):
            continue
        (verdict,) = _stored([outgoing(other.make())], peer, destination)
        refused = replace(
            verdict, instead_of=last.sop_instance_uid, sop_class_uid=str(other.sop_class_uid)
        )
        if other.stands_alone and verdict.outcome not in WRONG:
            companions = [
                replace(one, outcome="not taken") if one.is_of_class else one for one in companions
            ]
    # that all were refused is told of the report itself
    return [*companions, last if refused.is_of_class else refused]


def _extras(
    files: Sequence[Outgoing], peer: Conversation, destination: WebDestination
) -> list["_Verdict"]:
    """They are sent when the report is there, which no refusal of theirs takes back."""
    try:
        return _stored(files, peer, destination)
    except PeerRefused:
        return [_Verdict(str(one.sop_instance_uid), "refused") for one in files]


def _raise_if_wrong(verdicts: Sequence["_Verdict"], destination: WebDestination) -> None:
    wrong = [verdict for verdict in verdicts if verdict.outcome in WRONG]
    if not wrong:
        return
    answers = [verdict.in_words() for verdict in verdicts]
    worst = next((verdict for verdict in wrong if verdict.outcome == "refused"), wrong[0])
    sentence = f"{destination.address} {worst.sentence}"
    if worst.fix is None:
        raise DeliveryFailed(sentence, answers=answers)
    raise DeliveryRejected(sentence, fix=worst.fix, answers=answers)


def probe(destination: WebDestination) -> WebProbe:
    """Ask a destination whether it answers a search. Nothing is sent. Raises as `send` does."""
    began = time.monotonic()
    with conversation(destination) as peer:
        found = peer.search_studies(limit=1)
        if found.status not in (200, 204):
            raise by_status(destination.url, found.status, REFUSALS)
        studies = found.json() if found.status == OK else []
        options = peer.store_options()
    return WebProbe(
        search_status=found.status,
        studies=len(studies) if isinstance(studies, list) else None,
        allows_storing="POST" in options.allows if options.allows else None,
        elapsed_s=time.monotonic() - began,
    )


# what is said of one instance


@dataclass(frozen=True, slots=True)
class _Verdict:
    sop_instance_uid: str
    # "stored", "stored with a warning", "already there", "not taken", "refused", "not now"
    outcome: str
    sentence: str = ""
    reason: int | None = None  # warning (0008,1196) or failure (0008,1197)
    fix: str | None = None
    instead_of: str = ""  # the SOP Instance UID of the report it stands for
    sop_class_uid: str = ""

    @property
    def is_of_class(self) -> bool:
        """Whether it is the class that is refused, and no fault of the instance."""
        return self.outcome == "refused" and self.reason in CLASS_REFUSED

    def in_words(self) -> dict[str, str]:
        told = {"sop_instance_uid": self.sop_instance_uid, "outcome": self.outcome}
        if self.instead_of:
            told |= {"sop_class_uid": self.sop_class_uid, "instead_of": self.instead_of}
        return told if self.reason is None else told | {"reason": f"0x{self.reason:04X}"}


class _Told:
    """The store instances response (PS3.18 I.2) by instance; whatever is malformed says nothing."""

    def __init__(self, answer: Answer) -> None:
        body = answer.json()
        response = body[0] if isinstance(body, list) and body else body
        self.stored = dict(_reasons(response, REFERENCED, WARNING))
        self.failed = dict(_reasons(response, FAILED, FAILURE))


def _reasons(response: Any, sequence: str, reason: str) -> Iterator[tuple[str, int | None]]:
    for item in _values(response, sequence):
        for uid in _values(item, INSTANCE)[:1]:
            codes = [code for code in _values(item, reason)[:1] if isinstance(code, int)]
            yield str(uid), codes[0] & 0xFFFF if codes else None


def _values(dataset: Any, tag: str) -> list[Any]:
    """The values of one attribute in the DICOM JSON model (PS3.18 F.2)."""
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _judge(
    one: Outgoing, told: _Told, status: int, peer: Conversation, destination: WebDestination
) -> _Verdict:
    uid = one.sop_instance_uid
    if uid in told.stored and uid not in told.failed and status in (OK, ACCEPTED):
        warning = told.stored[uid]
        return _Verdict(uid, "stored" if warning is None else "stored with a warning", "", warning)
    reason = told.failed.get(uid)
    if status == CONFLICT or reason in SAY_ALREADY_THERE or (reason is None and status < 300):
        held = _held(one, peer, destination)
        if held or (held is None and reason in SAY_ALREADY_THERE):
            return _Verdict(uid, "already there", "", reason)
        if held is False:
            return _Verdict(
                uid, "refused", f"holds another object under {uid}", reason,
                "Compare the two; delete the one there and restart the node",
            )  # fmt: skip
    return _refused(uid, reason, status)


def _refused(uid: str, reason: int | None, status: int) -> _Verdict:
    if reason is None and status < 300:
        return _Verdict(uid, "not now", f"answers {status} and does not say that it has {uid}")
    if reason is None:
        meaning, fix = REFUSALS[status]
        return _Verdict(uid, "refused", f"answers {status} for {uid}: it {meaning}", None, fix)
    said = f"answers {status} for {uid}, failure reason 0x{reason:04X}"
    meaning = needs_a_person(reason) or ""
    if meaning:
        return _Verdict(uid, "refused", f"{said}: {meaning}", reason, ASK_ITS_LOG)
    return _Verdict(uid, "not now", said, reason)


def _held(one: Outgoing, peer: Conversation, destination: WebDestination) -> bool | None:
    """Whether the peer holds the same object; None where it shows none under this UID."""
    ours = one.path.read_bytes()
    mine = dcmread(BytesIO(ours))
    answer = peer.retrieve(mine.StudyInstanceUID, mine.SeriesInstanceUID, one.sop_instance_uid)
    if answer.status >= 500:
        raise DeliveryFailed(
            f"{destination.address} answers {answer.status} when asked for {one.sop_instance_uid}"
        )
    if answer.status != OK:
        return None
    for theirs in answer.parts():
        if _encoded(theirs) == _encoded(ours):
            return True
        if (read := _read(theirs)) is not None and read.get("SOPInstanceUID") is not None:
            return bool(read == mine)  # the same values in another transfer syntax
    return None


def _encoded(part10: bytes) -> bytes:
    """The dataset without preamble and group 0002, which a receiver may write anew."""
    stream = BytesIO(part10)
    with suppress(*UNREADABLE):
        read_partial(stream, stop_when=lambda tag, vr, length: True)
        return part10[stream.tell() :]
    return b""


def _read(part10: bytes) -> Dataset | None:
    with suppress(*UNREADABLE):
        return dcmread(BytesIO(part10))
    return None


UNREADABLE = (
    InvalidDicomError, AttributeError, EOFError, KeyError, NotImplementedError, OSError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
