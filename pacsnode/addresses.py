"""Where peers are and how they are addressed: by AE title, host and port, or by a DICOMweb URL."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

AETitle = Annotated[str, StringConstraints(pattern=r"^[ -\[\]-~]{1,16}$", strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Port = Annotated[int, Field(ge=1, le=65535)]
File = Annotated[Path, "file"]

Mode = Annotated[
    Literal["send", "review", "shadow"],
    Field(
        description="`send`; `review`: a report is made and held until a person accepts it; "
        "`shadow`: made, kept, never sent"
    ),
]

BY_TITLE, BY_URL = "by-title", "by-url"  # never the name of a setting
_TITLE_KEYS = frozenset({"ae_title", "host", "port"})


def unmapped(address: str) -> str:
    """An IPv4 address as such, where a socket of both families tells it as ::ffff:a.b.c.d."""
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


def _root(told: str) -> str:
    """The root of a DICOMweb service, without its last slash (PS3.18 8.2: the base URI)."""
    if re.search(r"[^!-~]", told):
        raise ValueError("a url holds no space and no character beyond ASCII")
    parts = urlsplit(told)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http:// or https:// URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a url is printed: name its account by user, secret_env or secret_file")
    if parts.query or parts.fragment:
        raise ValueError("the root of a DICOMweb service has no ? and no #")
    _ = parts.port  # raises ValueError where it is no port
    return told.rstrip("/")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DimsePeer(_Section):
    """An application entity that we open associations to."""

    name: Name = Field(description="What status, log and journal call it; no two alike")
    ae_title: AETitle = Field(description="The AE title it answers to")
    host: str = Field(description="Its host name or address")
    port: Port = Field(description="Its port")

    @property
    def address(self) -> str:
        """What a message calls it."""
        return f"{self.ae_title}@{self.host}:{self.port}"


class Delivered(_Section):
    """What else a destination may get."""

    fallback: tuple[Literal["comprehensive", "text"], ...] = Field(
        default=("comprehensive", "text"),
        description="What it gets where it takes no Comprehensive 3D SR, best first: the same in a "
        "Comprehensive SR, or in the sentences of a Basic Text SR; `[]`: nothing",
    )
    key_images: bool = Field(
        default=False,
        description="Send pictures of the lesions, numbered and outlined, after the report, where "
        "it takes Secondary Capture Image",
    )


class Destination(DimsePeer, Delivered):
    """Where reports go, by C-STORE."""

    mode: Mode = "send"


class Source(DimsePeer):
    """Whom to ask for images, by C-FIND and then C-MOVE or C-GET."""

    retrieve: Literal["move", "get"] = Field(
        default="move",
        description="`move`: it sends to our AE title, which it must know, as a peer that may "
        "send; `get`: over the association that asks",
    )


class WebAddress(_Section):
    """A DICOMweb service and what it takes to speak to it; the secret itself is no setting."""

    name: Name = Field(description="What status, log and journal call it; no two alike")
    url: Annotated[str, AfterValidator(_root)] = Field(
        description="Root of its DICOMweb service, which `/studies` follows"
    )
    user: Name | None = Field(
        default=None, description="User of basic authentication; without one the secret is a token"
    )
    secret_env: Name | None = Field(
        default=None, description="Variable that holds the password or the bearer token"
    )
    secret_file: File | None = Field(
        default=None, description="File that holds it instead, read at every try"
    )
    ca_file: File | None = Field(
        default=None,
        description="CA certificates (PEM) that vouch for it; by default those of Python's certifi",
    )

    @property
    def address(self) -> str:
        """What a message calls it."""
        return self.url

    @model_validator(mode="before")
    @classmethod
    def _by_url_alone(cls, told: Any) -> Any:
        both = sorted(_TITLE_KEYS.intersection(told)) if isinstance(told, dict) else []
        if both:
            raise ValueError(f"it has a url, and so no {' or '.join(both)}")
        return told

    @model_validator(mode="after")
    def _guards_its_secret(self) -> Self:
        if self.secret_env and self.secret_file:
            raise ValueError("the secret is in secret_env or in secret_file, not in both")
        if self.user is not None and not (self.secret_env or self.secret_file):
            raise ValueError("a user needs a password: name secret_env or secret_file")
        if (self.secret_env or "").startswith("PACSNODE_"):
            raise ValueError("secret_env names a variable of its own, not one of PACSNODE_*")
        if (self.secret_env or self.secret_file) and not _is_private(self.url):
            raise ValueError("a secret would cross the network in clear: use https://")
        return self


def _is_private(url: str) -> bool:
    """Whether what is sent there can be read by nobody on the way."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


class WebDestination(WebAddress, Delivered):
    """Where reports go, by STOW-RS."""

    mode: Mode = "send"


class WebSource(WebAddress):
    """Whom to ask for images, by QIDO-RS and WADO-RS."""


def _kind(told: Any) -> Literal["by-title", "by-url"]:
    by_url = "url" in told if isinstance(told, dict) else isinstance(told, WebAddress)
    return "by-url" if by_url else "by-title"


AnyDestination = Annotated[
    Annotated[Destination, Tag(BY_TITLE)] | Annotated[WebDestination, Tag(BY_URL)],
    Discriminator(_kind),
]
AnySource = Annotated[
    Annotated[Source, Tag(BY_TITLE)] | Annotated[WebSource, Tag(BY_URL)], Discriminator(_kind)
]
Named = TypeVar("Named", DimsePeer, WebAddress)


def by_their_names(peers: tuple[Named, ...]) -> tuple[Named, ...]:
    """The same peers. Raises ValueError where two are called alike."""
    names = [peer.name for peer in peers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two are called {name!r}, and what is sent or asked goes by the name")
    return peers
