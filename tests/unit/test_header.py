"""What is read of an object without its pixels: against pydicom, and against every lie."""

import random
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, Sequence
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from storage.errors import Unkeepable
from storage.header import CHOSEN, Header, is_uid, read_header
from storage.header.elements import DEEPEST
from tests.encoded import encoded
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg, uid

SQUARE = [[-20.0, -20.0, 6.0], [4.0, -20.0, 6.0], [4.0, 12.0, 6.0], [-20.0, 12.0, 6.0]]


@pytest.fixture(scope="module")
def pet() -> list[Dataset]:
    return make_pet()


@pytest.fixture(scope="module")
def small(pet: list[Dataset]) -> bytes:
    return encoded(pet[0])


def _plain(value: Any, nested: Mapping[str, Any] | None) -> Any:
    """What pydicom says, in the shape we keep."""
    if nested is not None:
        return tuple(_selected(item, nested) for item in value)
    if isinstance(value, pydicom.multival.MultiValue):
        return tuple(_plain(one, None) for one in value)
    if isinstance(value, pydicom.valuerep.DSfloat):
        return float(value)
    if isinstance(value, pydicom.valuerep.IS):
        return int(value)
    return value if isinstance(value, int | float) else str(value).strip(" \0")


def _selected(dataset: Dataset, chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        keyword: _plain(dataset[keyword].value, nested)
        for keyword, nested in chosen.items()
        if keyword in dataset and dataset[keyword].value not in (None, "", [])
        and (nested is None or len(dataset[keyword].value))
    }  # fmt: skip


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(one) for key, one in value.items()}
    return tuple(_thawed(one) for one in value) if isinstance(value, tuple) else value


def _agrees_with_pydicom(header: Header, dataset: Dataset) -> None:
    assert header.sop_instance_uid == dataset.SOPInstanceUID
    assert header.sop_class_uid == dataset.SOPClassUID
    assert header.series_instance_uid == dataset.SeriesInstanceUID
    assert header.study_instance_uid == dataset.StudyInstanceUID
    assert header.modality == dataset.Modality
    expected = _selected(dataset, CHOSEN)
    ours = _thawed(header.attributes)
    if header.modality == "SEG":  # the planes of a mask are remembered once each
        frames = expected.pop("PerFrameFunctionalGroupsSequence", ())
        kept = ours.pop("PerFrameFunctionalGroupsSequence", ())
        assert [frame for frame in kept if frame not in frames] == []
        assert [frame for frame in frames if frame and frame not in kept] == []
        assert len(set(map(repr, kept))) == len(kept)
    assert ours == expected


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless,
               JPEG2000Lossless],
)  # fmt: skip
def test_every_encoding_gives_the_same_header(pet: list[Dataset], syntax: str) -> None:
    header = read_header(encoded(pet[3], syntax), syntax)
    _agrees_with_pydicom(header, pet[3])
    assert header.frame_of_reference_uid == pet[3].FrameOfReferenceUID
    assert header.is_image


def test_made_masks_agree_with_pydicom(pet: list[Dataset]) -> None:
    seg = make_seg({"lesion": pet_mask(pet), "other": pet_mask(pet)}, pet)
    rtstruct = make_rtstruct({"GTV 1": [SQUARE]}, pet)
    for dataset in (seg, rtstruct, make_ct()[0]):
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            header = read_header(encoded(dataset, syntax), syntax)
            _agrees_with_pydicom(header, dataset)
            assert header.is_image == (dataset.Modality == "CT")


def pet_mask(pet: list[Dataset]) -> Any:
    import numpy as np

    mask = np.zeros((len(pet), 32, 32), bool)
    mask[2:5, 10:20, 10:20] = True
    return mask


