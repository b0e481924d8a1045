"""The DICOMweb user agents' parts of the statement: reports out, missing images in."""

from collections.abc import Iterator

from pacsnode import web_peer
from pacsnode.delivery.statuses import ALREADY_THERE
from pacsnode.delivery.stow import CONFLICT, REFUSALS, SAY_ALREADY_THERE
from pacsnode.web.statement.blocks import Block, Heading, Paragraph, Table
from pacsnode.web.statement.user import statuses_of_a_person


def store_agent() -> Iterator[Block]:
    """STOW-RS to destinations."""
    there = " or ".join(f"0x{reason:04X}" for reason in sorted(SAY_ALREADY_THERE))
    again = ", ".join(map(str, sorted(web_peer.TRY_AGAIN)))
    refused = ", ".join(map(str, sorted({*web_peer.REFUSALS, *REFUSALS} - {CONFLICT})))
    yield Heading(3, "STOW-RS as user agent")
    yield Paragraph(
        "A destination with a `url` gets the same objects as one with an AE title, by the Store "
        "transaction (PS3.18 10.5): one POST to `/studies` for a report, segmentation first, "
        '`multipart/related; type="application/dicom"`, in the syntax they are kept in, byte for '
        "byte, with a Content-Length. The answer is asked for in `application/dicom+json`. Each "
        "instance is judged by what the answer says of it, and that is kept in the journal:"
    )
    yield Table(
        ("the destination says of an instance", "the delivery"),
        (
            (
                "in the Referenced SOP Sequence of a 200 or 202, with or without a warning",
                "is done",
            ),
            (
                f"{CONFLICT}; or failure reason {there} (it has this instance); or a 200 or 202 "
                "that does not name it",
                "is decided by a look: the instance is retrieved (WADO-RS, `transfer-syntax=*`) "
                "and compared",
            ),
            ("... the same dataset, byte for byte or value by value, is there", "is done"),
            ("... another dataset is there", "is parked: two objects have one UID"),
            (
                f"... nothing can be retrieved, and the reason is {there}",
                f"is done, as with 0x{ALREADY_THERE:04X} of C-STORE: our UIDs are derived, and "
                "what has this UID is what we sent",
            ),
            (
                "... nothing can be retrieved otherwise",
                f"follows the failure reason; without one, a {CONFLICT} is parked and a 200 or 202 "
                "tried again",
            ),
            (f"failure reason {statuses_of_a_person()}", "is parked with the fix named"),
            ("any other failure reason (0xA7xx, 0x0110)", "is tried again"),
        ),
    )
    yield Table(
        ("the destination answers the request as a whole", "the delivery"),
        (
            (
                f"{again}, 5xx; nothing, too slowly, in part; no connection, no TLS",
                "is tried again",
            ),
            (
                "3xx (never followed: credentials go to the host of the settings alone), "
                f"{refused}, other 4xx; a certificate that is not trusted",
                "is parked with the fix named",
            ),
        ),
    )
    yield Paragraph(
        "Credentials: a bearer token or basic authentication, over TLS or on loopback alone. "
        "Certificates are always verified, against Python's certifi or `ca_file`. Timeouts: "
        f"{web_peer.CONNECTION_TIMEOUT_S:.0f} s to connect and for each "
        f"{web_peer.PIECE >> 10} KiB sent, {web_peer.SILENCE_TIMEOUT_S:.0f} s of silence, "
        f"{web_peer.ANSWER_TIMEOUT_S:.0f} s for a whole answer, which may have "
        f"{web_peer.LARGEST_ANSWER >> 20} MiB. `Retry-After` is not heeded: pauses are "
        "[those of every delivery](jobs.md#the-delivery-job)."
    )


def search_agent() -> Iterator[Block]:
    """QIDO-RS and WADO-RS of sources."""
    yield Heading(3, "QIDO-RS and WADO-RS as user agent")
    yield Paragraph(
        "A source with a `url` is asked in the order of DIMSE sources: `/studies/{study}/series`, "
        "`/series?SeriesInstanceUID=` for a series that the mask names elsewhere, `/instances` of "
        "each series page by page (`offset`), and the missing instances one by one, "
        '`multipart/related; type="application/dicom"; transfer-syntax=*`. An instance that is not '
        "the one asked for, or in a class or transfer syntax that the node does not take, is not "
        "kept. 204 and 404 mean that it has none; 401, 403, 3xx and other 4xx are told with the "
        "fix. A request whose connection is closed without an answer is sent once more. Limits, "
        "credentials and timeouts are those of STOW-RS; an instance may have "
        "`listen.maximum_object_mb`."
    )
