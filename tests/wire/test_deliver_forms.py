"""Peers that refuse Comprehensive 3D SR get the report in another class, by name."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from engine.report.plain_forms import CLASSES, in_form
from engine.report.sr import build_sr
from pacsnode.addresses import Destination, WebDestination
from pacsnode.delivery import cstore, stow
from pacsnode.delivery.outgoing import Other
from pacsnode.errors import DeliveryFailed, DeliveryRejected, PeerFailed, PeerRefused
from tests.makers import save
from tests.peers import LOOPBACK, Receiver, storescp, wait_until
from tests.unit.reports import STYLE, Study
from tests.web_server import Asked, Reply, WebServer, told

pytestmark = pytest.mark.wire

NOT_SUPPORTED = 0x0122


class Report:
    """A report of ours on disk, and what stands ready in its place; `made` tells what was made."""

    def __init__(self, folder: Path) -> None:
        study = Study(folder / "study")
        self.sr = build_sr(study.report(), study.case, STYLE)
        self.made: list[str] = []
        self.folder = folder
        (self.path,) = save(self.sr, folder / "sr")
        self.seg = study.case.mask

    @property
    def others(self) -> list[Other]:
        def other(form: str) -> Other:
            return Other(CLASSES[form], form == "text", lambda: self._make(form))

        return [other(form) for form in CLASSES]

    def _make(self, form: str) -> Path:
        self.made.append(form)
        return save(in_form(self.sr, form), self.folder / form)[0]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path)


def at(port: int, ae_title: str = "RECEIVER") -> Destination:
    return Destination(name="test", ae_title=ae_title, host=LOOPBACK, port=port)


def classes(receiver: Receiver) -> list[str]:
    return [one.sop_class_uid for one in receiver.arrived]


def test_who_takes_our_class_gets_it_and_nothing_else_is_made(report: Report) -> None:
    with Receiver(sop_class_uids=[Comprehensive3DSRStorage, *CLASSES.values()]) as receiver:
        answers = cstore.send([report.path], at(receiver.port), "PACSNODE", others=report.others)
    assert classes(receiver) == [Comprehensive3DSRStorage]
    assert answers == [{"sop_instance_uid": report.sr.SOPInstanceUID, "outcome": "stored"}]
    assert report.made == []


@pytest.mark.parametrize(
    ("taken", "sent", "made"),
    [
        ([SegmentationStorage, *CLASSES.values()],
         [SegmentationStorage, ComprehensiveSRStorage], "comprehensive"),
        ([SegmentationStorage, BasicTextSRStorage],
         [SegmentationStorage, BasicTextSRStorage], "text"),
        # a Comprehensive SR refers to segments that the peer would never have
        ([ComprehensiveSRStorage, BasicTextSRStorage], [BasicTextSRStorage], "text"),
    ],
)  # fmt: skip
def test_the_best_form_that_a_peer_takes_is_made_and_sent(
    report: Report, taken: list[str], sent: list[str], made: str
) -> None:
    with Receiver(sop_class_uids=taken) as receiver:
        paths = [report.seg, report.path]
        answers = cstore.send(paths, at(receiver.port), "PACSNODE", others=report.others)
    assert classes(receiver) == sent
    assert report.made == [made]
    arrived = dcmread(BytesIO(receiver.arrived[-1].encoded), force=True)
    assert arrived.SOPInstanceUID == answers[-1]["sop_instance_uid"]
    assert answers[-1]["instead_of"] == report.sr.SOPInstanceUID
    assert answers[-1]["sop_class_uid"] == sent[-1]


def test_who_takes_none_of_them_is_told_every_class_to_enable(report: Report) -> None:
    with (
        Receiver(sop_class_uids=[SegmentationStorage]) as receiver,
        pytest.raises(PeerRefused, match="Comprehensive 3D SR"),
    ):
        cstore.send(
            [report.seg, report.path], at(receiver.port), "PACSNODE", others=report.others
        )  # fmt: skip
    assert receiver.arrived == []
    assert report.made == []


def test_who_takes_the_report_and_not_its_segmentation_gets_no_other_form(report: Report) -> None:
    with (
        Receiver(sop_class_uids=[Comprehensive3DSRStorage, *CLASSES.values()]) as receiver,
        pytest.raises(PeerRefused, match="Segmentation"),
    ):
        cstore.send(
            [report.seg, report.path], at(receiver.port), "PACSNODE", others=report.others
        )  # fmt: skip
    assert receiver.arrived == []


def test_a_probe_tells_which_form_a_peer_would_get() -> None:
    with Receiver(sop_class_uids=[ComprehensiveSRStorage]) as receiver:
        found = cstore.probe(at(receiver.port), "PACSNODE")
    assert (found.takes_reports, found.takes_forms) == (False, ("comprehensive",))


PROFILE = r"""
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Old]
PresentationContext1 = {sop_class}\Uncompressed
[[Profiles]]
[Default]
PresentationContexts = Old
"""


@pytest.mark.parametrize("form", CLASSES)
def test_storescp_that_knows_one_old_class_gets_it(
    report: Report, form: str, tmp_path: Path
) -> None:
    profile = tmp_path / "old.cfg"
    profile.write_text(PROFILE.format(sop_class=CLASSES[form]))
    with storescp(tmp_path / "in", "-xf", str(profile), "Default") as port:
        cstore.send([report.path], at(port, "STORESCP"), "PACSNODE", others=report.others)
        wait_until(lambda: list((tmp_path / "in").iterdir()), what="a file")
        (arrived,) = (tmp_path / "in").iterdir()
        wait_until(lambda: _read(arrived) is not None, what="the whole file")
    assert _read(arrived).SOPClassUID == CLASSES[form]


def _read(path: Path) -> Dataset | None:
    try:
        found = dcmread(path)
    except Exception:  # noqa: BLE001 storescp is still writing it
        return None
    return found if "ContentSequence" in found else None


# what goes along where it is taken


@pytest.fixture
def picture(report: Report, tmp_path: Path) -> Path:
    """Anything in the class of a key image."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.5"
    dataset.StudyInstanceUID = report.sr.StudyInstanceUID
    dataset.SeriesInstanceUID = "2.25.6"
    return save(dataset, tmp_path / "picture")[0]


