"""The `[web]` section of the settings: where it listens, by which names, and who may."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pacsnode.access_section import File, Oidc, Token, User, is_loopback

ANY = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]


def _network(told: str) -> str:
    try:
        ipaddress.ip_network(told)
    except ValueError as exc:
        raise ValueError(f"{told} is no address and no network such as 10.0.0.0/24") from exc
    return told


class Web(BaseModel):
    """DICOMweb and the pages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of DICOMweb and the pages; without one they are off, 0 lets the system "
        "pick",
    )
    address: HostName = Field(
        default="127.0.0.1",
        description="Address to bind; beyond loopback only with `users` or `oidc`, and TLS",
    )
    names: tuple[HostName, ...] = Field(
        default=(),
        description="Host names it answers to, besides its address and loopback; the first is the "
        "one it calls itself",
    )
    certificate: File | None = Field(
        default=None, description="Its certificate and those between it and its CA (PEM): TLS"
    )
    key: File | None = Field(default=None, description="The key of that certificate (PEM)")
    behind_proxy: bool = Field(
        default=False, description="A proxy before it ends TLS; nobody else may connect"
    )
    proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        default=(),
        description="Addresses or networks of that proxy, whose X-Forwarded-For is believed; "
        "without any, loopback",
    )
    users: tuple[User, ...] = Field(default=(), description="Who logs in with a password")
    tokens: tuple[Token, ...] = Field(default=(), description="Machines with a bearer token")
    oidc: Oidc | None = Field(default=None, description="An OpenID Connect issuer")
    login_idle_s: float = Field(
        default=1800, gt=0, description="Seconds without a request after which a login ends"
    )
    login_s: float = Field(
        default=43200, gt=0, description="Seconds after which a login ends in any case"
    )
    login_tries: int = Field(
        default=5,
        ge=1,
        description="Refused logins of one name within `login_pause_s`; more are answered with 429",
    )
    login_tries_per_address: int = Field(
        default=20, ge=1, description="The same, of one address under any names"
    )
    login_pause_s: float = Field(
        default=300, gt=0, description="Seconds for which refused logins count"
    )
    maximum_connections: int = Field(
        default=64, ge=1, description="Connections at a time; one more is answered with 503"
    )
    maximum_request_mb: int = Field(
        default=16384, ge=1, description="Largest body of one store request, in MiB"
    )
    network_timeout_s: float = Field(
        default=60,
        gt=0,
        description="Seconds without a byte of a body before it is given up; that of a form or "
        "of /api is whole within them",
    )
    ohif: Path | None = Field(
        default=None,
        description="Folder of a built OHIF, served under /ohif/; without one there is none",
    )

    @property
    def has_logins(self) -> bool:
        """Whether a person must say who they are."""
        return bool(self.users or self.oidc)

    @property
    def is_for_others(self) -> bool:
        """Whether it can be reached from other machines."""
        known_as = (self.address, *self.names)
        return self.behind_proxy or not all(is_loopback(name) for name in known_as)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS takes both: certificate and key")
        if not self.is_for_others:
            return self
        whose = "with behind_proxy or names" if is_loopback(self.address) else self.address
        if not self.has_logins:
            raise ValueError(
                f"{whose} is open to others: say who may, by [[web.users]] or [web.oidc]; without "
                "a login only loopback is served, such as 127.0.0.1"
            )
        if self.certificate is None and not self.behind_proxy:
            raise ValueError(
                f"{whose} is open to others: give certificate and key, or say behind_proxy = true "
                "where a proxy ends TLS"
            )
        if not self.names and (self.address in ANY or self.behind_proxy):
            raise ValueError("say by which host names it is reached: names")
        return self

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        names = [user.name.casefold() for user in self.users]
        names += [token.name.casefold() for token in self.tokens]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two are called {twice[0]!r}, and the audit log goes by the name")
        digests = [token.sha256 for token in self.tokens]
        if len({*digests}) < len(digests):
            raise ValueError("two tokens are one: print another with `pacsnode token`")
        return self
