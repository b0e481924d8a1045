"""Who may, as the settings tell it: users, tokens, an OpenID Connect issuer; and who is told."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

SCRYPT = re.compile(
    r"scrypt\$n=(\d{1,8}),r=(\d{1,3}),p=(\d{1,3})"
    r"\$([A-Za-z0-9+/]{22,86}={0,2})\$([A-Za-z0-9+/]{43}=)"
)
LEAST_N = 1 << 14  # 16 MiB with r = 8
MOST_BYTES = 1 << 28

Role = Literal["read", "operate", "verify"]
File = Annotated[Path, "file"]


def is_loopback(address: str) -> bool:
    """Whether an address or host name is this machine's own, whatever a name server says."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_web_address(url: str) -> bool:
    """Whether what is asked there is read by nobody on the way."""
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _hash(told: str) -> str:
    found = SCRYPT.fullmatch(told)
    if found is None:
        raise ValueError("no line of `pacsnode password`")
    n, r, p = (int(part) for part in found.group(1, 2, 3))
    if n < LEAST_N or n & (n - 1) or r < 8 or not 1 <= p <= 16 or 128 * n * r > MOST_BYTES:
        raise ValueError(
            f"its cost is out of bounds: n is a power of two from {LEAST_N}, r is 8 or more, "
            "p is 16 at most, and 128 n r is 256 MiB at most"
        )
    return told


def _digest(told: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", told):
        raise ValueError("no SHA-256 in 64 digits 0-9 a-f, as `pacsnode token` prints")
    return told


def _issuer(told: str) -> str:
    parts = urlsplit(told)
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("an issuer is a URL with a host, and no more than its path")
    if not is_web_address(told):
        raise ValueError("who says who may is asked by https:// alone, or on this machine")
    return told


PersonName = Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$")]
Roles = Annotated[tuple[Role, ...], Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class User(_Section):
    """Somebody who logs in with a password."""

    name: PersonName = Field(description="What is typed at login, and told by the audit log")
    roles: Roles = Field(
        description="Of `read`, `operate` (retry, cancel, store) and `verify` (accept, verify, "
        "reject); the last two include `read`"
    )
    # left out where settings are printed or handed on
    password: Annotated[str, AfterValidator(_hash)] = Field(
        exclude=True, repr=False, description="The line that `pacsnode password` prints"
    )


class Token(_Section):
    """A machine that sends a bearer token."""

    name: PersonName = Field(description="What the audit log calls it")
    roles: Roles = Field(description="What it may, as for users")
    sha256: Annotated[str, AfterValidator(_digest)] = Field(
        exclude=True, repr=False, description="The digest that `pacsnode token` prints"
    )


class OidcRoles(_Section):
    """Which values of the claim give which role."""

    read: tuple[str, ...] = Field(default=(), description="Values that give `read`")
    operate: tuple[str, ...] = Field(default=(), description="Values that give `operate`")
    verify: tuple[str, ...] = Field(default=(), description="Values that give `verify`")


class Oidc(_Section):
    """An OpenID Connect issuer that says who somebody is."""

    issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        description="Its URL; `/.well-known/openid-configuration` follows it"
    )
    client_id: str = Field(min_length=1, description="What it calls this node")
    secret_env: str | None = Field(
        default=None, description="Variable that holds the client's secret"
    )
    secret_file: File | None = Field(
        default=None, description="File that holds it instead; without either, PKCE alone"
    )
    scope: str = Field(
        default="openid profile", pattern=r"(^| )openid($| )", description="What is asked of it"
    )
    name_claim: str = Field(
        default="preferred_username", description="Claim of the ID token that names the person"
    )
    roles_claim: str = Field(
        default="groups", description="Claim that lists what they are; dots lead into objects"
    )
    roles: OidcRoles = Field(description="Which of its values give which role")
    ca_file: File | None = Field(
        default=None,
        description="CA certificates (PEM) that vouch for it; by default those of Python's certifi",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.secret_env and self.secret_file:
            raise ValueError("the secret is in secret_env or in secret_file, not in both")
        if (self.secret_env or "").startswith("PACSNODE_"):
            raise ValueError("secret_env names a variable of its own, not one of PACSNODE_*")
        if not (self.roles.read or self.roles.operate or self.roles.verify):
            raise ValueError("nobody would get a role: list values under roles")
        return self


class AuditSection(_Section):
    """The audit log, in the folder `audit` of the home, and a syslog server that gets it too."""

    source: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="What the audit log calls this node; by default its AE title",
    )
    site: str | None = Field(
        default=None, max_length=64, description="What it calls the place (AuditEnterpriseSiteID)"
    )
    syslog_host: str | None = Field(
        default=None, description="Host of a syslog server that takes audit messages over TLS"
    )
    syslog_port: int = Field(default=6514, ge=1, le=65535, description="Its port")
    ca_file: File | None = Field(
        default=None,
        description="CA certificates (PEM) that vouch for it; by default those of the system",
    )
    certificate: File | None = Field(
        default=None, description="Our certificate for it (PEM), where it asks for one"
    )
    key: File | None = Field(default=None, description="The key of that certificate (PEM)")

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS takes both: certificate and key")
        return self
