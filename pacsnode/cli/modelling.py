"""model inspect, model verify: what a checkpoint folder is, and whether it works here."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacsnode.cli.application import DONE, FAILED, AsJson, console, print_json
from pacsnode.cli.folders import CheckpointFolder

if TYPE_CHECKING:
    from engine.petar.inspection import Inspection
    from engine.petar.verification import Verification

model = typer.Typer(
    name="model",
    help="Look at a checkpoint folder of PETAR, or put it to the test.",
    no_args_is_help=True,
)


@model.command()
def inspect(folder: CheckpointFolder, as_json: AsJson = False) -> None:
    """Say what a checkpoint folder is and whether it can serve. Reads every weight once."""
    from engine.petar.inspection import inspect_folder

    told = inspect_folder(folder)
    if as_json:
        print_json({"name": told.name, "can_serve": told.can_serve, **told.found,
                    "notes": told.notes, "refusals": told.refusals})  # fmt: skip
    else:
        _say_inspected(told)
    raise typer.Exit(DONE if told.can_serve else FAILED)


@model.command()
def verify(
    folder: CheckpointFolder,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Load a checkpoint folder as a worker would, and ask it about made lesions."""
    from engine.petar.verification import verify_folder

    told = verify_folder(folder, device=device, dtype=dtype)
    if as_json:
        print_json({"passed": told.passed, **asdict(told)})
    else:
        _say_verified(told)
    raise typer.Exit(DONE if told.passed else FAILED)


def _say_inspected(told: "Inspection") -> None:
    _say("name", told.name)
    for name, value in told.found.items():
        _say(name.replace("_", " "), value)
    for note in told.notes:
        console.print(f"note: {note}", soft_wrap=True)
    for refusal in told.refusals:
        console.print(f"refused: {refusal}", style="red", soft_wrap=True)
    if told.can_serve:
        console.print("It can serve.", style="green")


def _say_verified(told: "Verification") -> None:
    for check in told.checks:
        sign, style = ("ok  ", "green") if check.passed else ("FAIL", "red")
        console.print(sign, style=style, end=" ")
        console.print(f"{check.question}: {check.said}", soft_wrap=True)
    for name, seconds in told.seconds.items():
        _say(name.replace("_", " "), f"{seconds:.2f} s")
    if told.identity is not None:
        _say("ran on", f"{told.identity.device}, {told.identity.dtype}")
    if told.words:
        _say("said of a made lesion (it means nothing)", told.words)


def _say(name: str, value: Any) -> None:
    if isinstance(value, dict):
        value = ", ".join(f"{key.replace('_', ' ')} {each}" for key, each in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(str, value))
    console.print(f"{name}: {value}", soft_wrap=True)
