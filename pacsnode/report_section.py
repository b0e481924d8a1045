"""The section of the settings on our documents."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ReportSection(BaseModel):
    """How our documents present themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    series_description: str = Field(
        default="PET/CT lesion report (AI, unverified)",
        max_length=64,
        description="SeriesDescription of our reports",
    )
    series_number: int = Field(default=9901, ge=1, description="SeriesNumber of our reports")
    tracking_identifier: Literal["plain", "editable"] = Field(
        default="plain",
        description="`plain`: `Lesion 1`; `editable`: the name OHIF gives its own freehand ROIs, "
        "so that it can edit them",
    )
    device_serial_number: str = Field(
        default="1", max_length=64, description="DeviceSerialNumber of this installation"
    )
    verifying_organization: str = Field(
        default="not stated",
        min_length=1,
        max_length=64,
        description="The organization for which persons verify and reject reports",
    )
