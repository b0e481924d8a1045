"""The DICOMweb origin server's part of the statement (PS3.18)."""

from collections.abc import Iterator
from typing import Final

from pacsnode.intake import acceptance
from pacsnode.web import rendering
from pacsnode.web.answers import ROOT
from pacsnode.web.media import JPEG, PNG, RELATED
from pacsnode.web.metadata import INLINE_BYTES
from pacsnode.web.multipart import MOST_PARTS
from pacsnode.web.query import MOST_RESULTS, PAGES
from pacsnode.web.searching import REQUEST
from pacsnode.web.spool import LEAST_BYTES_A_S
from pacsnode.web.statement.blocks import Block, Heading, Paragraph, Table
from pacsnode.web.storing import CLASS_NOT_SUPPORTED, SYNTAX_NOT_SUPPORTED
from pacsnode.web.table import OFFERED
from storage.catalog.searching import COLUMNS, Level

SERVICES: Final = {"Store": "STOW-RS", "Search": "QIDO-RS", "Retrieve": "WADO-RS"}
LEVELS: Final[tuple[Level, ...]] = ("study", "series", "instance")
STATUSES: Final = (
    ("400", "a malformed UID, parameter, header or body; a body that is cut off"),
    (
        "401, 429",
        "nobody is logged in, and no valid token is sent; too many refused logins or tokens",
    ),
    ("403", "the role is missing; the Host header names another machine"),
    ("404, 405", "nothing is kept there; no such resource or method"),
    ("406", "no media type or transfer syntax of the Accept header can be had"),
    (
        "408",
        "no byte of a body for `web.network_timeout_s`, or fewer than "
        f"{LEAST_BYTES_A_S} bytes a second",
    ),
    ("closed", "no whole request head within 30 s"),
    (
        "413",
        f"more than {MOST_PARTS:,} parts, more than `web.maximum_request_mb`, an object of more "
        "than `listen.maximum_object_mb`",
    ),
    ("415", "a body that is not multipart/related of application/dicom, or is encoded (gzip)"),
    (
        "503",
        "less than `listen.free_space_reserve_mb` is free; the disk or index cannot be used now; "
        "more than `web.maximum_connections`",
    ),
)


def origin_server() -> Iterator[Block]:
    """Resources, statuses, and what each service takes."""
    yield Heading(3, "DICOMweb as origin server")
    yield Paragraph(
        f"Off unless `web.port` is set; then under `http://127.0.0.1:PORT{ROOT}`, or `https://` "
        "and another `web.address` with TLS and users or an OpenID Connect issuer: search and "
        "retrieve ask for the role `read`, store for `operate`. A request whose Host header is "
        "none of `web.names`, the address or loopback gets 403. `GET` or "
        f"`OPTIONS` on `{ROOT}` tells these resources as JSON or WADL."
    )
    yield Table(("service", "transaction", "resource", "method", "media types"), tuple(_services()))
    yield Paragraph(
        "Several media types may be had of a resource by the Accept header, or an `accept` query "
        "parameter, which goes before it. Every answer forbids caching and framing. A refusal is "
        "JSON: `status` and one sentence, `reason`, without a patient in it."
    )
    yield Table(("status", "when"), STATUSES)
    yield Paragraph(
        "Beside it are pages for persons at `/`, the same as JSON at `/api` (described by "
        "`/api/openapi.json`), OHIF at `/ohif/` where `web.ohif` names it, and this statement at "
        "`/conformance`: none of them is DICOM. `/metrics` asks for `read`; `/healthz` and "
        "`/readyz` for nothing."
    )
    yield from _store()
    yield from _search()
    yield from _retrieve()


def _services() -> Iterator[tuple[str, ...]]:
    for one in OFFERED:
        kinds = ", ".join(f"`{kind}`" for kind in one.media_types)
        path = one.path.replace("{path:path}", "{path}")
        service = SERVICES[one.transaction.split()[0]]
        yield service, one.transaction, f"`{path}`", one.method, kinds