def test_masks_name_what_they_are_drawn_on(pet: list[Dataset]) -> None:
    seg = read_header(encoded(make_seg({"lesion": pet_mask(pet)}, pet)), ExplicitVRLittleEndian)
    assert {one.sop_instance_uid for one in seg.references} >= {
        one.SOPInstanceUID for one in pet[2:5]
    }
    assert {one.sop_instance_uid for one in seg.references} <= {one.SOPInstanceUID for one in pet}
    assert {one.series_instance_uid for one in seg.references} == {pet[0].SeriesInstanceUID}
    rtstruct = make_rtstruct({"GTV": [SQUARE]}, pet)
    header = read_header(encoded(rtstruct), ExplicitVRLittleEndian)
    assert header.frame_of_reference_uid == pet[0].FrameOfReferenceUID
    assert {one.sop_instance_uid for one in header.references} >= {pet[2].SOPInstanceUID}
    assert pet[0].StudyInstanceUID not in {one.sop_instance_uid for one in header.references}
    assert header.referenced_series == (pet[0].SeriesInstanceUID,)
    assert header.extent_lps_mm == (-20.0, -20.0, 6.0, 4.0, 12.0, 6.0)


def test_real_objects_agree_with_pydicom(data: Path) -> None:
    folders = ("quadra_headers", "pet_single", "rtstruct_variety", "seg_variety", "sr_other_tools")
    paths = [path for folder in folders for path in sorted((data / folder).rglob("*.dcm"))]
    paths += sorted((data / "ibsi_sts").rglob("RTSTRUCT*.dcm"))
    paths += sorted((data / "ibsi_sts").rglob("*.dcm"))[::40]
    paths += sorted((data / "qin0139").rglob("*.dcm"))[::60]
    assert len(paths) > 40
    for path in paths:
        _agrees_with_pydicom(read_header(path), pydicom.dcmread(path))


def test_the_qin_seg_names_66_slices_of_its_pet(data: Path) -> None:
    (path,) = (data / "qin0139" / "seg").glob("*.dcm")
    header = read_header(path)
    images = [one for one in header.references if one.series_instance_uid is not None]
    assert len(images) == 66
    assert len(header.attributes["SegmentSequence"]) == 11


def test_no_word_about_the_patient_is_remembered(pet: list[Dataset]) -> None:
    canary = make_pet(
        PatientName="Canary^Name", PatientID="CANARY-ID", PatientBirthDate="19010203",
        AccessionNumber="CANARY-ACC", OtherPatientIDs="CANARY-OTHER", PatientAddress="Canary St",
        OperatorsName="Canary^Op", ReferringPhysicianName="Canary^Ref", PatientComments="canary",
        InstitutionAddress="Canary Rd", ImageComments="canary", StudyID="CANARY-ST",
    )[0]  # fmt: skip
    header = read_header(encoded(canary), ExplicitVRLittleEndian)
    assert "canary" not in repr(header.attributes).lower()
    assert header.patient.patient_id == "CANARY-ID"


@pytest.mark.parametrize(
    ("character_set", "raw", "text"),
    [
        ("ISO_IR 192", "Läsion 病変".encode(), "Läsion 病変"),
        ("ISO_IR 100", "Läsion".encode("latin-1"), "Läsion"),
        # the second byte of this letter is a backslash
        ("GB18030", "肿瘤誠".encode("gb18030"), "肿瘤誠"),
        ("\\ISO 2022 IR 87", b"\x1b$B\x49\x42\x4a\x51\x1b(B", "病変"),
        (None, "Läsion".encode("latin-1"), "Läsion"),
        ("ISO_IR nonsense", b"plain", "plain"),
    ],
)
def test_text_comes_in_its_character_set(
    pet: list[Dataset], character_set: str | None, raw: bytes, text: str
) -> None:
    dataset = pet[0].copy()
    dataset.pop("SpecificCharacterSet", None)
    mark = b"SERIES-DESCRIPTION-MARK".ljust(len(raw) + len(raw) % 2)
    dataset.SeriesDescription = mark.decode()
    bytes_ = encoded(dataset).replace(mark, raw.ljust(len(mark)))
    if character_set is not None:
        value = character_set.encode().ljust(len(character_set) + len(character_set) % 2)
        at = bytes_.index(b"\x08\x00\x08\x00CS")
        element = struct.pack("<HH2sH", 8, 5, b"CS", len(value)) + value
        bytes_ = bytes_[:at] + element + bytes_[at:]
    header = read_header(bytes_, ExplicitVRLittleEndian)
    assert header.attributes["SeriesDescription"] == text


