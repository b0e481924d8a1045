"""One SOP Instance UID, two objects: what becomes of the second, and that the first stays."""

import errno
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from storage.archive import Archive
from storage.comparison import Encoded, compare
from storage.errors import Exhausted
from storage.records import Kept
from tests.encoded import encoded
from tests.makers import make_pet, make_rtstruct, uid

PET = make_pet(PatientID="P1", PatientName="Doe^Jane", PatientBirthDate="19500101")
FIRST = PET[4]
SQUARE = np.array([[-20.0, -20.0, 6.0], [4.0, -20.0, 6.0], [4.0, 12.0, 6.0], [-20.0, 12.0, 6.0]])
SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless,
    JPEG2000Lossless, JPEGLSLossless,
)  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


def changed(dataset: Dataset = FIRST, **attributes: Any) -> Dataset:
    copy = deepcopy(dataset)
    for keyword, value in attributes.items():
        setattr(copy, keyword, value)
    return copy


def other_pixels() -> Dataset:
    pixels = bytearray(FIRST.PixelData)
    pixels[100] ^= 1
    return changed(PixelData=bytes(pixels))


def keep(archive: Archive, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Kept:
    return archive.keep(encoded(dataset, syntax), transfer_syntax_uid=syntax)


@pytest.mark.parametrize("first", SYNTAXES[::2], ids=lambda syntax: syntax.name)
def test_another_transfer_syntax_is_no_other_object(archive: Archive, first: str) -> None:
    kept = keep(archive, FIRST, first)
    before = kept.instance.path.read_bytes()
    for second in SYNTAXES:
        again = keep(archive, FIRST, second)
        assert again.outcome == ("same" if second == first else "same-pixels")
        assert again.instance.sha256 == kept.instance.sha256
    assert archive.counts() == {"kept": 1, "header-differs": 0, "quarantined": 0, "studies": 1}
    assert kept.instance.path.read_bytes() == before
    assert len(list((archive.root / "objects").rglob("*.dcm"))) == 1


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda s: s.name)
def test_another_header_is_kept_beside_the_first(archive: Archive, syntax: str) -> None:
    first = keep(archive, FIRST)
    before = first.instance.path.read_bytes()
    second = keep(archive, changed(SeriesDescription="edited"), syntax)
    assert second.outcome == second.instance.standing == "header-differs"
    assert second.instance.remark
    assert second.instance.path.is_file()
    assert first.instance.path.read_bytes() == before
    found = archive.instance(FIRST.SOPInstanceUID)
    assert found is not None
    assert found.sha256 == first.instance.sha256
    study = archive.study(FIRST.StudyInstanceUID)
    assert study is not None
    assert [len(series.instances) for series in study.series] == [1]
    assert keep(archive, changed(SeriesDescription="edited"), syntax).outcome == "same"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (other_pixels(), "pixels"),
        (changed(StudyInstanceUID=uid("elsewhere")), "study"),
        (changed(PatientID="P2"), "patient"),
        (changed(PatientBirthDate="19500102"), "patient"),
        (changed(PatientName="Doe^John"), "patient"),
        (changed(SOPClassUID=CTImageStorage), "SOP class"),
    ],
)
def test_what_contradicts_the_first_is_quarantined(
    archive: Archive, second: Dataset, why: str
) -> None:
    first = keep(archive, FIRST)
    before = first.instance.path.read_bytes()
    kept = keep(archive, second)
    assert kept.outcome == kept.instance.standing == "quarantined"
    assert why in (kept.instance.remark or "")
    assert [one.sha256 for one in archive.quarantined()] == [kept.instance.sha256]
    assert archive.quarantined()[0].remark == kept.instance.remark
    assert archive.counts()["quarantined"] == 1
    assert first.instance.path.read_bytes() == before
    assert kept.instance.path.is_file()
    assert archive.changed_since(0)[1] == (FIRST.StudyInstanceUID,)
    assert keep(archive, second).outcome == "same"


def test_an_unstated_patient_is_no_other_patient(archive: Archive) -> None:
    keep(archive, FIRST)
    assert keep(archive, changed(PatientID="", PatientBirthDate="")).outcome == "header-differs"


def test_compressed_pixels_that_differ_are_seen(archive: Archive) -> None:
    keep(archive, FIRST, RLELossless)
    assert keep(archive, other_pixels(), JPEG2000Lossless).outcome == "quarantined"
    assert keep(archive, other_pixels(), RLELossless).outcome == "quarantined"


def test_a_lossy_copy_is_another_image(archive: Archive) -> None:
    noise = np.random.default_rng(1).integers(0, 30000, (1, 64, 64)).astype(float)
    first = make_pet(noise)[0]
    keep(archive, first)
    lossy = deepcopy(first)
    lossy.compress(JPEG2000, j2k_cr=[20], generate_instance_uid=False)
    kept = archive.keep(encoded(lossy, JPEG2000), transfer_syntax_uid=JPEG2000)
    assert kept.outcome == "quarantined"
    assert "pixels differ" in (kept.instance.remark or "")


