"""Settings: one TOML file and PACSNODE_* variables, read once, frozen. Unknown keys are refused."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pacsnode.errors import BadSettings

AETitle = Annotated[str, StringConstraints(pattern=r"^[ -\[\]-~]{1,16}$", strip_whitespace=True)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Peer(_Section):
    """A sender that may open associations: its AE title, and the address it must come from."""

    ae_title: AETitle
    address: str | None = None


class Destination(_Section):
    """Where reports go, by C-STORE."""

    name: str
    ae_title: AETitle
    host: str
    port: Port


class Listen(_Section):
    """The storage SCP."""

    ae_title: AETitle = "PACSNODE"
    address: str | None = Field(
        None, description="Address to bind; by default every one if peers are set, else loopback"
    )
    port: int = Field(11112, ge=0, le=65535)
    peers: tuple[Peer, ...] = ()
    other_objects: Literal["keep", "reject"] = "keep"
    maximum_associations: int = Field(50, ge=1)
    maximum_associations_per_address: int = Field(
        25, ge=1, description="Connections one address may hold at a time"
    )
    maximum_object_mb: int = Field(
        2048, ge=1, description="Largest object taken; a larger one ends its association"
    )
    maximum_pdu_length: int = Field(131072, ge=4096, le=1048576)
    network_timeout_s: float = Field(60, gt=0)
    free_space_reserve_mb: int = Field(512, ge=0)


class RoleRule(_Section):
    """Overrides what a segment or ROI is, by sender, label or ROI name (case-insensitive regex)."""

    calling_ae: str | None = None
    label: str | None = None
    role: Literal["lesion", "context"]


class Supersession(_Section):
    """Two masks whose series descriptions match this pattern alike are versions of one."""

    calling_ae: str | None = None
    series_description: str


class Assembly(_Section):
    """Which PET and CT belong to a mask, and when the study is complete enough."""

    quiet_s: float = Field(60, ge=0, description="Seconds without a new object: nothing more comes")
    pet_preference: tuple[str, ...] = Field(
        (), description="Regexes on SeriesDescription that rank tied PET series, best first"
    )
    ct_preference: tuple[str, ...] = ()
    role_rules: tuple[RoleRule, ...] = ()
    supersession: tuple[Supersession, ...] = ()


class Measure(_Section):
    """How a mask becomes voxels."""

    fractional_threshold: float = Field(0.5, gt=0, le=1)


class Describe(_Section):
    """Who writes the words."""

    describer: Literal["template"] = "template"


class ReportSection(_Section):
    """How our documents present themselves."""

    series_description: str = Field("PET/CT lesion report (AI, unverified)", max_length=64)
    series_number: int = Field(9901, ge=1)
    tracking_identifier: Literal["plain", "editable"] = "plain"
    device_serial_number: str = Field("1", max_length=64)


class Settings(BaseSettings):
    """Everything a node can be told."""

    model_config = SettingsConfigDict(
        env_prefix="PACSNODE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(Path("pacsnode-home"), description="Folder of the archive, index and jobs")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    listen: Listen = Listen()
    assembly: Assembly = Assembly()
    measure: Measure = Measure()
    describe: Describe = Describe()
    report: ReportSection = ReportSection()
    destinations: tuple[Destination, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # the file's values arrive as init values: a PACSNODE_ variable wins over the file
        return env_settings, init_settings


def read_settings(config: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a TOML file (or none), PACSNODE_* variables, and the command's own options.

    Options win over variables, variables over the file. Raises BadSettings.
    """
    stated: dict[str, Any] = {}
    if config is not None:
        try:
            stated = tomllib.loads(config.read_text("utf-8"))
        except OSError as exc:
            raise BadSettings(f"Cannot read the settings file {config}: {exc.strerror}") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise BadSettings(f"{config} is not valid TOML: {exc}") from exc
    _refuse_unknown_variables()
    try:
        settings = Settings(**stated)
        if overrides:
            settings = Settings.model_validate(_merged(settings.model_dump(), overrides))
    except ValidationError as exc:
        raise BadSettings(_in_words(exc)) from exc
    return settings


def parse_destination(text: str) -> Destination:
    """`AET@HOST:PORT` as typed on a command line. Raises BadSettings."""
    match = re.fullmatch(r"([^@]{1,16})@(.+):(\d{1,5})", text)
    if match is None:
        raise BadSettings(f"A destination is AET@HOST:PORT, not {text!r}")
    ae_title, host, port = match.groups()
    try:
        return Destination(name=text, ae_title=ae_title, host=host.strip("[]"), port=int(port))
    except ValidationError as exc:
        raise BadSettings(_in_words(exc)) from exc


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every key a settings file may hold, dotted."""
    for name, info in model.model_fields.items():
        yield prefix + name
        for section in _sections_of(info.annotation):
            yield from known_keys(section, f"{prefix}{name}.")


def _sections_of(annotation: Any) -> list[type[BaseModel]]:
    inner = getattr(annotation, "__args__", (annotation,))
    return [part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)]


def _merged(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _refuse_unknown_variables() -> None:
    tops = set(Settings.model_fields)
    for variable in os.environ:
        if not variable.startswith("PACSNODE_") or variable.startswith("PACSNODE_TEST_"):
            continue
        top = variable.removeprefix("PACSNODE_").split("__")[0].lower()
        if top not in tops:
            raise BadSettings(f"Unknown variable {variable}{_nearest(top, tops)}")


def _in_words(error: ValidationError) -> str:
    keys = set(known_keys())
    lines = []
    for problem in error.errors():
        dotted = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
        if problem["type"] == "extra_forbidden":
            lines.append(f"Unknown setting {dotted!r}{_nearest(dotted, keys)}")
        else:
            lines.append(f"Setting {dotted!r}: {problem['msg']}")
    return "; ".join(lines)


def _nearest(word: str, known: set[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.0)
    return f"; the nearest known one is {close[0]!r}" if close else ""