def test_a_sequence_behind_un_is_read(pet: list[Dataset]) -> None:
    # an archive that does not know SEG stores its sequences as UN (PS3.5 6.2.2)
    seg = make_seg({"lesion": pet_mask(pet)}, pet)
    only = Dataset()
    only.SegmentSequence = seg.SegmentSequence
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, only)
    items = buffer.getvalue()[8:]
    explicit = encoded(seg)
    start = explicit.index(b"\x62\x00\x02\x00SQ")
    size = struct.unpack("<L", explicit[start + 8 : start + 12])[0]
    assert size != 0xFFFFFFFF
    unknown = b"\x62\x00\x02\x00UN\x00\x00" + struct.pack("<L", len(items)) + items
    rewritten = explicit[:start] + unknown + explicit[start + 12 + size :]
    known, again = (
        read_header(one, ExplicitVRLittleEndian).attributes["SegmentSequence"]
        for one in (explicit, rewritten)
    )
    assert len(known) == 1
    assert again == known


def test_every_cut_of_an_image_is_refused(small: bytes) -> None:
    for length in range(len(small)):
        with pytest.raises(Unkeepable):
            read_header(small[:length], ExplicitVRLittleEndian)
    read_header(small, ExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_every_cut_is_refused_in_other_encodings(pet: list[Dataset], syntax: str) -> None:
    whole = encoded(pet[0], syntax)
    for length in range(0, len(whole), 3):
        with pytest.raises(Unkeepable):
            read_header(whole[:length], syntax)


def test_a_lying_length_is_refused(small: bytes) -> None:
    text = struct.pack("<HH2sHL", 0x0008, 0x0001, b"UT", 0, 0x7FFFFFFF) + b"abc"
    with pytest.raises(Unkeepable, match="cut off"):
        read_header(small + text, ExplicitVRLittleEndian)


def _nested(depth: int, *, private: bool) -> bytes:
    tag = b"\x09\x00\x10\x10" if private else b"\x08\x00\x15\x11"
    opening = tag + b"SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00" + b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    return opening * depth + closing * depth


@pytest.mark.parametrize("private", [False, True])
def test_sequences_nest_only_so_deep(small: bytes, private: bool) -> None:
    at = small.index(b"\x10\x00\x10\x00PN")
    read_header(small[:at] + _nested(DEEPEST, private=private) + small[at:], ExplicitVRLittleEndian)
    for depth in (DEEPEST + 1, 200_000):
        deep = small[:at] + _nested(depth, private=private) + small[at:]
        with pytest.raises(Unkeepable, match="deeper"):
            read_header(deep, ExplicitVRLittleEndian)


def test_elements_are_counted(small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.header.elements.MOST_ELEMENTS", 40)
    with pytest.raises(Unkeepable, match="More than 40"):
        read_header(small, ExplicitVRLittleEndian)


def test_a_broken_private_sequence_is_the_vendors_own(small: bytes) -> None:
    at = small.index(b"\x10\x00\x10\x00PN")
    broken = b"\x09\x00\x10\x10SQ\x00\x00\x06\x00\x00\x00broken"
    read_header(small[:at] + broken + small[at:], ExplicitVRLittleEndian)
    public = b"\x08\x00\x15\x11SQ\x00\x00\x06\x00\x00\x00broken"
    with pytest.raises(Unkeepable):
        read_header(small[:at] + public + small[at:], ExplicitVRLittleEndian)


def test_an_element_stated_twice_differently_is_refused(small: bytes) -> None:
    modality = struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2) + b"CT"
    with pytest.raises(Unkeepable, match="twice"):
        read_header(small + modality, ExplicitVRLittleEndian)


def test_groups_of_commands_and_files_are_refused(small: bytes) -> None:
    for group in (0x0000, 0x0002, 0x0004, 0x0006):
        smuggled = struct.pack("<HH2sH", group, 0x0010, b"UI", 4) + b"1.2\0"
        with pytest.raises(Unkeepable, match="does not belong"):
            read_header(smuggled + small, ExplicitVRLittleEndian)


@pytest.mark.parametrize(
    "syntax", [DeflatedExplicitVRLittleEndian, "1.2.840.113619.5.2", "", "../../etc", "1.2\n3"]
)
def test_syntaxes_that_are_not_taken(small: bytes, syntax: str) -> None:
    with pytest.raises(Unkeepable):
        read_header(small, syntax)


@given(st.text(max_size=80))
def test_only_digits_and_single_dots_are_a_uid(text: str) -> None:
    if is_uid(text):
        assert 0 < len(text) <= 64
        assert all(part.isascii() and part.isdigit() for part in text.split("."))


@pytest.mark.parametrize(
    "bad",
    ["", "1..2", ".1", "1.", "1.2/../3", "../../etc/passwd", "1.2.3;touch x", "1" * 65, "1.2\0.3",
     "1.2.\u0661", "C:\\1.2", "1.2.3\n", "12345", "1.2.-3"],
)  # fmt: skip
def test_hostile_uids_are_refused_wherever_they_identify(bad: str) -> None:
    assert not is_uid(bad)
    for keyword in ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert_refused(keyword, bad)


def assert_refused(keyword: str, bad: str) -> None:
    tags = {"SOPClassUID": 0x00080016, "SOPInstanceUID": 0x00080018,
            "StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E}  # fmt: skip
    body = b""
    for name, tag in tags.items():
        value = (bad if name == keyword else uid(name)).encode("utf-8")
        value += b"\0" * (len(value) % 2)
        body += struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(value)) + value
    if bad.endswith("\0"):
        return
    with pytest.raises(Unkeepable, match=keyword):
        read_header(body, ExplicitVRLittleEndian)


def test_a_malformed_reference_names_nothing(pet: list[Dataset]) -> None:
    rtstruct = make_rtstruct({"GTV": [SQUARE]}, pet)
    good = read_header(encoded(rtstruct), ExplicitVRLittleEndian)
    hostile = encoded(rtstruct).replace(
        pet[2].SOPInstanceUID.encode(), b"../".ljust(len(pet[2].SOPInstanceUID), b"x")
    )
    header = read_header(hostile, ExplicitVRLittleEndian)
    assert len(header.references) == len(good.references) - 1


def test_mutated_objects_are_read_or_refused(small: bytes, pet: list[Dataset]) -> None:
    dice = random.Random(20240102)
    seeds = [(small, ExplicitVRLittleEndian)]
    masks = make_seg({"lesion": pet_mask(pet)}, pet), make_rtstruct({"G": [SQUARE]}, pet)
    seeds += [(encoded(one, ImplicitVRLittleEndian), ImplicitVRLittleEndian) for one in masks]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(1500):
        seed, syntax = seeds[0] if dice.random() < 0.7 else dice.choice(seeds)
        mutated = bytearray(seed)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(mutated))
            width = dice.randint(0, 2)
            mutated[at : at + width] = dice.randbytes(width if dice.random() < 0.8 else 4)
        try:
            read_header(bytes(mutated), syntax)
        except Unkeepable:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    assert min(outcomes.values()) > 50


