"""The `[web]` section of the settings, and the one address it may have: this machine's own."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def is_loopback(address: str) -> bool:
    """Whether an address or host name is this machine's own, whatever a name server says."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _loopback(address: str) -> str:
    if not is_loopback(address):
        raise ValueError(
            f"{address} is open to others, and the web side has no login yet: only loopback is "
            "served, such as 127.0.0.1"
        )
    return address


class Web(BaseModel):
    """DICOMweb, on loopback."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of DICOMweb; without one it is off, 0 lets the system pick",
    )
    address: Annotated[str, AfterValidator(_loopback)] = Field(
        default="127.0.0.1",
        description="Address to bind; loopback alone is taken, for there is no login yet",
    )
    maximum_connections: int = Field(
        default=64, ge=1, description="Connections at a time; one more is answered with 503"
    )
    maximum_request_mb: int = Field(
        default=16384, ge=1, description="Largest body of one store request, in MiB"
    )
    network_timeout_s: float = Field(
        default=60, gt=0, description="Seconds without a byte of a body before it is given up"
    )
    ohif: Path | None = Field(
        default=None,
        description="Folder of a built OHIF, served under /ohif/; without one there is none",
    )
