"""What is accepted: classes, syntaxes, callers, and the status for each error."""

import pydicom.uid
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, UID_dictionary

from pacsnode.errors import BadSettings, Unavailable
from pacsnode.intake import acceptance
from pacsnode.intake.acceptance import Callers, bind_address, in_order, status_for, syntaxes_for
from pacsnode.settings import Listen, Peer
from storage.errors import DiskFault, Exhausted, IndexFault, Mismatch, StorageFull, Unkeepable
from storage.files import IMPLEMENTATION_CLASS_UID
from tests.conftest import ROOT

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
JPEG2000, JPEG2000_LOSSLESS = "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.90"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SIEMENS_RAW = "1.3.12.2.1107.5.9.1"

WORKED_ON_BY_NAME = [
    "Positron Emission Tomography Image Storage", "Enhanced PET Image Storage",
    "Legacy Converted Enhanced PET Image Storage", "CT Image Storage", "Enhanced CT Image Storage",
    "Legacy Converted Enhanced CT Image Storage", "Segmentation Storage",
    "RT Structure Set Storage",
    "Real World Value Mapping Storage", "Comprehensive SR Storage", "Comprehensive 3D SR Storage",
    "Enhanced SR Storage", "Basic Text SR Storage", "X-Ray Radiation Dose SR Storage",
    "Key Object Selection Document Storage", "Extensible SR Storage",
]  # fmt: skip


@pytest.mark.parametrize("name", WORKED_ON_BY_NAME)
@pytest.mark.parametrize("others", ["keep", "reject"])
def test_input_and_reports_are_taken_whatever_the_rule_for_others(name: str, others: str) -> None:
    (sop_class,) = [uid for uid, entry in UID_dictionary.items() if entry[0] == name]
    taken = syntaxes_for(sop_class, others)  # type: ignore[arg-type]
    assert {IMPLICIT, EXPLICIT, JPEG2000, JPEG2000_LOSSLESS} <= taken
    assert JPEG_BASELINE not in taken


def test_label_maps_are_taken_though_the_dictionary_lacks_them() -> None:
    assert IMPLICIT in syntaxes_for("1.2.840.10008.5.1.4.1.1.66.7", "reject")


@pytest.mark.parametrize("sop_class", [SECONDARY_CAPTURE, SIEMENS_RAW, "1.2.840.10008.5.1.4.1.1.4"])
def test_other_storage_classes_are_kept_or_rejected_as_set(sop_class: str) -> None:
    assert JPEG_BASELINE in syntaxes_for(sop_class, "keep")
    assert syntaxes_for(sop_class, "reject") == frozenset()


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.1.1",  # verification is a service of its own
        "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root FIND
        "1.2.840.10008.5.1.4.31",  # Modality Worklist
        "1.2.840.10008.5.1.4.1.1.200.4",  # CT protocol FIND, below the storage arc
        "1.2.840.10008.1.20.1",  # Storage Commitment
    ],
)
def test_what_stores_no_composite_instance_is_not_taken(sop_class: str) -> None:
    assert syntaxes_for(sop_class, "keep") == frozenset()


def test_every_standard_storage_class_of_patients_is_taken() -> None:
    from pynetdicom import AllStoragePresentationContexts

    missed = [
        str(context.abstract_syntax)
        for context in AllStoragePresentationContexts
        if not syntaxes_for(str(context.abstract_syntax), "keep")
    ]
    # those of no patient: hanging protocols, palettes, implants, CT and XA protocols, inventories
    outside = ("1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.3", "1.2.840.10008.5.1.4.4")
    assert [sop_class for sop_class in missed if not sop_class.startswith(outside)] == []


def test_deflated_and_referenced_pixels_are_never_taken() -> None:
    taken = syntaxes_for(SECONDARY_CAPTURE, "keep")
    assert str(DeflatedExplicitVRLittleEndian) not in taken
    assert not [uid for uid in taken if "JPIP" in pydicom.uid.UID(uid).name]


def test_a_sender_gets_its_first_choice_unless_that_may_be_lossy() -> None:
    taken = syntaxes_for(SECONDARY_CAPTURE, "keep")
    assert in_order([[EXPLICIT, IMPLICIT]], taken) == (EXPLICIT, IMPLICIT)
    assert in_order([[IMPLICIT, EXPLICIT]], taken) == (IMPLICIT, EXPLICIT)
    assert in_order([[JPEG2000, EXPLICIT]], taken) == (EXPLICIT, JPEG2000)
    assert in_order([[JPEG2000_LOSSLESS, EXPLICIT]], taken) == (JPEG2000_LOSSLESS, EXPLICIT)
    assert in_order([["1.2.840.10008.1.2.1.99"], [IMPLICIT]], taken) == (IMPLICIT,)


