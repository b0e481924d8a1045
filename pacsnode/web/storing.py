"""STOW-RS (PS3.18 10.5): every instance through the one door to the archive, as C-STORE does."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from pacsnode import log
from pacsnode.intake import acceptance
from pacsnode.tallies import STOW, Tallies
from pacsnode.web import media
from pacsnode.web.answers import dicom_json, study_url, uid_of
from pacsnode.web.refusal import BAD_REQUEST, NOT_ACCEPTABLE, UNSUPPORTED_MEDIA, Refusal
from pacsnode.web.spool import Bounds, Part, Spool, fill
from storage.archive import Archive
from storage.errors import StorageError
from storage.header import Header
from storage.header.part10 import open_part10

# PS3.18 table I.2-2; the rest is what C-STORE answers
CLASS_NOT_SUPPORTED: Final = 0x0122
SYNTAX_NOT_SUPPORTED: Final = 0xC122
OTHER_STUDY: Final = acceptance.MISMATCH
REASONS: Final = acceptance.REASONS | {
    CLASS_NOT_SUPPORTED: "class-not-supported",
    SYNTAX_NOT_SUPPORTED: "syntax-not-supported",
}

AT_ONCE: Final = 8  # they share commits
AT_ONCE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one part; without a header it could not even be read as an object."""

    header: Header | None
    failure: int | None = None


class _NotTaken(Exception):
    """What we do not take, by its failure reason."""

    def __init__(self, failure: int) -> None:
        super().__init__(f"0x{failure:04X}")
        self.failure = failure


class Store:
    """The Store transaction on `/studies` and `/studies/{study}`."""

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        bounds: Bounds,
        other_objects: Literal["keep", "reject"],
        tallies: Tallies | None = None,
    ) -> None:
        self._archive = archive
        self._folder = folder
        self._bounds = bounds
        self._other_objects = other_objects
        self._counted = tallies or Tallies()

    async def answer(self, request: Request) -> Response:
        """200 where all is kept, 202 where some is, 409 where nothing is (table 10.5.3-1)."""
        boundary = _boundary_of(request)
        _refuse_other_answers(request)
        study = uid_of(request, "study")
        with Spool(self._folder, boundary, self._bounds, self._archive.check_space) as spool:
            await fill(spool, request, self._bounds)
            outcomes: list[Stored] = []
            for group in _groups(spool.parts):
                outcomes += await asyncio.gather(
                    *(run_in_threadpool(self._keep, spool, part, study) for part in group)
                )
        request.state.kept = [
            (one.header.study_instance_uid, one.header.sop_instance_uid)
            for one in outcomes
            if one.header is not None and one.failure is None
        ]
        failed = sum(one.failure is not None for one in outcomes)
        status = 200 if not failed else 409 if failed == len(outcomes) else 202
        log.event("instances-stored", kept=len(outcomes) - failed, refused=failed, status=status)
        return dicom_json(_told(request, outcomes), status)

    def _keep(self, spool: Spool, part: Part, study: str | None) -> Stored:
        stored, outcome = self._judged(spool, part, study)
        self._counted.received(STOW, outcome, part.size_bytes)
        if stored.failure is not None:
            self._counted.refused(STOW, REASONS[stored.failure])
        return stored

    def _judged(self, spool: Spool, part: Part, study: str | None) -> tuple[Stored, str]:
        header: Header | None = None

        def judge(read: Header) -> None:
            nonlocal header
            header = read
            failure = self._objection(read, study)
            if failure is not None:
                raise _NotTaken(failure)

        try:
            whole = spool.content(part)
            part10 = open_part10(whole)
            dataset = whole[part10.dataset_start :]
            del whole
            kept = self._archive.keep(
                dataset, transfer_syntax_uid=part10.transfer_syntax_uid, judge=judge
            )
        except _NotTaken as exc:
            why = "not supported, or of another study"
            return _refused(Stored(header, exc.failure), why), "refused"
        except Exception as exc:  # noqa: BLE001 - one instance must not cost the others their answer
            known = isinstance(exc, StorageError)
            refused = _refused(
                Stored(header, acceptance.status_for(exc)), str(exc) if known else None, exc
            )
            return refused, "refused"
        log.event(
            "instance-kept",
            sop_instance_uid=kept.instance.sop_instance_uid,
            outcome=kept.outcome,
        )
        return Stored(header), kept.outcome

    def _objection(self, header: Header, study: str | None) -> int | None:
        if study is not None and header.study_instance_uid != study:
            return OTHER_STUDY
        syntaxes = acceptance.syntaxes_for(header.sop_class_uid, self._other_objects)
        if not syntaxes:
            return CLASS_NOT_SUPPORTED
        if header.transfer_syntax_uid not in syntaxes:
            return SYNTAX_NOT_SUPPORTED
        return None