BOTH = [Comprehensive3DSRStorage, SecondaryCaptureImageStorage]


@pytest.mark.parametrize(
    ("taken", "status", "outcomes"),
    [
        (BOTH, 0x0000, ["stored", "stored"]),
        (BOTH[:1], 0x0000, ["stored", "not taken"]),
        (BOTH, 0xA900, ["stored", "refused"]),
        (BOTH, 0xA700, None),
    ],
)
def test_a_picture_follows_its_report_and_never_stands_in_its_way(
    report: Report, picture: Path, taken: list[str], status: int, outcomes: list[str] | None
) -> None:
    def answer(one: object) -> int:
        return status if one.sop_class_uid == SecondaryCaptureImageStorage else 0x0000

    with Receiver(sop_class_uids=taken, answer=answer) as receiver:
        if outcomes is None:
            with pytest.raises(PeerFailed, match="0xA700"):
                cstore.send([report.path], at(receiver.port), "PACSNODE", extras=[picture])
            return
        answers = cstore.send([report.path], at(receiver.port), "PACSNODE", extras=[picture])
    assert [one["outcome"] for one in answers] == outcomes
    assert classes(receiver)[0] == Comprehensive3DSRStorage


# by STOW-RS


def refusing(*refused: str, reason: int = NOT_SUPPORTED) -> Callable[[Asked], Reply]:
    """A server that takes every class but these, and says so instance by instance."""

    def answer(asked: Asked) -> Reply:
        if asked.method != "POST":
            return Reply(404)
        read = [dcmread(BytesIO(file), stop_before_pixels=True) for file in asked.files]
        failed = {str(one.SOPInstanceUID): reason for one in read if one.SOPClassUID in refused}
        stored = [str(one.SOPInstanceUID) for one in read if str(one.SOPInstanceUID) not in failed]
        return told(200 if not failed else 202 if stored else 409, stored=stored, failed=failed)

    return answer


def there(server: WebServer) -> WebDestination:
    return WebDestination(name="test", url=server.url)


@pytest.mark.parametrize(
    ("refused", "sent", "outcomes"),
    [
        ([Comprehensive3DSRStorage], "comprehensive", ["stored", "stored"]),
        ([Comprehensive3DSRStorage, ComprehensiveSRStorage], "text", ["stored", "stored"]),
        ([Comprehensive3DSRStorage, SegmentationStorage], "text", ["not taken", "stored"]),
    ],
)
def test_an_answer_that_refuses_the_class_gets_the_next_form(
    report: Report, refused: list[str], sent: str, outcomes: list[str]
) -> None:
    with WebServer(refusing(*refused)) as server:
        answers = stow.send([report.seg, report.path], there(server), others=report.others)
        last = dcmread(BytesIO(server.posts()[-1].files[0]))
    assert last.SOPClassUID == CLASSES[sent]
    assert [one["outcome"] for one in answers] == outcomes
    assert answers[-1]["sop_instance_uid"] == last.SOPInstanceUID
    assert answers[-1]["instead_of"] == report.sr.SOPInstanceUID


@pytest.mark.parametrize(
    ("refused", "reason", "error"),
    [
        ([Comprehensive3DSRStorage, *CLASSES.values()], NOT_SUPPORTED, DeliveryRejected),
        ([Comprehensive3DSRStorage], 0xA900, DeliveryRejected),
        ([Comprehensive3DSRStorage], 0x0110, DeliveryFailed),
        ([SegmentationStorage], NOT_SUPPORTED, DeliveryRejected),
    ],
)
def test_no_other_refusal_is_answered_with_another_form(
    report: Report, refused: list[str], reason: int, error: type[Exception]
) -> None:
    with WebServer(refusing(*refused, reason=reason)) as server, pytest.raises(error) as raised:
        stow.send([report.seg, report.path], there(server), others=report.others)
    uid = str(report.sr.SOPInstanceUID)
    named = uid if Comprehensive3DSRStorage in refused else str(dcmread(report.seg).SOPInstanceUID)
    assert named in str(raised.value)


def test_a_picture_goes_in_a_request_of_its_own(report: Report, picture: Path) -> None:
    with WebServer(refusing(SecondaryCaptureImageStorage)) as server:
        answers = stow.send([report.path], there(server), extras=[picture])
        assert [len(one.files) for one in server.posts()] == [1, 1]
    assert [one["outcome"] for one in answers] == ["stored", "refused"]