def test_pixels_that_cannot_be_decoded_are_quarantined(archive: Archive) -> None:
    keep(archive, FIRST)
    body = encoded(FIRST, JPEG2000Lossless)
    start = body.index(b"\xff\x4f\xff\x51") + 60
    broken = body[:start] + bytes(40) + body[start + 40 :]
    kept = archive.keep(broken, transfer_syntax_uid=JPEG2000Lossless)
    assert kept.outcome == "quarantined"
    assert "decoded" in (kept.instance.remark or "")


@pytest.mark.parametrize("damage", ["cut", "no group 0002"])
def test_what_comes_beside_a_damaged_first_is_quarantined(archive: Archive, damage: str) -> None:
    path = keep(archive, FIRST).instance.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-301] if damage == "cut" else bytes(400) + whole[400:])
    for second in (changed(SeriesDescription="edited"), other_pixels()):
        kept = keep(archive, second)
        assert (kept.outcome, kept.instance.remark) == (
            "quarantined", "the first cannot be read to compare with",
        )  # fmt: skip
    assert keep(archive, FIRST).outcome == "same"
    assert path.read_bytes() == whole


def test_without_a_process_to_compare_in_the_sender_is_asked_to_try_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(archive, FIRST, RLELossless)

    def no_process(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(subprocess, "run", no_process)
        with pytest.raises(Exhausted) as refusal:
            keep(archive, FIRST, JPEG2000Lossless)
    assert refusal.value.retryable
    assert keep(archive, FIRST, JPEG2000Lossless).outcome == "same-pixels"


def test_a_decoder_that_never_ends_is_ended() -> None:
    ours = Encoded(encoded(FIRST), 0, ExplicitVRLittleEndian)
    theirs = Encoded(encoded(FIRST, RLELossless), 0, RLELossless)
    found = compare(ours, theirs, patience_s=0.01)
    assert found.likeness == "other-pixels"
    assert "within" in (found.remark or "")
    assert compare(ours, theirs).likeness == "same"


def test_an_image_that_claims_to_be_huge_is_not_decoded() -> None:
    huge = changed(NumberOfFrames=200_000, Rows=32_000, Columns=32_000)
    ours = Encoded(encoded(FIRST, RLELossless), 0, RLELossless)
    body = encoded(FIRST, JPEG2000Lossless)
    header = encoded(huge)
    at, stop = header.index(b"\x28\x00\x02\x00"), header.index(b"\xe0\x7f\x10\x00")
    claimed = body[: body.index(b"\x28\x00\x02\x00")] + header[at:stop]
    theirs = Encoded(claimed + body[body.index(b"\xe0\x7f\x10\x00") :], 0, JPEG2000Lossless)
    assert compare(ours, theirs).likeness == "other-pixels"


def test_moved_contours_are_other_pixels(archive: Archive) -> None:
    first = make_rtstruct({"GTV": [SQUARE]}, PET)
    keep(archive, first)
    renamed = make_rtstruct({"GTV": [SQUARE]}, PET, StructureSetLabel="second")
    moved = make_rtstruct({"GTV": [SQUARE + np.array([1.0, 0, 0])]}, PET)
    assert keep(archive, renamed).outcome == "header-differs"
    assert keep(archive, moved).outcome == "quarantined"


def test_private_values_survive_another_encoding(archive: Archive) -> None:
    vendor = deepcopy(FIRST)
    block = vendor.private_block(0x0009, "VENDOR 1", create=True)
    block.add_new(0x01, "LO", "odd")
    block.add_new(0x02, "FD", 1.5)
    item = Dataset()
    item.SeriesDescription = "inner"
    block.add_new(0x03, "SQ", [item])
    keep(archive, vendor)
    assert keep(archive, vendor, ImplicitVRLittleEndian).outcome == "same-pixels"
    zero = deepcopy(FIRST)
    zero.AcquisitionNumber = None
    assert keep(archive, zero).outcome == "header-differs"


def test_many_senders_of_conflicting_objects(archive: Archive) -> None:
    variants = [
        encoded(FIRST),
        encoded(changed(SeriesDescription="edited")),
        encoded(changed(SeriesDescription="edited twice")),
        encoded(other_pixels()),
        encoded(changed(PatientID="P2")),
    ]

    def send(number: int) -> Kept:
        return archive.keep(
            variants[number % 5], transfer_syntax_uid=ExplicitVRLittleEndian, calling_ae="A"
        )

    keep(archive, FIRST)  # who is first is settled; everything after must be exact
    with ThreadPoolExecutor(20) as senders:
        outcomes = Counter(kept.outcome for kept in senders.map(send, range(100)))
    assert outcomes == {"same": 96, "header-differs": 2, "quarantined": 2}
    assert archive.counts() == {"kept": 1, "header-differs": 2, "quarantined": 2, "studies": 1}
    assert len(list((archive.root / "objects").rglob("*.dcm"))) == 5


def test_a_race_for_first_has_one_winner(archive: Archive) -> None:
    variants = [encoded(changed(SeriesDescription=f"edit {number}")) for number in range(10)]
    with ThreadPoolExecutor(10) as senders:
        outcomes = Counter(
            kept.outcome
            for kept in senders.map(
                lambda body: archive.keep(body, transfer_syntax_uid=ExplicitVRLittleEndian),
                variants * 4,
            )
        )
    assert outcomes == {"new": 1, "header-differs": 9, "same": 30}
