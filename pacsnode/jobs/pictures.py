"""Pictures of a kept report, drawn from the archive alone: key images, which are kept, and a PDF.

What draws is loaded when something is drawn: most nodes draw nothing.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from engine.case import Case
from engine.errors import Unreadable
from engine.finding import Report
from engine.report import walk
from engine.report.read import read_findings
from pacsnode.assembly.kinds import CT_CLASSES, PET_CLASSES
from pacsnode.assembly.ours import is_ours
from pacsnode.jobs.encoding import encoded
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.other_forms import predecessors_of
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.records import Instance

# two destinations want the same pictures at the same time: the second finds those of the first
_ONE_AT_A_TIME = threading.Lock()


def kept_key_images(sr: Path, archive: Archive, settings: Settings) -> list[Path]:
    """The key images of a report, drawn unless the archive has them; in their order.

    Raises UnusableCase where the images of the report are not here or cannot be read, and
    StorageError.
    """
    from engine.report.illustrations import key_image_uid, key_images

    document = dcmread(sr)
    with _ONE_AT_A_TIME:
        if archive.instance(key_image_uid(document.SOPInstanceUID, 1)) is None:
            report = _report_again(document, archive, settings)
            # the first is kept last: where it is, the others are
            for image in reversed(list(key_images(report, document))):
                if archive.instance(image.SOPInstanceUID) is None:
                    archive.keep(
                        encoded(image),
                        transfer_syntax_uid=str(ExplicitVRLittleEndian),
                        calling_ae=settings.listen.ae_title,
                    )
                reach("key-image-kept")
    return list(_kept(document.SOPInstanceUID, archive))


def _kept(sr_uid: str, archive: Archive) -> Iterator[Path]:
    from engine.report.illustrations import key_image_uid

    number = 1
    while (one := archive.instance(key_image_uid(sr_uid, number))) is not None:
        yield one.path
        number += 1


def pdf_of_report(sr: Path, archive: Archive, settings: Settings) -> Dataset:
    """An Encapsulated PDF of a kept report; it is not kept itself. Raises UnusableCase."""
    from engine.report.illustrations import encapsulated_pdf

    document = dcmread(sr)
    return encapsulated_pdf(_report_again(document, archive, settings), document)


def report_again(sr: Path, archive: Archive, settings: Settings) -> Report:
    """What a kept report tells, on its images: for `engine.report.picture`. Raises UnusableCase."""
    return _report_again(dcmread(sr), archive, settings)


def standing_reports(study_instance_uid: str, archive: Archive) -> list[Instance]:
    """Our reports of a study that no later one takes the place of, the oldest first."""
    study = archive.study(study_instance_uid)
    reports = [
        one
        for series in (() if study is None else study.series)
        for one in series.instances
        if one.sop_class_uid == Comprehensive3DSRStorage and is_ours(one)
    ]
    replaced = {uid for one in reports for uid in predecessors_of(one.path)}
    standing = [one for one in reports if one.sop_instance_uid not in replaced]
    return sorted(standing, key=lambda one: one.received_at)


def _report_again(document: Dataset, archive: Archive, settings: Settings) -> Report:
    from engine.pipeline.redrawing import report_of

    threshold = settings.measure.fractional_threshold
    return report_of(document, case_of(document, archive), fractional_threshold=threshold)


def case_of(document: Dataset, archive: Archive) -> Case:
    """The files of what the report lists as its evidence. Raises UnusableCase."""
    listed = [(sop_class, uid) for _, sop_class, uid in walk.evidence(document)]
    masks = {one.segmentation_uid for one in read_findings(document).findings} - {None}
    if len(masks) != 1:
        raise Unreadable(
            f"The report {document.SOPInstanceUID} refers to the segments of {len(masks)} objects,"
            " not of one",
            code="not-one-mask",
        )
    return Case(
        pet=tuple(_path(uid, archive) for sop_class, uid in listed if sop_class in PET_CLASSES),
        ct=tuple(_path(uid, archive) for sop_class, uid in listed if sop_class in CT_CLASSES),
        mask=_path(str(masks.pop()), archive),
    )


def _path(uid: str, archive: Archive) -> Path:
    instance = archive.instance(uid)
    if instance is None:
        raise Unreadable(
            f"The archive does not hold {uid}, which the report was made from: send it again",
            code="image-absent",
        )
    return instance.path
