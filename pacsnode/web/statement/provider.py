"""The storage SCP's part of the statement."""

from collections.abc import Iterator
from typing import Final

from pydicom.uid import UID

from pacsnode.intake import acceptance, guard
from pacsnode.intake.association import ACSE_TIMEOUT_S, VERIFICATION
from pacsnode.web.statement.blocks import Block, Heading, Paragraph, Table
from storage.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# pydicom's dictionary may be older than a class
NAMES: Final = {
    acceptance.LABEL_MAP_SEGMENTATION_STORAGE: "Label Map Segmentation Storage",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless, RPCL",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
}
STATUSES: Final = {
    acceptance.SUCCESS: (
        "Success",
        "The object is durable: its file is written, synced and named, its folder synced, its "
        "index row committed. The same object again, and one that is set apart because it "
        "contradicts an earlier one under its UID, are durable too",
    ),
    acceptance.OUT_OF_RESOURCES: (
        "Refused: Out of Resources",
        "No space, or less than `listen.free_space_reserve_mb`; the disk or the index cannot be "
        "used now; no memory or process is left. Send again",
    ),
    acceptance.MISMATCH: (
        "Error: Data Set Does Not Match SOP Class",
        "Class or instance of the command are not those of the dataset, or the class is not that "
        "of the presentation context",
    ),
    acceptance.CANNOT_UNDERSTAND: (
        "Error: Cannot Understand",
        "The object cannot be read as one: no or malformed UIDs, a truncated element; or a fault "
        "of ours, which the log names",
    ),
}


def name_of(uid: str) -> str:
    """What the standard calls a UID."""
    return NAMES.get(uid) or UID(uid).name


def syntaxes() -> Table:
    """Every transfer syntax that is taken."""
    others_only = [
        one for one in acceptance.POSSIBLY_LOSSY
        if one not in acceptance.syntaxes_for(next(iter(acceptance.WORKED_ON)), "keep")
    ]  # fmt: skip
    rows = [(name_of(one), one, "") for one in acceptance.LOSSLESS]
    for one in acceptance.POSSIBLY_LOSSY:
        why = "only where no lossless one is proposed"
        rows.append((name_of(one), one, f"other objects, {why}" if one in others_only else why))
    return Table(("transfer syntax", "UID", ""), tuple(rows))


def storage_provider() -> Iterator[Block]:
    """Classes, associations, answers."""
    yield Heading(3, "Storage as SCP")
    yield Heading(4, "SOP classes")
    classes = sorted(acceptance.WORKED_ON, key=name_of)
    yield Table(
        ("SOP class", "UID", "SCU", "SCP"),
        (
            ("Verification", str(VERIFICATION), "yes", "yes"),
            *((name_of(one), one, _as_user(one), "yes") for one in classes),
            ("every structured report", f"{acceptance.STRUCTURED_REPORTS}*", "", "yes"),
            (
                "every other storage class of a patient's objects, and private classes",
                "kept and not worked on",
                "no",
                'yes, unless `listen.other_objects = "reject"`',
            ),
        ),
    )
    yield Paragraph(
        "What is sent is told under [Storage as SCU](#storage-as-scu). PET and CT classes are also "
        "proposed with the SCP role where a source is asked by C-GET."
    )
    yield Heading(4, "Association policies")
    yield Table(("", ""), tuple(_policies()))
    yield Heading(4, "Association acceptance")
    yield Paragraph(
        "Each `[[listen.peers]]` entry is an AE title with the address, network or host name it "
        "must come from. Title and address must belong to one entry, or the association is "
        "rejected: permanent, service user, calling AE title not recognised. An address that "
        "belongs to no entry is cut off before it can ask. Host names are resolved once, at the "
        "start. An entry without an address trusts the AE title alone. Without entries the node "
        "listens on loopback only, and refuses to start on any other address."
    )
    yield Heading(4, "Transfer syntaxes")
    yield syntaxes()
    yield Paragraph(
        "Deflated Explicit VR Little Endian is not accepted: 300 KiB of it can unfold to 300 MiB. "
        "Of the syntaxes in a presentation context the first that the sender lists is chosen, so "
        "that nothing is converted on the way; those that may have lost something go last. Objects "
        "are kept in the syntax they come in, the dataset byte for byte."
    )
    yield Heading(4, "Answers to C-STORE")
    yield Table(
        ("status", "meaning", "when"),
        tuple((f"0x{status:04X}", *told) for status, told in STATUSES.items()),
    )
    yield Paragraph(
        "The association goes on after each of them. An object whose transfer is broken off is not "
        "kept in part. C-ECHO is answered with 0x0000."
    )


def _as_user(sop_class: str) -> str:
    from pacsnode.delivery.cstore import SENT

    return "yes" if sop_class in map(str, SENT) else "no"


def _policies() -> Iterator[tuple[str, str]]:
    yield "application context", "1.2.840.10008.3.1.1.1"
    yield "Implementation Class UID", IMPLEMENTATION_CLASS_UID
    yield "Implementation Version Name", f"`{IMPLEMENTATION_VERSION_NAME}`"
    yield "AE title", "`listen.ae_title`; the called AE title is not checked"
    yield (
        "associations at a time",
        "`listen.maximum_associations`; one more is rejected as transient, local limit exceeded",
    )
    yield (
        "connections of one address",
        "`listen.maximum_associations_per_address`; one more is closed",
    )
    yield (
        "maximum PDU length",
        "`listen.maximum_pdu_length` is announced; a P-DATA PDU that claims more than "
        f"{guard.LARGEST_P_DATA >> 20} MiB, or another that claims more than "
        f"{guard.LARGEST_OTHER >> 10} KiB, ends the connection",
    )
    yield "largest object", "`listen.maximum_object_mb`; a larger one ends its association"
    yield (
        "timeouts",
        f"{ACSE_TIMEOUT_S:.0f} s for the A-ASSOCIATE-RQ; `listen.network_timeout_s` of silence, or "
        "for one PDU",
    )
    yield (
        "extended negotiation",
        "SOP class common extended negotiation is not needed: private and new storage classes are "
        "taken without it; SOP class extended negotiation, asynchronous operations and user "
        "identity are not negotiated",
    )
