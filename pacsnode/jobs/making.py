"""One report made, checked and kept: the heavy step."""

import io
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydicom import Dataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from engine.case import Case
from engine.errors import EngineError, ModelFault
from engine.finding import Describer
from engine.pipeline import report_case
from engine.report.style import Predecessor, ReportStyle, seg_uid, sr_uid
from pacsnode.assembly.ours import is_ours
from pacsnode.jobs import journal
from pacsnode.jobs.describers import Absent, writes_with_a_model
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.judging import judged_document
from pacsnode.jobs.keeping import keep_raw_words
from pacsnode.jobs.orders import Made, ReportOrder
from storage.archive import Archive
from storage.errors import StorageError
from storage.records import Instance

HUNG = 75  # exit status: EX_TEMPFAIL of sysexits.h
DEVICE_LOST = "device-lost"


def make(order: ReportOrder, desk: Desk, *, is_last_try: bool = False) -> Made:
    """Make and keep the documents of an order, unless they are kept already.

    Never raises: one case must not stop the next, so that what went wrong is the answer.
    """
    allowed_s = desk.allowed_s(len(order["lesion_numbers"]))
    with desk.suspects.under_way(order["seed"]), _deadline(allowed_s):
        if desk.suspects.is_given_up(order["seed"]):
            deaths = desk.suspects.deaths(order["seed"])
            sentence = f"The worker process ended {deaths} times while it made this report."
            return _unmade("failed", "process-ended", sentence)
        try:
            return _made(_kept_or_new(order, desk, desk.describer))
        except ModelFault as exc:
            return _without_model(order, desk, exc, is_last_try=is_last_try)
        except (EngineError, StorageError) as exc:
            if exc.retryable:
                # space and locks come back by themselves; what else failed is tried a few times
                counted = isinstance(exc, EngineError)
                return _unmade("again", _code_of(exc), str(exc), counted=counted)
            return _unmade("refused", _code_of(exc), str(exc))
        except Exception as exc:  # noqa: BLE001 the worker's loop: a defect ends one case, not all
            return _defect(exc)


def _without_model(order: ReportOrder, desk: Desk, fault: ModelFault, *, is_last_try: bool) -> Made:
    """What the settings say of a model that cannot run: wait for it, or do without."""
    told = desk.settings.describe
    if fault.code == DEVICE_LOST:
        desk.model_lost.set()
    if not writes_with_a_model(told):
        return _unmade("again", fault.code, str(fault), counted=True)
    if told.when_unable == "wait" or not is_last_try:
        return _unmade("again", fault.code, str(fault))
    stand_in = Absent(str(fault), fault.code)
    try:
        return _made(_kept_or_new(order, desk, stand_in))
    except (EngineError, StorageError) as exc:
        return _unmade("again", _code_of(exc), str(exc))
    except Exception as exc:  # noqa: BLE001 the worker's loop: a defect ends one case, not all
        return _defect(exc)


def _defect(error: Exception) -> Made:
    # the text of a foreign error may quote the dataset, so that only its place is told
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    sentence = f"The program failed on this case: {type(error).__name__} at {place}."
    return _unmade("again", "defect", sentence, counted=True)


def _kept_or_new(order: ReportOrder, desk: Desk, describer: Describer) -> list[str]:
    if "judges" in order:
        return _kept_or_new_judgement(order, desk)
    style = _style(order, desk)
    sr, seg = sr_uid(style), seg_uid(style)
    if desk.archive.instance(sr) is not None:
        # the bytes under a UID are written once; the SEG, where there is one, was kept before
        return [seg, sr] if desk.archive.instance(seg) is not None else [sr]
    documents = report_case(
        _case(order, desk),
        describer,
        style,
        fractional_threshold=desk.settings.measure.fractional_threshold,
    )
    reach("built")
    uids = []
    if documents.seg is not None:
        # a try that died between SEG and SR left the SEG: the first bytes stay
        if desk.archive.instance(seg) is None:
            _keep(encoded(documents.seg), desk)
        uids.append(seg)
    reach("seg-kept")
    document = encoded(documents.sr)
    keep_raw_words(documents, document, desk.archive.root)
    reach("words-kept")
    _keep(document, desk)
    reach("sr-kept")
    return [*uids, sr]


