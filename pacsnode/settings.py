"""Settings: one TOML file and PACSNODE_* variables, read once, frozen. Unknown keys are refused."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from engine.petar.shipped import named_folder
from pacsnode.access_section import AuditSection
from pacsnode.addresses import (
    BY_TITLE,
    BY_URL,
    AETitle,
    AnyDestination,
    AnySource,
    Destination,
    WebDestination,
    by_their_names,
)
from pacsnode.errors import BadSettings
from pacsnode.report_section import ReportSection
from pacsnode.web_section import Web


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    return pattern


# read where it is used: settings are told, in run.json too
_SECRETS = frozenset({"PACSNODE_ENDPOINT_KEY"})

Regex = Annotated[str, AfterValidator(_compiles)]
ModelFolder = Annotated[
    Path, BeforeValidator(lambda told: named_folder(told) if isinstance(told, str) else told)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Peer(_Section):
    """A sender that may open associations: its AE title, and the address it must come from."""

    ae_title: AETitle = Field(description="Its calling AE title")
    address: str | None = Field(
        default=None,
        description="Address, network (`10.0.0.0/24`) or host name it must come from; by default "
        "any, and then the AE title alone is trusted",
    )


class Listen(_Section):
    """The storage SCP."""

    ae_title: AETitle = Field(default="PACSNODE", description="Our AE title")
    address: str | None = Field(
        default=None,
        description="Address to bind; by default every one if peers are set, else loopback",
    )
    port: int = Field(
        default=11112, ge=0, le=65535, description="Port to bind; 0 lets the system pick"
    )
    peers: tuple[Peer, ...] = Field(
        default=(), description="Who may send; without any, the node binds to loopback only"
    )
    other_objects: Literal["keep", "reject"] = Field(
        default="keep",
        description="Storage classes that are no input to a report: keep them, or accept no "
        "presentation context for them",
    )
    maximum_associations: int = Field(
        default=50, ge=1, description="Associations at a time; one more is rejected as transient"
    )
    maximum_associations_per_address: int = Field(
        default=25, ge=1, description="Connections one address may hold at a time"
    )
    maximum_object_mb: int = Field(
        default=2048,
        ge=1,
        description="Largest object taken, in MiB; a larger one ends its association",
    )
    maximum_pdu_length: int = Field(
        default=131072, ge=4096, le=1048576, description="Largest P-DATA PDU we announce, in bytes"
    )
    network_timeout_s: float = Field(
        default=60, gt=0, description="Seconds of silence, or for one PDU, before a peer is cut off"
    )
    free_space_reserve_mb: int = Field(
        default=512,
        ge=0,
        description="MiB of the archive's disk left free: below it objects get 0xA700",
    )


class RoleRule(_Section):
    """Overrides what a segment or ROI is, by sender, label or ROI name (case-insensitive regex)."""

    calling_ae: Regex | None = Field(default=None, description="Regex on the sender's AE title")
    label: Regex | None = Field(default=None, description="Regex on the segment label or ROI name")
    role: Literal["lesion", "context"] = Field(description="What a match is")


class Supersession(_Section):
    """Two masks whose series descriptions match this pattern alike are versions of one."""

    calling_ae: Regex | None = Field(default=None, description="Regex on the sender's AE title")
    series_description: Regex = Field(
        description="Regex on SeriesDescription; masks it matches alike are versions of one"
    )


class Assembly(_Section):
    """Which PET and CT belong to a mask, and when the study is complete enough."""

    quiet_s: float = Field(
        default=60, ge=0, description="Seconds without a new object: nothing more comes"
    )
    pet_preference: tuple[Regex, ...] = Field(
        default=(), description="Regexes on SeriesDescription that rank tied PET series, best first"
    )
    ct_preference: tuple[Regex, ...] = Field(
        default=(), description="Regexes on SeriesDescription that rank tied CT series, best first"
    )
    role_rules: tuple[RoleRule, ...] = Field(
        default=(), description="Which segments and ROIs are lesions; the first match decides"
    )
    supersession: tuple[Supersession, ...] = Field(
        default=(), description="Which masks replace earlier ones"
    )


class Measure(_Section):
    """How a mask becomes voxels."""

    fractional_threshold: float = Field(
        default=0.5, gt=0, le=1, description="Least fraction of a FRACTIONAL segment that counts"
    )


class Describe(_Section):
    """Who writes the words."""

    describer: Literal["template", "petar"] = Field(
        default="template",
        description="`template`: sentences made of measurements alone; `petar`: the model in the "
        "folder `model`",
    )
    model: ModelFolder | None = Field(
        default=None,
        description="Checkpoint folder of `petar`; `demo`: the demonstration model that comes with "
        "pacsnode",
    )
    allow_demonstration: bool = Field(
        default=False,
        description="Let a demonstration model write reports: trained on synthetic phantoms, not "
        "for clinical use",
    )
    profile: Literal["petar-release", "paper"] | None = Field(
        default=None,
        description="How the views of a lesion are cut: as the released code does, or the paper; "
        "by default as the checkpoint's config.json says, else `petar-release`",
    )
    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="What the model is asked; by default the profile's question",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the model runs; `auto`: on a GPU where there is one"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto",
        description="What the model computes in; `auto`: bfloat16 on a GPU, float32 on a CPU",
    )
    batch_size: int | None = Field(
        default=None, ge=1, description="Most lesions in one pass; by default 32 on a GPU, else 4"
    )
    cases_at_once: int = Field(
        default=4,
        ge=1,
        description="Masks that are reported at a time while a model writes, so that lesions of "
        "several studies share a pass",
    )
    deadline_s: float = Field(
        default=600,
        gt=0,
        description="Seconds a lesion's words may take before the template speaks instead",
    )
    max_new_tokens: int = Field(
        default=128, ge=1, le=1024, description="Longest answer of the model for a lesion"
    )
    ct_of_air: bool = Field(
        default=False, description="Describe a study without a CT as if its CT were all air"
    )
    allow_untrained_tracers: bool = Field(
        default=False, description="Describe tracers that the model was not trained on"
    )
    when_unable: Literal["wait", "template"] = Field(
        default="wait",
        description="While the model cannot run at all: `wait`, or report with the `template` and "
        "say so",
    )

    @model_validator(mode="after")
    def _has_its_model(self) -> Self:
        if self.describer == "petar" and self.model is None:
            raise ValueError("the describer `petar` needs the folder of its `model`")
        return self


class Settings(BaseSettings):
    """Everything a node can be told."""

    model_config = SettingsConfigDict(
        env_prefix="PACSNODE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(
        default=Path("pacsnode-home"), description="Folder of the archive, index and jobs"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least serious event that is logged"
    )
    listen: Listen = Field(default=Listen(), description="The storage SCP")
    web: Web = Field(default=Web(), description="DICOMweb and the pages")
    audit: AuditSection = Field(default=AuditSection(), description="The audit log")
    assembly: Assembly = Field(default=Assembly(), description="Pairing and readiness")
    measure: Measure = Field(default=Measure(), description="From mask to voxels")
    describe: Describe = Field(default=Describe(), description="The words")
    report: ReportSection = Field(default=ReportSection(), description="Our documents")
    destinations: Annotated[tuple[AnyDestination, ...], AfterValidator(by_their_names)] = Field(
        default=(), description="Where reports are sent, each on its own"
    )
    sources: Annotated[tuple[AnySource, ...], AfterValidator(by_their_names)] = Field(
        default=(), description="Whom to ask, in this order, for images that a mask lacks"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is handed in: `read_settings` alone looks at the environment."""
        return (init_settings,)


