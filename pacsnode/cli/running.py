"""serve, worker, replay, demo: the commands that do the work."""

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pacsnode.cli.application import (
    FAILED,
    WRONG,
    AsJson,
    Config,
    Home,
    console,
    errors,
    fail,
    print_json,
    settings_from,
)  # fmt: skip
from pacsnode.cli.folders import ModelFolder, existing

if TYPE_CHECKING:
    from pacsnode.addresses import AnyDestination
    from pacsnode.node import Node
    from pacsnode.replay.run import Outcome
    from pacsnode.settings import Settings

TEMPLATE_WRITES = (
    "No model is set: the template writes the words, of measurements alone (--model FOLDER, or"
    " --model demo for the demonstration)."
)
DescriberName = Annotated[
    str | None,
    typer.Option(
        "--describer", help="Who writes the words: template or petar.", show_default=False
    ),
]


def serve(
    config: Config = None,
    home: Home = None,
    ae_title: Annotated[str | None, typer.Option(help="Our AE title.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default=False)] = None,
    web_port: Annotated[
        int | None, typer.Option(help="Port of DICOMweb and the pages.", show_default=False)
    ] = None,
    destination: Annotated[
        list[str] | None,
        typer.Option(
            help="Where reports go: AET@HOST:PORT, or the URL of a DICOMweb service; may be given "
            "more than once."
        ),
    ] = None,
    quiet_s: Annotated[
        float | None,
        typer.Option(help="Seconds without a new object: a study is whole.", show_default=False),
    ] = None,
    describer: DescriberName = None,
    model: ModelFolder = None,
) -> None:
    """Run the node: listen, keep, report, deliver. SIGTERM or Ctrl-C ends it in good order."""
    from pacsnode import log, node

    listen = {"ae_title": ae_title, "port": port}
    settings = settings_from(
        config,
        home,
        listen={name: value for name, value in listen.items() if value is not None},
        web={} if web_port is None else {"port": web_port},
        assembly={} if quiet_s is None else {"quiet_s": quiet_s},
        describe=_describe(describer, model),
        destinations=_destinations(destination),
    )
    log.set_up(settings.log_level)
    _say_who_writes(settings)
    raise typer.Exit(node.serve(settings, ready=_say_ready))


def _destinations(given: list[str] | None) -> "tuple[AnyDestination, ...]":
    from pacsnode.settings import parse_destination

    return tuple(parse_destination(text) for text in given or ())


def _say_who_writes(settings: "Settings") -> None:
    if settings.describe.describer == "template":
        errors.print(TEMPLATE_WRITES, soft_wrap=True)


def _say_ready(node: "Node") -> None:
    host, port = node.address
    errors.print(f"Listening on {host}:{port}")
    if node.web_url is not None:
        errors.print(f"DICOMweb on {node.web_url}", soft_wrap=True)


def _describe(describer: str | None, model: Path | None) -> dict[str, Any]:
    """What the options say of [describe]; a folder given says that its model is wanted."""
    told: dict[str, Any] = {}
    if model is not None:
        told = {"describer": "petar", "model": model}
    return told if describer is None else told | {"describer": describer}


def worker(
    config: Config = None,
    home: Home = None,
    describer: DescriberName = None,
    model: ModelFolder = None,
) -> None:
    """Run a worker alone, beside a node that listens on the same home."""
    from pacsnode import log
    from pacsnode.worker import run

    settings = settings_from(config, home, describe=_describe(describer, model))
    log.set_up(settings.log_level)
    raise typer.Exit(run(settings))


def replay(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Folders, files, zip and tar archives, DICOMDIRs. Nothing in them is changed.",
            exists=True,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for SR files, findings.csv and run.json.")],
    config: Config = None,
    describer: DescriberName = None,
    model: ModelFolder = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cases at a time; by default one a processor, or describe.cases_at_once.",
            show_default=False,
        ),
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Report only part I of N of the cases.")
    ] = "1/1",
    as_json: AsJson = False,
) -> None:
    """Report every case in files, without a network. Run again, it goes on where it stopped."""
    from pacsnode import log
    from pacsnode.replay.run import Request
    from pacsnode.replay.run import replay as run_replay

    settings = settings_from(config, describe=_describe(describer, model))
    if out.exists() and not out.is_dir():
        fail(f"{out} is a file, not a folder to write to", WRONG)
    request = Request(
        inputs=tuple(inputs),
        out=out,
        settings=settings,
        workers=workers,
        shard=_shard(shard),
    )
    _say_who_writes(settings)
    log.set_up("error")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: end in good order
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors, transient=True, disable=not errors.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("reading headers", total=None)
        outcome = run_replay(
            request,
            lambda doing, done, total: bar.update(
                task, description=doing, completed=done, total=total
            ),
        )
    _say_replayed(outcome, as_json)
    raise typer.Exit(FAILED if outcome.failed else 0)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
    if match is None or int(match[1]) > int(match[2]):
        fail(f"--shard is I/N with I from 1 to N, not {text!r}", WRONG)
    return int(match[1]), int(match[2])


def _say_replayed(outcome: "Outcome", as_json: bool) -> None:
    from pacsnode.replay.manifest import manifest_of
    from pacsnode.replay.sources import FAULTS

    manifest = manifest_of(outcome)
    if as_json:
        print_json(manifest)
        return
    files, cases = manifest["files"], manifest["cases"]
    read = files["found"] - len(files["not_read"])
    console.print(f"{files['found']} files, {read} of them DICOM objects; {cases['found']} masks")
    console.print(
        f"{cases['reported']} reported ({cases['done_before']} before), "
        f"{cases['refused']} refused, {cases['failed']} failed, {cases['context']} context only, "
        f"{cases['superseded']} superseded"
    )
    for file in files["not_read"]:
        if file["kind"] in FAULTS:
            said = f"{file['kind']}: {file['origin']} {file['reason']}"
            console.print(said, style="red", soft_wrap=True)
    for kind, style in (("refusals", "yellow"), ("failures", "red")):
        for case in manifest[kind]:
            console.print(f"{case['code']}: {case['input_path']}", style=style, soft_wrap=True)
            for reason in case["reasons"]:
                console.print(f"  {reason}", soft_wrap=True)
    if outcome.stopped:
        console.print("Stopped: run the same command again to go on.", style="yellow")
    rows, request = manifest["findings"]["rows"], outcome.request
    console.print(f"{rows} findings in {request.findings}", soft_wrap=True)
    console.print(f"What was done, and with what: {request.manifest}", soft_wrap=True)


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the made study, the node's home and the report."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Checkpoint folder instead of the demonstration model.",
            parser=existing,
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Let the template write, and load no model.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """See made PET/CT studies go through the node over DICOM: checked numbers, a model's words."""
    from engine.petar.shipped import demonstration_folder
    from pacsnode import log
    from pacsnode.demo import run_demo

    shipped = demonstration_folder()
    if model is None and shipped.is_dir():
        model = shipped
    log.set_up("error")
    raise typer.Exit(run_demo(keep, None if template else model, as_json=as_json))
