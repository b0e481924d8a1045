"""Checkpoint folders as options name them; `demo` is the model that comes with pacsnode."""

from pathlib import Path
from typing import Annotated

import typer


def named(text: str) -> Path:
    """The folder that is meant, whether it is there or not; `./demo` is a folder of that name."""
    from engine.petar.shipped import named_folder

    return named_folder(text).absolute()


def existing(text: str) -> Path:
    """The folder that is meant; one that is not there is a wrong argument."""
    folder = named(text)
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is not there, or is no folder")
    return folder


ModelFolder = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FOLDER",
        help="Checkpoint folder of petar, or demo; alone it means --describer petar.",
        parser=named,
        show_default=False,
    ),
]
CheckpointFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="config.json, weights and tokenizer, as released; or demo.",
        parser=existing,
    ),
]