def _store() -> Iterator[Block]:
    yield Heading(4, "STOW-RS")
    yield Paragraph(
        '`multipart/related; type="application/dicom"`. The body goes to the disk as it comes, and '
        "nothing of it is kept before its last boundary has come: a body that is cut off or "
        "refused has stored nothing. Then every part goes through the same door as an object by "
        "C-STORE: the same classes, syntaxes and checks, and it is told as stored only once it is "
        "durable. 200: all are; 202: some are; 409: none is. The answer is DICOM JSON. Metadata "
        "and bulk data apart (`application/dicom+json`, `+xml`) are not taken."
    )
    reasons = ", ".join(f"0x{status:04X}" for status in acceptance.REASONS)
    yield Table(
        ("in the answer", ""),
        (
            (
                "Referenced SOP Sequence (0008,1199)",
                "kept, or the same object was there, or it is set apart because it contradicts an "
                "earlier one under its UID",
            ),
            (
                "Failed SOP Sequence (0008,1198)",
                f"refused, with Failure Reason (0008,1197): {reasons} as for C-STORE; "
                f"0x{acceptance.MISMATCH:04X} also for another study than the path's; "
                f"0x{CLASS_NOT_SUPPORTED:04X} SOP class not taken; 0x{SYNTAX_NOT_SUPPORTED:04X} "
                "transfer syntax not taken",
            ),
            (
                "Other Failures Sequence (0008,119A)",
                "could not be read as an object: no UIDs, a truncated element, a deflated dataset",
            ),
        ),
    )


def _search() -> Iterator[Block]:
    yield Heading(4, "QIDO-RS")
    parameters = ", ".join(f"`{name}`" for name in sorted(PAGES))
    yield Paragraph(
        f"DICOM JSON, at most {MOST_RESULTS:,} results; where there are more, a Warning 299 says "
        f"so. Parameters: {parameters}. `includefield` takes a keyword, a tag or `all`: what the "
        "catalog remembers; `fuzzymatching=true` is answered with a Warning 299 and literal "
        "matching."
    )
    rows, before = [], set[str]()
    for level in LEVELS:
        keys = [keyword for keyword in _keys(level) if keyword not in before]
        before.update(keys)
        rows.append((level if level == "study" else f"{level}, besides", ", ".join(keys)))
    yield Table(("level", "matching keys"), tuple(rows))
    yield Paragraph(
        "`*` and `?` in texts; `from-to`, either end open, in dates and times; lists of UIDs "
        "joined by commas. Names match in any case, whole or by one component group. Another "
        "attribute as a key is refused with 400; a parameter that is no attribute is passed over. "
        "Of a study and a series the first object's words count; later ones fill in what it left "
        "open."
    )


def _keys(level: Level) -> Iterator[str]:
    for keyword in COLUMNS[level]:
        yield f"RequestAttributesSequence.{keyword}" if keyword in REQUEST else keyword
        if keyword == "StudyTime":
            yield "ModalitiesInStudy"


def _retrieve() -> Iterator[Block]:
    yield Heading(4, "WADO-RS")
    side, quality = rendering.THUMBNAIL[0], rendering.QUALITY
    functions = ", ".join(sorted(rendering.FUNCTIONS))
    yield Table(
        ("asked for", "given"),
        (
            (
                '`multipart/related; type="application/dicom"`',
                "Explicit VR Little Endian (1.2.840.10008.1.2.1), pixels decoded",
            ),
            (
                "with `transfer-syntax=*`, or the stored one",
                "the dataset byte for byte as it was kept, group 0002 anew",
            ),
            ("with another transfer syntax", "406: nothing is compressed on the way"),
            ("`application/dicom`, of one instance", "the same without multipart"),
            (
                '`multipart/related; type="application/octet-stream"`',
                "frames or bulk data in little endian, decoded; with `transfer-syntax=*` "
                "compressed frames as stored, the part's type says in which syntax",
            ),
            (
                '`multipart/related; type="image/jls"`, `image/jp2`, `image/jphc`, `image/jpeg`, '
                "`image/dicom-rle`",
                "frames as stored, where they are stored so",
            ),
            (
                "`application/dicom+json`, `application/json`",
                f"attributes; binary values of more than {INLINE_BYTES} bytes, and pixels, by "
                "BulkDataURI",
            ),
            (
                "`image/jpeg`, `image/png`",
                "rendered frames and thumbnails: `window=center,width,function` "
                f"({functions}), `viewport`, `quality` (by default {quality}); a thumbnail has at "
                f"most {side} x {side} pixels, of a study PET before CT, the middle slice",
            ),
            (
                f'`{RELATED}; type="{JPEG}"`, `"{PNG}"`',
                "a rendered study or series: every frame in reading order, a part each. Where a "
                "bare picture alone is taken, the one a thumbnail shows, with a Warning",
            ),
        ),
    )
    yield Paragraph(
        "Frames are numbered from 1 and joined by commas. Without a window the object's first one "
        "counts, else the whole range of the frame. Compressed pixels are decoded in a limited "
        "child process; what it cannot decode is 406. A file that fails in the middle of an answer "
        "ends the connection without the last boundary. Not offered: XML, WADO-URI, UPS-RS, "
        f"deletion, {' and '.join(rendering.NOT_DONE)} of rendered instances."
    )
