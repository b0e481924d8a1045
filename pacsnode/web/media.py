"""Media types as headers state them, and which of ours an Accept header asks for (PS3.18 8.7)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from pacsnode.web.refusal import BAD_REQUEST, Refusal

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
RELATED: Final = "multipart/related"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG))
AS_STORED: Final = "*"
LONGEST: Final = 4096  # characters of a header; what is longer is no honest list of types

# PS3.18 tables 8.7.3-2 and 8.7.3-5: how a frame in a compressed syntax is called
OF_SYNTAX: Final[Mapping[str, str]] = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_KIND: Final = re.compile(rf"\s*({_WORD}/{_WORD})\s*")
_PARAMETER: Final = re.compile(
    rf';\s*(?:({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*)?'  # `;` may end it
)


@dataclass(frozen=True, slots=True)
class MediaType:
    """`kind` and the parameter names in lower case, values as they came."""

    kind: str
    parameters: Mapping[str, str]

    @property
    def quality(self) -> float:
        """RFC 9110 12.4.2; what is no number counts as 0."""
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 0.0

    @property
    def transfer_syntax_uid(self) -> str | None:
        """The syntax asked for, `*` for the stored one, None where none is named."""
        return self.parameters.get("transfer-syntax")

    @property
    def part(self) -> str:
        """Of a multipart type, the type of its parts; anything where it names none."""
        return self.parameters.get("type", "*/*").lower()

    def covers(self, kind: str) -> bool:
        """Whether a range such as `image/*` holds a type."""
        return _covers(self.kind, kind)

    def covers_parts(self, kind: str) -> bool:
        """Whether a multipart body with parts of a type is meant, too."""
        return self.covers(RELATED) and _covers(self.part, kind)


def _covers(asked: str, kind: str) -> bool:
    return asked in ("*/*", kind) or (asked.endswith("/*") and kind.startswith(asked[:-1]))


def parse(text: str) -> MediaType:
    """One media type, as Content-Type states it. Raises Refusal (400)."""
    found = list(_each(text))
    if len(found) != 1:
        raise Refusal(BAD_REQUEST, "A Content-Type names one media type")
    return found[0]


def accepted(header: str | None) -> tuple[MediaType, ...]:
    """What an Accept header lists, the dearest first; without one, anything."""
    if header is None or not header.strip():
        return (MediaType("*/*", {}),)
    wanted = (one for one in _each(header) if one.quality > 0)
    return tuple(sorted(wanted, key=lambda one: -one.quality))


def asked(request: Request) -> tuple[MediaType, ...]:
    """What a request accepts: its header, or the query parameter before it (8.3.3.1)."""
    return accepted(request.query_params.get("accept", request.headers.get("accept")))


def _each(text: str) -> Iterator[MediaType]:
    if len(text) > LONGEST:
        raise Refusal(BAD_REQUEST, f"A media type header is longer than {LONGEST} characters")
    at = 0
    while True:
        kind = _KIND.match(text, at)
        if kind is None:
            raise Refusal(BAD_REQUEST, "A header holds what is no media type")
        at = kind.end()
        parameters: dict[str, str] = {}
        while (parameter := _PARAMETER.match(text, at)) is not None:
            at = parameter.end()
            name, quoted, bare = parameter.groups()
            if name is not None:
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
                parameters.setdefault(name.lower(), value)
        yield MediaType(kind[1].lower(), parameters)
        if at == len(text):
            return
        if text[at] != ",":
            raise Refusal(BAD_REQUEST, "A header holds what is no media type")
        at += 1
