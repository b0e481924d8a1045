"""The parts of the statement where the node is SCU: reports out, missing images in."""

from collections.abc import Iterator

from pacsnode import dimse_peer
from pacsnode.asking import dimse as asking
from pacsnode.delivery.cstore import SENT
from pacsnode.delivery.outgoing import LITTLE_ENDIAN
from pacsnode.delivery.statuses import (
    ALREADY_THERE,
    ATTRIBUTE_LIST_WARNING,
    NEEDS_A_PERSON,
)
from pacsnode.web.statement.blocks import Block, Heading, Paragraph, Table
from pacsnode.web.statement.provider import name_of

IN_WORDS = "0xA9xx, 0xCxxx"


def statuses_of_a_person() -> str:
    """Those that another try does not mend, as a list."""
    told = [f"0x{status:04X}" for status in sorted(NEEDS_A_PERSON) if status < 0xA000]
    return ", ".join((IN_WORDS, *told))


def storage_user() -> Iterator[Block]:
    """Deliveries by C-STORE."""
    yield Heading(3, "Storage as SCU")
    yield Table(
        ("SOP class", "UID", "transfer syntaxes", "SCU", "SCP"),
        tuple(
            (name_of(str(one)), str(one), ", ".join(each.name for each in LITTLE_ENDIAN), "yes",
             "yes")
            for one in SENT
        ),
    )  # fmt: skip
    yield Paragraph(
        "Reports, and the segmentations that are made of structure sets, go to every destination "
        "in one association, segmentation first. They go in the syntax they are kept in; where the "
        "destination takes only the other of the two, in that. Where Comprehensive 3D SR is not "
        "accepted, the report goes as the first class of `destinations.fallback` that is: "
        "Comprehensive SR, or Basic Text SR, which needs no segmentation. Otherwise nothing is "
        "sent unless every class is accepted. With `destinations.key_images`, Secondary Captures "
        "follow the report where their class is accepted. A Key Object Selection goes to who got "
        "a report that a person rejected. `destinations.mode` may hold all of it until a person "
        "accepts it (`review`), or send nothing (`shadow`). One association a destination is open "
        "at a time."
    )
    again = "0xA7xx, 0x0110, 0x0213 and any status not named here"
    yield Table(
        ("the destination answers", "the delivery"),
        (
            (
                f"0x0000; 0xBxxx, 0x{ATTRIBUTE_LIST_WARNING:04X} (warnings); "
                f"0x{ALREADY_THERE:04X} (it has this instance already)",
                "is done",
            ),
            (
                "no connection, no answer in time, an abort; an association rejected as transient, "
                f"or for congestion or a local limit; {again}",
                "is tried again",
            ),
            (
                "an association rejected as permanent, for instance because our AE title is not "
                f"known; no presentation context for a class; {statuses_of_a_person()}",
                "is parked with the fix named",
            ),
        ),
    )
    yield Paragraph(
        f"Timeouts: {dimse_peer.CONNECTION_TIMEOUT_S:.0f} s to connect, "
        f"{dimse_peer.ACSE_TIMEOUT_S:.0f} s for the association, "
        f"{dimse_peer.DIMSE_TIMEOUT_S:.0f} s for an answer, "
        f"{dimse_peer.STALL_TIMEOUT_S:.0f} s without a byte within a PDU. Maximum PDU length "
        f"announced: {dimse_peer.MAXIMUM_PDU_LENGTH} bytes. "
        "`pacsnode check AET@HOST:PORT` asks a destination for all of this with a C-ECHO, and "
        "sends nothing. Storage commitment is not asked for."
    )


def query_user() -> Iterator[Block]:
    """C-FIND, C-MOVE and C-GET of sources."""
    yield Heading(3, "Query and Retrieve as SCU")
    yield Table(
        ("SOP class", "UID", "SCU", "SCP"),
        tuple(
            (name_of(str(one)), str(one), "yes", "no")
            for one in (asking.FIND, asking.MOVE, asking.GET)
        ),
    )
    yield Paragraph(
        "For a mask that lacks images, each of `[[sources]]` with an AE title is asked over one "
        "association: C-FIND at the SERIES level for the series of the mask's study (and for a "
        "series that the mask names elsewhere, without its study, which a source may refuse), then "
        "at the IMAGE level for each that is needed. What is not here is fetched by C-MOVE to "
        "`listen.ae_title` or by C-GET, by `sources.retrieve`: at the SERIES level where the whole "
        f"series is missing, else at the IMAGE level with up to {asking.AT_A_TIME} SOP Instance "
        "UIDs in a request. For C-GET the node is SCP, by role selection, of: "
        + ", ".join(name_of(str(one)) for one in asking.IMAGES)
        + "; in every transfer syntax above, a context each. Extended negotiation (relational "
        "queries, fuzzy matching) is not proposed."
    )
    yield Table(
        ("the source answers", "what follows"),
        (
            ("0x0000, 0xBxxx", "what is here then is counted"),
            (
                "an association rejected as permanent; a model that it does not accept; "
                f"0x{asking.MOVE_DESTINATION_UNKNOWN:04X} (it does not know our AE title); "
                f"{statuses_of_a_person()}",
                "it is not asked again for this mask in this round, and the fix is named",
            ),
            ("anything else", "it is asked again"),
        ),
    )
    yield Paragraph(
        "A C-MOVE comes back as any other C-STORE: the source must be one of `[[listen.peers]]`."
    )
