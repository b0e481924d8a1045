"""How far a run has come, and keeping that on disk so that it can go on."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from engine.errors import EngineError
from engine.training.curves import Row
from engine.training.recipe import Recipe
from engine.training.stream import Place

_STATE, _OLD, _PART = "state", ".old-state", ".part-state"
# of [run], what does not change what is learnt
_FREE = {"device", "threads", "workers", "say_every", "save_every", "store", "out"}


class CannotGoOn(EngineError):
    """A folder that holds another run, or one that is finished."""

    code = "cannot-go-on"


@dataclass(slots=True)
class Progress:
    """Where the run is; accelerate saves it with the weights."""

    stage: int = 0
    stage_step: int = 0
    step: int = 0
    examples: int = 0
    seconds: float = 0.0
    place: Place = field(default_factory=Place)
    loss_sum: float = 0.0  # since the last row
    loss_count: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        place = Place(**state.pop("place"))
        rows = [Row(**row) for row in state.pop("rows")]
        for name, value in state.items():
            setattr(self, name, value)
        self.place, self.rows = place, rows


def keep(accelerator: Accelerator, out: Path, recipe: Recipe, stage: int) -> None:
    """Save the whole state beside the last one, then take its place."""
    part = out / _PART
    shutil.rmtree(part, ignore_errors=True)
    accelerator.save_state(str(part))
    told = {"recipe": _decisive(recipe), "stage": stage}
    (part / "run.json").write_text(json.dumps(told), "utf-8")
    shutil.rmtree(out / _OLD, ignore_errors=True)
    if (out / _STATE).is_dir():
        (out / _STATE).rename(out / _OLD)
    part.rename(out / _STATE)
    shutil.rmtree(out / _OLD, ignore_errors=True)


def kept(out: Path, recipe: Recipe) -> tuple[Path, int] | None:
    """The last state of this run and its stage, if there is one. Raises CannotGoOn."""
    for name in (_STATE, _OLD):
        path = out / name / "run.json"
        if path.is_file():
            told = json.loads(path.read_text("utf-8"))
            if told["recipe"] != _decisive(recipe):
                raise CannotGoOn(f"{out.name} holds the run of another recipe")
            return path.parent, int(told["stage"])
    return None


def forget(out: Path) -> None:
    """Remove the state of a run that is finished."""
    for name in (_STATE, _OLD, _PART):
        shutil.rmtree(out / name, ignore_errors=True)


def refuse_taken(out: Path, *, resume: bool) -> None:
    """Raises CannotGoOn when the folder holds a run that must not be overwritten."""
    if (out / "training.json").is_file():
        finished = json.loads((out / "training.json").read_text("utf-8")).get("finished")
        if finished:
            raise CannotGoOn(f"{out.name} holds a run that is finished: choose another folder")
    if not resume and ((out / _STATE).is_dir() or (out / _OLD).is_dir()):
        raise CannotGoOn(f"{out.name} holds a run that was cut off: go on with --resume")


def _decisive(recipe: Recipe) -> Any:
    return json.loads(recipe.model_dump_json(exclude={"run": _FREE}))
