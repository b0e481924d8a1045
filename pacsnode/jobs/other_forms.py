"""The other forms of a kept report: made when a destination needs one, and kept first."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from engine.report.plain_forms import CLASSES, Form, form_uid, in_form
from engine.report.style import Predecessor
from pacsnode.delivery.outgoing import Other
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.encoding import encoded
from pacsnode.jobs.failpoints import reach
from storage.archive import Archive

# two destinations may want the same form at the same time: one document is made
_ONE_AT_A_TIME = threading.Lock()


def others_of(sr: Path, forms: Sequence[Form], desk: Desk) -> list[Other]:
    """What may go in the place of a report, best first; nothing is made before it is chosen."""

    def other(form: Form) -> Other:
        # a text refers to no segment: it says everything itself
        return Other(CLASSES[form], form == "text", lambda: _kept(sr, form, desk))

    return [other(form) for form in forms]


def predecessors_of(sr: Path) -> list[str]:
    """The SOP Instance UIDs of the documents that an SR takes the place of."""
    return list(_replaced(dcmread(sr, specific_tags=["PredecessorDocumentsSequence"])))


def _replaced(sr: Dataset) -> Iterator[str]:
    for study in sr.get("PredecessorDocumentsSequence", ()):
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield str(item.ReferencedSOPInstanceUID)


def _kept(sr: Path, form: Form, desk: Desk) -> Path:
    """The form of a report, made unless it is in the archive. Raises StorageError."""
    document = dcmread(sr)
    with _ONE_AT_A_TIME:
        kept = desk.archive.instance(form_uid(document.SOPInstanceUID, form))
        if kept is None:
            other = in_form(document, form, _earlier(document, form, desk.archive))
            kept = desk.archive.keep(
                encoded(other),
                transfer_syntax_uid=str(ExplicitVRLittleEndian),
                calling_ae=desk.settings.listen.ae_title,
            ).instance
            reach("other-form-kept")
    return kept.path


def _earlier(sr: Dataset, form: Form, archive: Archive) -> list[Predecessor]:
    """Where somebody got the reports before this one in the same form: those documents."""
    found = (archive.instance(form_uid(uid, form)) for uid in _replaced(sr))
    return [
        Predecessor(
            one.study_instance_uid, one.series_instance_uid, one.sop_class_uid,
            one.sop_instance_uid,
        )
        for one in found
        if one is not None
    ]  # fmt: skip
