"""The whole statement, in the order of PS3.2 annex N."""

from collections.abc import Iterator

from pydantic import BaseModel

from pacsnode.delivery.cstore import SENT
from pacsnode.settings import Listen
from pacsnode.web.statement.agents import search_agent, store_agent
from pacsnode.web.statement.blocks import Block, Bullets, Heading, Paragraph, Table
from pacsnode.web.statement.origin import origin_server
from pacsnode.web.statement.provider import name_of, storage_provider
from pacsnode.web.statement.user import query_user, storage_user
from pacsnode.web_section import Web


def statement() -> list[Block]:
    """Every part."""
    return [*_overview(), *_model(), *_entities(), *_network(), *_rest()]


def _overview() -> Iterator[Block]:
    yield Heading(1, "DICOM conformance")
    yield Paragraph(
        "What a pacsnode takes, how it answers, and what it sends, after PS3.2. Printed by "
        "`pacsnode conformance` from the tables that the code works by, and served at "
        "`/conformance`; tests hold the behaviour against DCMTK, Orthanc with its DICOMweb plugin, "
        "dicomweb-client, and senders and receivers of raw bytes."
    )
    yield Heading(2, "Overview")
    yield Table(
        ("network service", "as user (SCU, user agent)", "as provider (SCP, origin server)"),
        (
            ("Verification", "yes", "yes"),
            ("Storage", "yes: reports and segmentations", "yes"),
            ("Query (C-FIND), Study Root", "yes", "no"),
            ("Retrieve (C-MOVE, C-GET), Study Root", "yes", "no"),
            ("Storage Commitment, Modality Worklist, MPPS, Print", "no", "no"),
            ("STOW-RS", "yes: reports and segmentations", "yes"),
            ("QIDO-RS", "yes", "yes"),
            ("WADO-RS", "yes", "yes, rendered too"),
            ("WADO-URI, UPS-RS", "no", "no"),
        ),
    )
    yield Paragraph(
        "Media storage (PS3.10 interchange, DICOMDIR) is read by `pacsnode replay` only."
    )


def _model() -> Iterator[Block]:
    yield Heading(2, "Implementation model")
    yield Paragraph(
        "Objects come in by C-STORE or STOW-RS, are kept byte for byte, and found again by QIDO-RS "
        "and WADO-RS. A SEG, Label Map SEG or RTSTRUCT is paired with the PET and CT it was drawn "
        "on ([how](assembly.md)); what is missing is asked for at the sources. A report is made of "
        "it (TID 1500) and sent to every destination, again for as long as it takes."
    )
    yield Table(
        ("application entity", "does", "begins"),
        (
            ("Storage SCP", "Verification and Storage as SCP, one AE title", "with the node"),
            (
                "Delivery",
                "Storage as SCU, STOW-RS as user agent",
                "when a report was made, and after the pauses of a delivery",
            ),
            (
                "Retrieval",
                "Query and Retrieve as SCU, QIDO-RS and WADO-RS as user agent; Storage as SCP for "
                "C-GET",
                "when a mask lacks images and no object of its study came for 5 s",
            ),
            ("DICOMweb server", "STOW-RS, QIDO-RS, WADO-RS", "with the node, if `web.port` is set"),
        ),
    )  # fmt: skip
    yield Paragraph(
        "Delivery and Retrieval call themselves `listen.ae_title`, as the Storage SCP is called."
    )


def _entities() -> Iterator[Block]:
    yield Heading(2, "Application entities")
    yield from storage_provider()
    yield from storage_user()
    yield from query_user()
    yield from search_agent()
    yield from store_agent()
    yield from origin_server()


def _network() -> Iterator[Block]:
    yield Heading(2, "Network and configuration")
    yield Paragraph(
        "TCP/IP, IPv4 and IPv6. Host names of peers are resolved by the operating system. Every "
        "parameter is explained in [the settings](settings.md); those that a peer can notice:"
    )
    rows = (*_fields("listen", Listen), *_fields("web", Web))
    yield Table(("parameter", "by default", ""), rows)
    yield Paragraph(
        "Destinations and sources: AE title, host and port, or the root URL of a DICOMweb service "
        "(`[[destinations]]`, `[[sources]]`)."
    )


def _fields(section: str, model: type[BaseModel]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (
            f"`{section}.{name}`",
            "" if field.default in (None, ()) else f"`{field.default}`",
            (field.description or "").replace("\n", " "),
        )
        for name, field in model.model_fields.items()
    )


def _rest() -> Iterator[Block]:
    yield Heading(2, "Character sets")
    yield Bullets(
        (
            "Received objects may use every character set of PS3.3 C.12.1.1.2, with code "
            "extensions; they are kept as they are. What is stated and cannot be decoded is left "
            "out of the index, and the object is kept.",
            "Our documents are written in Unicode (`ISO_IR 192`), what they copy of the images "
            "included.",
            "DICOM JSON is UTF-8, and states `ISO_IR 192`.",
        )
    )
    yield Heading(2, "Security")
    yield Bullets(
        (
            "DIMSE: senders are known by AE title and address, with neither TLS nor user identity. "
            "Keep it on a network that is trusted, or behind a tunnel.",
            "DICOMweb as user agent: TLS with verified certificates; a bearer token or basic "
            "authentication.",
            "What a stranger can make the node hold is bounded (connections, PDUs, objects, "
            "bodies, parts), as told above. UIDs and names of senders never become paths.",
            "Received pixels are decoded in a child process with limits of memory and time.",
            "Logs, metrics and journal hold UIDs and no patient's identity; the index holds it in "
            "one table, for QIDO-RS.",
        )
    )
    yield Heading(2, "Created objects")
    yield Table(
        ("SOP class", "UID", "what it is"),
        tuple((name_of(str(one)), str(one), _made_as(str(one))) for one in SENT),
    )
    yield Paragraph(
        "Templates, codes and modules of the reports are told in [the SR](sr.md). UIDs are derived "
        "from the inputs (2.25, PS3.5 B.2): the same inputs give the same UID. No private "
        "attribute is written into a dataset. Kept files have private information in group 0002 "
        "(PS3.10 7.1), which does not leave the node ([storage](storage.md))."
    )


def _made_as(sop_class: str) -> str:
    if sop_class.startswith("1.2.840.10008.5.1.4.1.1.88."):
        return "the report: TID 1500, UNVERIFIED, PRELIMINARY"
    return "exactly the voxels measured, where the mask came as an RT Structure Set"
