"""A run of training, whole: one TOML file, frozen. Unknown keys are refused by name.

The defaults are the published ones of PETAR's fine-tuning.
"""

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.cohort.body_tissues import FDG, SHORT_NAMES
from engine.cohort.world import WorldOptions
from engine.cohort.world_position import FIELDS
from engine.errors import EngineError
from engine.evaluating.held_out import FIRST_SEED

Ask = Literal["lesions", "regions"]
Fact = Literal["site", "uptake"]  # of a lesion, asked beside its sentence
Question = Literal[Ask, Fact]
Group = Literal["mask_embedding", "vision", "projector", "language", "lora", "all"]
Blank = Literal["focal", "mask", "ct"]
Products = Literal["float32", "bf16"]
Positive = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive, Positive]
Mm = Annotated[float, Field(ge=1.5, le=20)]
REGION_PROMPT = "What is the region highlighted by the mask?"
SITE_PROMPT = "Where is the lesion highlighted by the mask?"
UPTAKE_PROMPT = "How intense is the uptake of the lesion highlighted by the mask?"


class BadRecipe(EngineError):
    """A recipe that cannot be followed; the message names the keys."""

    code = "bad-recipe"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VisionSizes(_Section):
    """Towers of a network that begins from nothing; sizes are (z, y, x)."""

    image: Size
    patch: Size
    width: Positive
    depth: Positive
    heads: Positive
    mlp: Positive
    pooling: Positive = 2
    shared: bool = False  # one encoder for PET and CT

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for n, p in zip(self.image, self.patch, strict=True):
            if n % (p * self.pooling):
                raise ValueError("image must be a multiple of patch times pooling on each axis")
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class LanguageSizes(_Section):
    """The language model of a network that begins from nothing."""

    width: Positive
    depth: Positive
    heads: Positive
    mlp: Positive
    vocabulary: Annotated[int, Field(ge=150, le=32000)] = 700  # at most; the tokenizer is trained
    positions: Positive = 512

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError("width must be an even multiple of heads")
        return self


class Network(_Section):
    """What is trained: a checkpoint to go on from, or the sizes of a new network."""

    start: Path | None = None
    vision: VisionSizes | None = None
    language: LanguageSizes | None = None
    profile: Literal["paper", "petar-release"] = "paper"
    region_prompt: str = REGION_PROMPT
    site_prompt: str = SITE_PROMPT
    uptake_prompt: str = UPTAKE_PROMPT
    looks: bool = False  # a head of the PET tower begins by looking at what the mask marks
    blank: tuple[Blank, ...] = ()  # views that are all zero, in training as in use

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        sizes = [one for one in (self.vision, self.language) if one is not None]
        if (self.start is None and len(sizes) != 2) or (self.start is not None and sizes):
            raise ValueError("give either start, or both vision and language")
        return self

    @property
    def sizes(self) -> tuple[VisionSizes, LanguageSizes] | None:
        """Of a new network; None for one that goes on from a checkpoint."""
        if self.vision is None or self.language is None:
            return None
        return self.vision, self.language


class Phantoms(_Section):
    """Made studies: those of first_seed, first_seed + 1, ... without end."""

    first_seed: Annotated[int, Field(ge=0)] = 0
    spacing_mm: tuple[Mm, Mm, Mm] = (4.0, 4.0, 4.0)
    ct_spacing_mm: tuple[Mm, Mm, Mm] | None = None
    findings: tuple[Annotated[int, Field(ge=0)], Positive] = (1, 10)
    is_shifted: bool = False
    tracer: Literal["FDG", "PSMA", "DOTATATE"] = "FDG"
    field: str | None = None
    upright: bool = False

    @field_validator("findings")
    @classmethod
    def _rises(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("the first number is the smaller")
        return value

    @field_validator("field")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in FIELDS:
            raise ValueError(f"one of {', '.join(FIELDS)}")
        return value

    def options(self) -> WorldOptions:
        tracers = {short: name for name, short in SHORT_NAMES.items()}
        return WorldOptions(
            spacing_mm=self.spacing_mm,
            ct_spacing_mm=self.ct_spacing_mm,
            findings=self.findings,
            is_shifted=self.is_shifted,
            tracer=tracers.get(self.tracer, FDG),
            field=self.field,
            upright=self.upright,
        )


class Material(_Section):
    """Where examples come from."""

    phantoms: Phantoms | None = None
    folder: Path | None = None
    mask_numbers: bool = True  # numbers in answers are `[#]`: they are measured, never learnt
    regions_per_study: Positive = 12  # where a stage asks for regions alone
    # the share of regions of which a piece alone is shown, as large as a lesion
    pieces: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.phantoms is None) == (self.folder is None):
            raise ValueError("give either phantoms or folder")
        return self

    @property
    def source(self) -> Phantoms | Path:
        """The one that was given."""
        return self.phantoms or self.folder or Path()