SYNTAXES = st.sampled_from([IMPLICIT, EXPLICIT, JPEG2000, JPEG_BASELINE, "1.2.3"])


@given(st.lists(st.lists(SYNTAXES, max_size=4), max_size=4))
def test_only_what_is_both_proposed_and_taken_is_ordered(proposed: list[list[str]]) -> None:
    taken = syntaxes_for(SECONDARY_CAPTURE, "keep")
    ordered = in_order(proposed, taken)
    assert set(ordered) == {syntax for syntaxes in proposed for syntax in syntaxes} & taken
    assert len(set(ordered)) == len(ordered)


# who


@pytest.mark.parametrize(
    ("peer_address", "title", "address", "allowed"),
    [
        ("10.0.0.7", "SCANNER", "10.0.0.7", True),
        ("10.0.0.7", "SCANNER", "10.0.0.8", False),
        ("10.0.0.7", "OTHER", "10.0.0.7", False),
        ("10.0.0.7", "scanner", "10.0.0.7", False),
        ("10.0.0.0/24", "SCANNER", "10.0.0.200", True),
        ("10.0.0.0/24", "SCANNER", "10.0.1.1", False),
        ("10.0.0.7", "SCANNER ", "::ffff:10.0.0.7", True),
        (None, "SCANNER", "192.168.1.1", True),
        (None, "OTHER", "192.168.1.1", False),
        ("localhost", "SCANNER", "127.0.0.1", True),
    ],
)
def test_a_caller_needs_its_title_and_its_address(
    peer_address: str | None, title: str, address: str, allowed: bool
) -> None:
    callers = Callers.from_peers([Peer(ae_title="SCANNER", address=peer_address)])
    assert callers.may_send(title, address) is allowed


def test_an_address_of_no_peer_may_not_even_connect() -> None:
    callers = Callers.from_peers(
        [Peer(ae_title="A", address="10.0.0.7"), Peer(ae_title="B", address="10.0.1.0/24")]
    )
    assert callers.may_connect("10.0.0.7")
    assert callers.may_connect("10.0.1.9")
    assert not callers.may_connect("10.0.0.8")
    assert Callers.from_peers([]).may_connect("10.0.0.8")


def test_titles_and_addresses_of_different_peers_do_not_mix() -> None:
    callers = Callers.from_peers(
        [Peer(ae_title="A", address="10.0.0.1"), Peer(ae_title="B", address="10.0.0.2")]
    )
    assert not callers.may_send("A", "10.0.0.2")


def test_a_peer_whose_host_name_is_unknown_may_be_known_later() -> None:
    with pytest.raises(Unavailable, match="SCANNER"):
        Callers.from_peers([Peer(ae_title="SCANNER", address="no such host")])


def test_without_peers_only_loopback_is_bound() -> None:
    assert bind_address(Listen()) == "127.0.0.1"
    assert bind_address(Listen(address="::1")) == "::1"
    for open_address in ("0.0.0.0", "192.168.1.5", "pacs.example"):  # noqa: S104
        with pytest.raises(BadSettings, match=r"listen\.peers"):
            bind_address(Listen(address=open_address))
    peers = (Peer(ae_title="SCANNER"),)
    assert bind_address(Listen(peers=peers)) == "0.0.0.0"  # noqa: S104
    assert bind_address(Listen(peers=peers, address="192.168.1.5")) == "192.168.1.5"


# with which answer


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFull("no space"), 0xA700),
        (IndexFault("locked"), 0xA700),
        (DiskFault("input/output error"), 0xA700),
        (Mismatch("another instance"), 0xA900),
        (Unkeepable("no UID"), 0xC000),
        (ValueError("a bug"), 0xC000),
        (Exhausted("no process"), 0xA700),
        (MemoryError(), 0xA700),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int) -> None:
    assert status_for(error) == status


def test_the_conformance_page_names_every_class_syntax_and_status() -> None:
    page = (ROOT / "docs" / "reference" / "conformance.md").read_text()
    assert [uid for uid in sorted(acceptance.WORKED_ON) if f"| {uid} |" not in page] == []
    syntaxes = acceptance.LOSSLESS + acceptance.POSSIBLY_LOSSY
    assert [
        uid for uid in syntaxes if uid not in page and f", .{uid.split('.')[-1]} " not in page
    ] == []
    for status in (0x0000, 0xA700, 0xA900, 0xC000):
        assert f"| 0x{status:04X} |" in page
    assert IMPLEMENTATION_CLASS_UID in page


def test_the_classes_worked_on_are_named_once() -> None:
    assert len(acceptance.WORKED_ON) == 10
