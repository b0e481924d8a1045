"""bench: how fast a model describes lesions on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pacsnode.cli.application import DONE, FAILED, AsJson, console, errors, print_json
from pacsnode.cli.folders import existing

if TYPE_CHECKING:
    from engine.petar.bench.run import Bench


def bench(
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Checkpoint folder, or demo; by default random weights: of full size on a GPU, "
            "small on a CPU.",
            parser=existing,
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most lesions in a pass; 32 on a GPU, 8 on a CPU.", show_default=False
        ),
    ] = None,
    lesions: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Lesions of each study; may be given more than once.", show_default=False
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Turns that both sides take, the best of each counting.")
    ] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch on a CPU.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Time the model on made studies, beside plain use of transformers in the same run.

    Exit code 1 where both sides do not say the same words in float32.
    """
    from engine.petar.bench.run import run_bench

    with errors.status("loading") as status:
        told = run_bench(
            model, device=device, batch_size=batch_size, lesions=lesions,
            rounds=rounds, threads=threads,
            say=status.update,
        )  # fmt: skip
    if as_json:
        print_json(asdict(told) | {"ratio": told.ratio, "network_ratio": told.network_ratio})
    else:
        console.print(_table(told))
    differ = told.dtype == "float32" and told.same_words < sum(told.lesions)
    raise typer.Exit(FAILED if differ else DONE)


def _table(told: "Bench") -> Table:
    count = sum(told.lesions)
    studies = ", ".join(map(str, told.lesions))
    table = Table(
        "what", "in batches", "one by one",
        title=f"{told.model} in {told.dtype}: {told.machine}",
        caption=f"{len(told.lesions)} studies with {studies} lesions, batches of up to "
        f"{told.batch_size}, {told.new_tokens} forced tokens",
    )  # fmt: skip
    table.add_row(
        "lesions/s, from scan and mask", f"{count / told.ours_s:.2f}", f"{count / told.naive_s:.2f}"
    )
    for percent, ours_s in told.ours_latency_s.items():
        naive_s = told.naive_latency_s[percent]
        table.add_row(f"{percent} until a study's words", f"{ours_s:.2f} s", f"{naive_s:.2f} s")
    table.add_row(
        "processor time of a lesion", f"{told.ours_processor_s / count:.2f} s",
        f"{told.naive_processor_s / count:.2f} s",
    )  # fmt: skip
    rate = told.network_rate
    table.add_row("lesions/s, network alone", f"{rate['ours']:.2f}", f"{rate['naive']:.2f}")
    table.add_row("ratio, from scan and mask", f"{told.ratio:.1f}", "1")
    processor_ratio = told.naive_processor_s / told.ours_processor_s
    table.add_row("ratio, processor time", f"{processor_ratio:.1f}", "1")
    table.add_row("ratio, network alone", f"{told.network_ratio:.1f}", "1")
    if told.percent_of_bound is not None:
        table.add_row("share of the hardware's bound", f"{told.percent_of_bound:.0f} %", "")
    table.add_row("peak memory", f"{told.peak_memory_gb:.2f} GB", "")
    table.add_row("same words on both sides", f"{told.same_words} of {count}", "")
    table.add_row("different texts among them", f"{told.distinct_words}", "")
    if told.same_as_float32 is not None:
        same, compared = told.same_as_float32
        table.add_row("same words as in float32", f"{same} of {compared}", "")
    for name, seconds in told.naive_profile_s.items():
        table.add_row(f"a lesion: {name}", "", f"{seconds * 1000:.0f} ms")
    return table