def _boundary_of(request: Request) -> str:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(
            UNSUPPORTED_MEDIA,
            "Bodies are taken without Content-Encoding: 1 KB can inflate to 1 MB",
            {"Accept-Encoding": "identity"},
        )
    stated = media.parse(request.headers.get("content-type", ""))
    if stated.kind != media.RELATED or stated.part not in (media.DICOM, "*/*"):
        raise Refusal(UNSUPPORTED_MEDIA, f'Send {media.RELATED}; type="{media.DICOM}"')
    boundary = stated.parameters.get("boundary")
    if boundary is None:
        raise Refusal(BAD_REQUEST, "The Content-Type names no boundary")
    return boundary


def _refuse_other_answers(request: Request) -> None:
    ranges = media.asked(request)
    if not any(one.covers(kind) for one in ranges for kind in (media.DICOM_JSON, media.JSON)):
        raise Refusal(NOT_ACCEPTABLE, f"The answer to a store is {media.DICOM_JSON}")


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """As many at a time as share a commit well and leave memory flat."""
    group: list[Part] = []
    for part in parts:
        full = sum(one.size_bytes for one in group) + part.size_bytes > AT_ONCE_BYTES
        if group and (full or len(group) == AT_ONCE):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _refused(stored: Stored, reason: str | None, error: Exception | None = None) -> Stored:
    expected = error is None or isinstance(error, StorageError)
    log.event(
        "instance-refused" if expected else "instance-fault",
        level=logging.WARNING if expected else logging.ERROR,
        sop_instance_uid=stored.header.sop_instance_uid if stored.header else None,
        status=f"0x{stored.failure or 0:04X}",
        error=error,
        reason=reason,
        where=log.where(error) if error is not None else None,
    )
    return stored


# the answer: the Store Instances Response Module, PS3.18 table I.2-1


def _told(request: Request, outcomes: Sequence[Stored]) -> dict[str, Any]:
    kept = [_kept(request, one.header) for one in outcomes if one.header and one.failure is None]
    failed = [_failed(one.header, one.failure) for one in outcomes if one.header and one.failure]
    unread = [_reason(one.failure) for one in outcomes if one.header is None and one.failure]
    studies = {one.header.study_instance_uid for one in outcomes if one.header and not one.failure}
    answer: dict[str, Any] = {}
    if len(studies) == 1:
        answer["00081190"] = {"vr": "UR", "Value": [study_url(request, studies.pop())]}
    for tag, items in (("00081198", failed), ("00081199", kept), ("0008119A", unread)):
        if items:
            answer[tag] = {"vr": "SQ", "Value": items}
    return answer


def _kept(request: Request, header: Header) -> dict[str, Any]:
    url = study_url(
        request, header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid
    )
    return {**_named(header), "00081190": {"vr": "UR", "Value": [url]}}


def _failed(header: Header, failure: int) -> dict[str, Any]:
    return {**_named(header), **_reason(failure)}


def _named(header: Header) -> Mapping[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [header.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [header.sop_instance_uid]},
    }


def _reason(failure: int) -> Mapping[str, Any]:
    return {"00081197": {"vr": "US", "Value": [failure]}}