def _kept_or_new_judgement(order: ReportOrder, desk: Desk) -> list[str]:
    document = judged_document(order, desk)
    uid = str(document.SOPInstanceUID)
    if desk.archive.instance(uid) is None:
        _keep(encoded(document), desk)
    reach("judgement-kept")
    return [uid]


def _style(order: ReportOrder, desk: Desk) -> ReportStyle:
    look = desk.settings.report
    return ReportStyle(
        seed=order["seed"],
        series_description=look.series_description,
        series_number=look.series_number,
        tracking_identifier=look.tracking_identifier,
        device_serial_number=look.device_serial_number,
        predecessors=_predecessors(order, desk),
    )


def _predecessors(order: ReportOrder, desk: Desk) -> tuple[Predecessor, ...]:
    """The last SR of this mask, or when this is its first, of the version before it."""
    own = sr_uid(ReportStyle(seed=order["seed"]))
    for mask in (order["mask"], *order["earlier_masks"]):
        earlier = _last_report(mask, own, desk.archive)
        if earlier is not None:
            return (
                Predecessor(
                    earlier.study_instance_uid,
                    earlier.series_instance_uid,
                    earlier.sop_class_uid,
                    earlier.sop_instance_uid,
                ),
            )
    return ()


def _last_report(mask: str, own: str, archive: Archive) -> Instance | None:
    instance = archive.instance(mask)
    if instance is None:
        return None
    uid = journal.last_report(archive.decisions(instance.study_instance_uid, mask), but=own)
    if uid is not None:
        return archive.instance(uid)
    # the journal is silent or lost, but the reports themselves are in the archive
    reports = [one for one in archive.reports_of(mask) if is_ours(one)]
    others = [one for one in reports if one.sop_instance_uid != own]
    return max(others, key=lambda one: one.received_at, default=None)


def _case(order: ReportOrder, desk: Desk) -> Case:
    root = desk.archive.root
    return Case(
        pet=tuple(root / path for path in order["pet_paths"]),
        ct=tuple(root / path for path in order["ct_paths"]),
        mask=root / order["mask_path"],
        lesion_numbers=tuple(order["lesion_numbers"]),
        label_maps=tuple(root / path for path in order["label_map_paths"]),
    )


def _keep(document: bytes, desk: Desk) -> None:
    desk.archive.keep(
        document,
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        calling_ae=desk.settings.listen.ae_title,
    )


def encoded(dataset: Dataset) -> bytes:
    """The dataset alone, without preamble and group 0002, in Explicit VR Little Endian."""
    bare = Dataset({tag: element for tag, element in dataset.items() if tag.group > 2})
    buffer = io.BytesIO()
    dcmwrite(buffer, bare, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def _made(documents: list[str]) -> Made:
    return Made(outcome="made", code="reported", reasons=[], documents=documents, counted=False)


def _unmade(
    outcome: Literal["refused", "again", "failed"],
    code: str,
    sentence: str,
    *,
    counted: bool = False,
) -> Made:
    return Made(outcome=outcome, code=code, reasons=[sentence], documents=[], counted=counted)


def _code_of(exc: EngineError | StorageError) -> str:
    if isinstance(exc, EngineError):
        return exc.code
    return "storage-full" if exc.retryable else "not-kept"


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the process when a case hangs; the restart counts it against the case."""
    timer = threading.Timer(seconds, end_hung_process)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_hung_process() -> None:
    """End this process at once; what was under way is taken up by the next one."""
    sys.stderr.flush()
    os._exit(HUNG)