def test_the_malformed_corpus_is_read_or_refused(data: Path) -> None:
    read = refused = 0
    for path in sorted((data / "malformed").rglob("*")):
        if not path.is_file():
            continue
        began = time.monotonic()
        try:
            read_header(path)
        except Unkeepable:
            refused += 1
        else:
            read += 1
        assert time.monotonic() - began < 2
    assert read + refused >= 111
    assert refused > 15


def test_files_without_preamble_or_meta_are_recognised(pet: list[Dataset], tmp_path: Path) -> None:
    for number, syntax in enumerate(
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
    ):
        path = tmp_path / f"{number}"
        path.write_bytes(encoded(pet[0], syntax))
        header = read_header(path)
        assert header.transfer_syntax_uid == syntax
        _agrees_with_pydicom(header, pet[0])
    for junk in (b"", b"\0" * 200, b"%PDF-1.7 and so on", b"PK\x03\x04" * 60):
        (tmp_path / "junk").write_bytes(junk)
        with pytest.raises(Unkeepable):
            read_header(tmp_path / "junk")


def test_a_set_of_sequences_keeps_its_order(pet: list[Dataset]) -> None:
    dataset = pet[0].copy()
    dataset.ReferencedImageSequence = Sequence()
    for number in range(3):
        item = Dataset()
        item.ReferencedSOPClassUID = pet[0].SOPClassUID
        item.ReferencedSOPInstanceUID = uid(f"other {number}")
        dataset.ReferencedImageSequence.append(item)
    header = read_header(encoded(dataset), ExplicitVRLittleEndian)
    assert [one.sop_instance_uid for one in header.references] == [
        uid(f"other {number}") for number in range(3)
    ]