def read_settings(config: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a TOML file (or none), PACSNODE_* variables, and the command's own options.

    Options win over variables, variables over the file. Raises BadSettings.
    """
    stated = _merged(_from_file(config), _from_environment())
    try:
        return Settings(**_merged(stated, overrides or {}))
    except ValidationError as exc:
        raise BadSettings(_in_words(exc)) from exc


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text("utf-8"))
    except OSError as exc:
        raise BadSettings(f"Cannot read the settings file {config}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadSettings(f"{config} is not valid TOML: {exc}") from exc


def _from_environment() -> dict[str, Any]:
    _refuse_unknown_variables()
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as exc:
        raise BadSettings(f"A PACSNODE_ variable that holds a list must be JSON: {exc}") from exc


def parse_destination(text: str) -> AnyDestination:
    """`AET@HOST:PORT` or a DICOMweb URL as typed on a command line. Raises BadSettings."""
    try:
        if re.match("https?://", text):
            return WebDestination(name=text, url=text)
        match = re.fullmatch(r"([^@]{1,16})@(.+):(\d{1,5})", text)
        if match is None:
            raise BadSettings(f"A destination is AET@HOST:PORT or an http(s):// URL, not {text!r}")
        ae_title, host, port = match.groups()
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
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _sections_of(inner)]


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
        plain = variable.upper()  # as it is looked for: without regard to case
        if not plain.startswith("PACSNODE_") or plain.startswith("PACSNODE_TEST_"):
            continue
        if variable in _SECRETS:
            continue
        top = plain.removeprefix("PACSNODE_").split("__")[0].lower()
        if top not in tops:
            raise BadSettings(f"Unknown variable {variable}{_nearest(top, tops)}")


def _in_words(error: ValidationError) -> str:
    keys = set(known_keys())
    lines = []
    for problem in error.errors():
        named = (part for part in problem["loc"] if part not in (BY_TITLE, BY_URL))
        dotted = ".".join(part for part in named if isinstance(part, str))
        if problem["type"] == "extra_forbidden":
            lines.append(f"Unknown setting {dotted!r}{_nearest(dotted, keys)}")
        else:
            lines.append(f"Setting {dotted!r}: {problem['msg']}")
    return "; ".join(lines)


def _nearest(word: str, known: set[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.0)
    return f"; the nearest known one is {close[0]!r}" if close else ""
