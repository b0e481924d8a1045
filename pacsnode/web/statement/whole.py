"""The whole statement, in the order of PS3.2 annex N."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from pacsnode.settings import Listen
from pacsnode.web.statement.agents import search_agent, store_agent
from pacsnode.web.statement.blocks import Block, Bullets, Heading, Paragraph, Table
from pacsnode.web.statement.origin import origin_server
from pacsnode.web.statement.provider import name_of, storage_provider
from pacsnode.web.statement.user import query_user, storage_user
from pacsnode.web_section import Web

MADE_AS: Final[Mapping[str, str]] = {
    str(Comprehensive3DSRStorage): "the report: TID 1500, UNVERIFIED and PRELIMINARY; VERIFIED and "
    "FINAL with the name of the person, once one verified it",
    str(SegmentationStorage): "exactly the voxels measured, where the mask came as an RT Structure "
    "Set",
    str(ComprehensiveSRStorage): "the same report, for destinations that take no Comprehensive 3D "
    "SR",
    str(BasicTextSRStorage): "the report in sentences (TID 2000), for those that take neither",
    str(KeyObjectSelectionDocumentStorage): "a person's rejection of a report: TID 2010, Rejected "
    "for Quality Reasons",
    str(SecondaryCaptureImageStorage): "pictures of the lesions, single frames in RGB",
    str(EncapsulatedPDFStorage): "the same pictures as a document, by `pacsnode pdf` and the page; "
    "neither kept nor sent",
}


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
            ("Storage", "yes: reports, their segmentations and pictures", "yes"),
            ("Query (C-FIND), Study Root", "yes", "no"),
            ("Retrieve (C-MOVE, C-GET), Study Root", "yes", "no"),
            ("Storage Commitment, Modality Worklist, MPPS, Print", "no", "no"),
            ("STOW-RS", "yes: the same", "yes"),
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
            (
                "Audit", "audit messages by syslog over TLS",
                "with the node, if `audit.syslog_host` is set",
            ),
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
            "DICOMweb as origin server, and the pages: TLS 1.2 or newer by `web.certificate`, or a "
            "proxy that ends it (`web.behind_proxy`). Persons log in with a password (scrypt) or "
            "at an OpenID Connect issuer (authorization code, PKCE S256); machines send a bearer "
            "token. Roles: `read` looks and retrieves; `operate` stores, retries and cancels; "
            "`verify` accepts, verifies and rejects. Without users or an issuer only loopback is "
            "served, and everyone there has all three ([who may](../guide/access.md)).",
            "Audit: logins, queries, stores, retrievals, looks and actions are written as DICOM "
            "audit messages (PS3.15 A.5) into files, and sent to a syslog server over TLS (RFC "
            "5425) where one is named. Patients are left out: a study is told by its UID.",
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
        tuple((name_of(one), one, told) for one, told in MADE_AS.items()),
    )
    yield Paragraph(
        "Templates, codes and modules of the reports are told in [the SR](sr.md). UIDs are derived "
        "from the inputs (2.25, PS3.5 B.2): the same inputs give the same UID. No private "
        "attribute is written into a dataset. Kept files have private information in group 0002 "
        "(PS3.10 7.1), which does not leave the node ([storage](storage.md))."
    )
