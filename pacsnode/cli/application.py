"""The typer application: shared options, how errors become exit codes, how answers are printed."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from pacsnode.settings import Settings
    from storage.archive import Archive

DONE, FAILED, WRONG = 0, 1, 2

app = typer.Typer(
    name="pacsnode",
    help="A PACS node that turns PET/CT segmentations into lesion reports (DICOM SR, TID 1500).",
    epilog="Not a medical device. Exit codes: 0 done, 1 something failed, 2 wrong arguments or "
    "settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# most of what is printed is not ours (units, labels, paths): nowhere is it read as rich's markup
console = Console(highlight=False, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False)

Config = Annotated[
    Path | None,
    typer.Option(
        help="Settings file (TOML); PACSNODE_* variables win over it.", show_default=False
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the archive, index and jobs (setting `home`).", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def settings_from(config: Path | None, home: Path | None = None, **options: Any) -> "Settings":
    """The settings of a command; `options` that are None were not given. Raises BadSettings."""
    from pacsnode.settings import read_settings

    overrides = {name: value for name, value in options.items() if value not in (None, {}, ())}
    if home is not None:
        overrides["home"] = home
    return read_settings(config, overrides)


def archive_of(settings: "Settings") -> "Archive":
    """The archive of a node, which may be running; a folder without one is an error."""
    from storage.archive import Archive

    root = settings.home / "archive"
    if not root.is_dir():
        fail(f"{root} holds no archive: is this the node's home? (--home, or the setting home)")
    return Archive.open(root, check=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """End the command, saying why on standard error."""
    errors.print(sentence, style="red", soft_wrap=True)
    raise typer.Exit(code)


def version(as_json: AsJson = False) -> None:
    """Print the version of pacsnode."""
    from pacsnode import __version__

    if as_json:
        print_json({"pacsnode": __version__})
    else:
        console.print(f"pacsnode {__version__}")


def main() -> None:
    """The entry point: errors of our own become one sentence and an exit code."""
    from engine.errors import EngineError
    from pacsnode import log
    from pacsnode.errors import BadSettings, NodeError
    from storage.errors import StorageError

    try:
        app()
    except (NodeError, StorageError, EngineError) as exc:
        errors.print(str(exc), style="red", soft_wrap=True)
        sys.exit(WRONG if isinstance(exc, BadSettings) else FAILED)
    except OSError as exc:
        # without a number it is a library's, whose text may quote what it read
        said = exc.strerror or f"A file could not be read or written ({type(exc).__name__})"
        said = f"{exc.filename}: {said}" if exc.filename else said
        errors.print(said, style="red", soft_wrap=True)
        sys.exit(FAILED)
    except Exception as exc:  # noqa: BLE001 the end of the program: a traceback quotes what was read
        said = f"The program failed: {type(exc).__name__} at {log.where(exc)}."
        errors.print(said, style="red", soft_wrap=True)
        sys.exit(FAILED)
