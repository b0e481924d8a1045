"""train: a recipe to a checkpoint folder."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pacsnode.cli.application import WRONG, console, fail


def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="What to train on what (TOML; docs/guide/training.md).",
            exists=True, dir_okay=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the checkpoint and the curves; wins over [run] out.",
            file_okay=False, show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that the folder holds.")
    ] = False,
) -> None:  # fmt: skip
    """Train PETAR: stages of questions, held-out figures on the way, a checkpoint at the end."""
    from engine.training.recipe import BadRecipe, read_recipe

    try:
        told = read_recipe(recipe)
    except BadRecipe as exc:
        fail(str(exc), WRONG)
    folder = out or told.run.out
    if folder is None:
        fail("Say where the checkpoint goes: --out DIR, or out under [run]", WRONG)
    from engine.training.run import Interrupted
    from engine.training.run import train as followed

    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        progress = followed(told, folder, resume=resume, say=_say, should_stop=lambda: bool(asked))
    except Interrupted as exc:
        fail(f"{exc}; go on with --resume")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    _say(f"{progress.step} steps, {progress.examples} examples, {progress.seconds / 60:.0f} min")
    _say(f"checkpoint, loss.csv and loss.png: {folder}")


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