class HeldOut(_Section):
    """What progress is judged on: made studies by seed, or a folder's split `validation`."""

    every: Positive = 500  # steps
    studies: Annotated[int, Field(ge=0)] = 8
    first_seed: Annotated[int, Field(ge=0)] = 900_000
    regions_per_study: Positive = 8
    max_new_tokens: Positive = 64


class Stage(_Section):
    """Steps of one learning-rate schedule on one mix of questions."""

    name: str = Field(min_length=1)
    asks: dict[Ask, Annotated[float, Field(gt=0, le=1)]]
    asks_facts: tuple[Fact, ...] = ()  # of each lesion as well, on the same views: short answers
    # the share of examples that lose their focal views, so that the whole body is looked at too
    drops_focal: Annotated[float, Field(ge=0, lt=1)] = 0.0
    trains: tuple[Group, ...] = Field(min_length=1)
    steps: Positive
    batch: Positive = 2
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: of the matrices between first and last
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03  # share of the steps
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip: Annotated[float, Field(gt=0)] = 1.0  # norm of the gradient
    lora_rank: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05

    @field_validator("asks", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return {value: 1.0} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not math.isclose(sum(self.asks.values()), 1.0, abs_tol=1e-6):
            raise ValueError("the shares of asks must add up to 1")
        if {"language", "lora"} <= set(self.trains) or {"all", "lora"} <= set(self.trains):
            raise ValueError("trains holds the language model itself or its lora, not both")
        return self


class Run(_Section):
    """How it is run. Only seed, block and passes change what is learnt."""

    seed: Annotated[int, Field(ge=0)] = 0
    block: Positive = 8  # studies whose examples are shuffled together
    passes: Positive = 1  # how often a block is learnt before the next one: to make it takes time
    device: str = "auto"
    precision: Literal["auto", "no", "bf16"] = "auto"  # auto: bf16 on a GPU, float32 on a CPU
    # what matrices are multiplied in where a CPU knows it; everything else stays as it is
    products: Products = "float32"
    threads: Positive | None = None  # of the network; the rest of the machine makes examples
    workers: Annotated[int, Field(ge=0)] = 1  # processes that make examples
    max_length: Positive = 512  # tokens of an example; a longer answer is cut
    say_every: Positive = 20
    save_every: Positive = 500
    store: Literal["float32", "bfloat16"] = "float32"
    out: Path | None = None


class Recipe(_Section):
    """The whole of it."""

    model: Network
    data: Material
    stage: tuple[Stage, ...] = ()
    held_out: HeldOut = HeldOut()
    run: Run = Run()

    @model_validator(mode="after")
    def _has_a_stage(self) -> Self:
        if not self.stage:
            raise ValueError("a [[stage]] is wanted")
        return self

    @model_validator(mode="after")
    def _keeps_apart(self) -> Self:
        phantoms = self.data.phantoms
        if (
            phantoms is not None
            and max(phantoms.first_seed, self.held_out.first_seed + self.held_out.studies)
            >= FIRST_SEED
        ):
            raise ValueError(f"seeds from {FIRST_SEED} on are for `pacsnode evaluate` alone")
        if phantoms is not None and phantoms.is_shifted is False:
            last = self.held_out.first_seed + self.held_out.studies
            if self.held_out.first_seed <= phantoms.first_seed < last:
                raise ValueError("data.phantoms.first_seed lies among the held-out seeds")
        return self


def read_recipe(path: Path) -> Recipe:
    """Raises BadRecipe, which names the file and every wrong key."""
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRecipe(f"{path.name} cannot be read") from exc
    except tomllib.TOMLDecodeError as exc:
        raise BadRecipe(f"{path.name} is not TOML: {exc}") from exc
    except ValidationError as exc:
        raise BadRecipe(f"{path.name}: " + "; ".join(map(_told, exc.errors()))) from exc


def _told(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the recipe"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"
